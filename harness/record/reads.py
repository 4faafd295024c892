"""Patched functions that only look: they end in the kernel like the others, but nothing is logged.

They are patched where faults are injected, because reading fails too; a recording does without them, and costs less.
"""

from __future__ import annotations

import fcntl
import os
import sys
from typing import Any

from harness.record import files, kernel
from harness.record import originals as real
from harness.record.tap import disguise


class Reads:
    """Bound methods, for the reason that `Tap` gives. The signatures are those of `os`; see there."""

    def __reduce__(self) -> str:
        return "READS"

    def read(self, fd: Any, length: Any, /) -> Any:
        return kernel.read(fd, length)

    def readv(self, fd: Any, buffers: Any, /) -> Any:
        return kernel.readv(fd, buffers)

    def pread(self, fd: Any, length: Any, offset: Any, /) -> Any:
        return kernel.pread(fd, length, offset)

    def preadv(self, fd: Any, buffers: Any, offset: Any, flags: Any = 0, /) -> Any:
        return kernel.preadv(fd, buffers, offset, flags)

    def listdir(self, path: Any = None) -> Any:
        return kernel.listdir(path)

    def scandir(self, path: Any = None) -> Any:
        return kernel.scandir(path)

    def stat(self, path: Any, *, dir_fd: Any = None, follow_symlinks: Any = True) -> Any:
        return kernel.stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    def lstat(self, path: Any, *, dir_fd: Any = None) -> Any:
        return kernel.lstat(path, dir_fd=dir_fd)

    def fstat(self, fd: Any) -> Any:
        return kernel.fstat(fd)

    def access(self, path: Any, mode: Any, **where: Any) -> Any:
        return kernel.access(path, mode, **where)

    def flock(self, fd: Any, operation: Any, /) -> Any:
        return kernel.flock(fd, operation)

    def lockf(self, fd: Any, cmd: Any, *arguments: Any) -> Any:
        return kernel.lockf(fd, cmd, *arguments)


READS = Reads()
_OS_CALLS = ("read", "readv", "pread", "preadv", "listdir", "scandir", "stat", "lstat", "fstat", "access")
_LOCKS = ("flock", "lockf")


def patched_reads() -> dict[str, tuple[Any, Any]]:
    """Name -> (original, patched), as far as the platform has them."""
    present = (name for name in (*_OS_CALLS, *_LOCKS) if getattr(real, name) is not None)
    return {name: disguise(getattr(real, name), READS, name) for name in present}


def assign(pairs: dict[str, tuple[Any, Any]]) -> None:
    """Put them into the modules that define the names, and file objects on the same way."""
    system = sys.modules[real.open.__module__]
    for name, (_, patched) in pairs.items():
        for module in (fcntl,) if name in _LOCKS else (os, system):
            setattr(module, name, patched)
    files.route_reads()
