"""The store's calls on the file system.

What is assumed of the medium, and nothing more: what was fsynced is there; a rename is atomic; a write that is not
synced may be lost, or be there in part, sector by sector (fsync(2); Pillai et al., OSDI 2014).
"""

from __future__ import annotations

import errno
import logging
import os
import stat

from store_under_test.event_store.errors import SyncFailedError

logger = logging.getLogger("store_under_test.event_store")

PRIVATE_MODE = 0o600
ZEROS_BYTES = 1 << 20  # written at a time

_ALWAYS = os.O_CLOEXEC | os.O_NOFOLLOW
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_datasync = getattr(os, "fdatasync", os.fsync)


def open_file(path: str, flags: int) -> int:
    """Open a regular file; symbolic links (ELOOP) and anything else than a file (EINVAL) are refused."""
    descriptor = os.open(path, flags | _ALWAYS | os.O_NONBLOCK, PRIVATE_MODE)  # no waiting on a planted FIFO
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
    except BaseException:
        close_quietly(descriptor)
        raise
    return descriptor


def make_directory(path: str) -> None:
    """Make the directory if it is not there, and its entry durable."""
    try:
        os.mkdir(path)
    except FileExistsError:
        return
    parent = open_directory(os.path.dirname(path))
    try:
        sync(parent, os.path.dirname(path))
    finally:
        close_quietly(parent)


def open_directory(path: str) -> int:
    """A descriptor to fsync the directory by."""
    return os.open(path, _DIRECTORY_FLAGS)


def size_of(descriptor: int) -> int:
    """Bytes of the open file."""
    return os.fstat(descriptor).st_size


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`. On an `OSError` any part of it may have been written."""
    written = os.pwrite(descriptor, data, offset)
    if written == len(data):
        return
    rest = memoryview(data)
    while written < len(rest):
        rest, offset = rest[written:], offset + written
        written = os.pwrite(descriptor, rest, offset)
        if written == 0:
            raise OSError(errno.EIO, "a write made no progress")


def write_zeros(descriptor: int, start: int, end: int) -> None:
    """Overwrite, or grow the file by, zeros from `start` to `end`."""
    zeros = bytes(min(end - start, ZEROS_BYTES)) if end > start else b""
    while start < end:
        write_at(descriptor, zeros[: end - start], start)
        start += len(zeros)


def read_at(descriptor: int, length: int, offset: int) -> bytes:
    """`length` bytes from `offset`, fewer only at the end of the file."""
    data = os.pread(descriptor, length, offset)
    if len(data) == length or not data:
        return data
    pieces = [data]
    length, offset = length - len(data), offset + len(data)
    while length > 0 and (data := os.pread(descriptor, length, offset)):
        pieces.append(data)
        length, offset = length - len(data), offset + len(data)
    return b"".join(pieces)


def sync(descriptor: int, path: str) -> None:
    """Make data, size and attributes durable. Raises `SyncFailedError`; never to be tried again."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise SyncFailedError(path, error) from error


def sync_data(descriptor: int, path: str) -> None:
    """As `sync`, without the attributes that are not needed to read the data."""
    try:
        _datasync(descriptor)
    except OSError as error:
        raise SyncFailedError(path, error) from error


def remove_quietly(path: str) -> None:
    """Remove a file if that works; what stays is removed on a later opening."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        logger.info("could not remove %s: %s", path, error)


def close_quietly(descriptor: int) -> None:
    """Close a file whose content is durable, or does not matter."""
    try:
        os.close(descriptor)
    except OSError as error:
        logger.info("could not close a file: %s", error)
