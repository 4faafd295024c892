"""Reads a real directory into an `Image`.

FIFOs, sockets and devices are no part of an image: a crash state is made of what holds data.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from harness.core.trace import ROOT, Image, InodeKind, Node
from harness.record import originals as real

_READ_BYTES = 1 << 20


def scan(root: Path) -> Image:
    """The contents of `root`; names of one inode (hard links) share one number.

    Numbers follow the sorted walk, so that equal directories give equal images. Raises `OSError`
    for what cannot be read.
    """
    numbers, nodes = walk(root)
    del numbers
    return Image(nodes)


def walk(root: Path) -> tuple[dict[tuple[int, int], int], dict[int, Node]]:
    """The number of each (device, kernel inode), and the node of each number; `ROOT` is `root`."""
    status = real.stat(root)
    numbers = {(status.st_dev, status.st_ino): ROOT}
    nodes: dict[int, Node] = {ROOT: directory_node(status)}
    pending = [(os.fspath(root), ROOT)]
    while pending:
        path, number = pending.pop()
        for name in sorted(os.listdir(path)):
            child = os.path.join(path, name)
            found = real.lstat(child)
            if kind_of(found.st_mode) is None:
                continue
            key = (found.st_dev, found.st_ino)
            if key not in numbers:
                numbers[key] = len(numbers)
                nodes[numbers[key]] = read_node(child, found)
            nodes[number].entries[name] = numbers[key]
            if stat.S_ISDIR(found.st_mode):
                pending.append((child, numbers[key]))
    return numbers, nodes


def kind_of(mode: int) -> InodeKind | None:
    """The kind of a file of `st_mode`; `None` for FIFOs, sockets and devices."""
    if stat.S_ISREG(mode):
        return InodeKind.FILE
    if stat.S_ISDIR(mode):
        return InodeKind.DIRECTORY
    return InodeKind.SYMLINK if stat.S_ISLNK(mode) else None


def directory_node(status: os.stat_result) -> Node:
    """A directory without entries yet."""
    return Node(InodeKind.DIRECTORY, mode=stat.S_IMODE(status.st_mode), mtime_ns=status.st_mtime_ns)


def read_node(path: str, status: os.stat_result) -> Node:
    """What `path` holds, without following it if it is a symlink."""
    kind = kind_of(status.st_mode)
    mode, mtime_ns = stat.S_IMODE(status.st_mode), status.st_mtime_ns
    if kind is InodeKind.DIRECTORY:
        return directory_node(status)
    if kind is InodeKind.SYMLINK:
        return Node(kind, mode=mode, mtime_ns=mtime_ns, target=real.readlink(path))
    with _opened(path) as descriptor:
        content, attributes = _read(descriptor), _attributes(descriptor)
    return Node(InodeKind.FILE, mode=mode, mtime_ns=mtime_ns, content=content, attributes=attributes)


def read_file(path: str) -> bytes:
    """All bytes of a file, read with the real calls."""
    with _opened(path) as descriptor:
        return _read(descriptor)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = real.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        real.close(descriptor)


def _read(descriptor: int) -> bytes:
    parts: list[bytes] = []
    while part := os.read(descriptor, _READ_BYTES):
        parts.append(part)
    return b"".join(parts)


def _attributes(descriptor: int) -> tuple[tuple[str, bytes], ...]:
    """The extended attributes that users may set, by name; none where there are none."""
    if real.listxattr is None:
        return ()
    try:
        names = real.listxattr(descriptor)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ()
        raise
    return tuple((name, real.getxattr(descriptor, name)) for name in sorted(names) if name.startswith("user."))
