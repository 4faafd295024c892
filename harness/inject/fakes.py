"""A small disk that is not there: pyfakefs, with a size, and guarded.

pyfakefs replaces the file functions that it knows in all modules. Its descriptors have numbers of their own, which real
files have too; what it does not fake (`os.pwrite`, `os.writev`, `mmap`, ... ) would reach the real file of that number.
So every such call is refused, and noted. Locks are granted to everybody there, so they are refused as well. It knows
neither short writes nor inodes: a write that does not fit fails whole.

pyfakefs is optional: `available` says whether it is installed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from typing import Any

#: What pyfakefs 6 does not fake, and what it only pretends to do.
UNFAKED = (
    *("pread", "preadv", "pwrite", "pwritev", "readv", "writev", "posix_fallocate", "posix_fadvise"),
    *("copy_file_range", "sendfile", "splice", "statvfs", "fstatvfs", "fchmod", "fchown", "lockf", "mkfifo", "sync"),
)
LOCKS = ("flock", "lockf")
ROOM_AGAIN = 2**40
#: The package whose frames are not the store's.
PACKAGE = "pyfakefs"


class Unfaked(RuntimeError):
    """A call that pyfakefs would let through to a real file."""


def available() -> bool:
    """Whether pyfakefs can be used here."""
    return importlib.util.find_spec(PACKAGE) is not None


class FakeDisk:
    """The disk while it is in use. `refused` are the calls that were not let through; each ENOSPC calls `full`."""

    def __init__(self, files: Any, full: Callable[[], None]) -> None:
        self._files = files
        self._full = full
        self.refused: list[str] = []

    @property
    def used_bytes(self) -> int:
        used: int = self._files.get_disk_usage().used
        return used

    def limit(self, free_bytes: int) -> None:
        """From now on so many bytes are free."""
        self._files.set_disk_usage(self.used_bytes + free_bytes)

    def watch(self) -> None:
        """Tell of every time that the disk is full."""
        change = self._files.change_disk_usage

        def changing(*arguments: Any) -> Any:
            try:
                return change(*arguments)
            except OSError:
                self._full()
                raise

        self._files.change_disk_usage = changing

    def deny(self, name: str) -> Callable[..., Any]:
        """A function in the place of one that is not faked."""

        def denied(*arguments: Any, **keywords: Any) -> Any:
            self.refused.append(name)
            raise Unfaked(f"{name} is not faked: it would reach a real file")

        return denied


@contextlib.contextmanager
def fake_disk(directory: str, full: Callable[[], None]) -> Iterator[FakeDisk]:
    """All file functions of this process work on a disk in memory, on which `directory` exists and is empty."""
    from pyfakefs import fake_filesystem_unittest as fakes

    with fakes.Patcher() as patcher:
        assert patcher.fs is not None
        patcher.fs.create_dir(directory)
        disk = FakeDisk(patcher.fs, full)
        disk.limit(ROOM_AGAIN)
        disk.watch()
        with contextlib.ExitStack() as stack:
            for name in UNFAKED:
                if hasattr(os, name):
                    stack.enter_context(_replaced(_real_os(os), name, disk.deny(f"os.{name}")))
            for name in LOCKS:
                stack.enter_context(_replaced(_fake_locks(patcher), name, staticmethod(disk.deny(f"fcntl.{name}"))))
            yield disk


def _real_os(module: Any) -> Any:
    """The real module: in this one `os` may have been replaced by now."""
    return getattr(module, "_os_module", module)


def _fake_locks(patcher: Any) -> Any:
    """The class that stands for the module `fcntl`."""
    return patcher._fake_module_classes["fcntl"]


@contextlib.contextmanager
def _replaced(holder: Any, name: str, value: Any) -> Iterator[None]:
    before = holder.__dict__[name] if name in vars(holder) else getattr(holder, name)
    setattr(holder, name, value)
    try:
        yield
    finally:
        setattr(holder, name, before)
