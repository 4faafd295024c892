"""What mirror, parity and repair share: reading, writing and keeping bytes of files in the store's directory, durably.

A file that another one can stand in for is mended in place: what it is mended from stays untouched until that is
durable, so that a crash in between costs nothing but the same work again. Room is not needed either: repair works
on a full disk. Bytes that are overwritten because they are damaged are kept beside in a file
`quarantine-<name>-<offset>-<checksum>` first, durably; if there is no room for that, a warning says so.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from crc32c import crc32c

from store_under_test.event_store import files
from store_under_test.event_store.parity import Read

STRIDE_BYTES = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def opened(path: str, flags: int = os.O_RDONLY) -> Iterator[int]:
    """A descriptor of the file, closed afterwards."""
    descriptor = files.open_file(path, flags)
    try:
        yield descriptor
    finally:
        files.close_quietly(descriptor)


def reader(descriptor: int) -> Read:
    """Reads of an open file as pure functions want them."""
    return lambda offset, length: files.read_at(descriptor, length, offset)


def content_of(path: str) -> bytes | None:
    """The whole of a small file, or `None` if it is not there."""
    try:
        with opened(path) as descriptor:
            return files.read_at(descriptor, files.size_of(descriptor), 0)
    except FileNotFoundError:
        return None


def sync_directory(directory: str) -> None:
    """Make the names in a directory durable."""
    descriptor = files.open_directory(directory)
    try:
        files.sync(descriptor, directory)
    finally:
        files.close_quietly(descriptor)


def strides(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Offset and length of pieces that fit into memory."""
    return ((offset, min(STRIDE_BYTES, end - offset)) for offset in range(start, end, STRIDE_BYTES))


def place(path: str, pieces: Iterable[bytes]) -> None:
    """A new file `path` that holds `pieces`, or replaces what was there: durable, name included, when this returns."""
    temporary = f"{path}.tmp"
    files.remove_quietly(temporary)
    with opened(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as descriptor:
        try:
            offset = 0
            for piece in pieces:
                files.write_at(descriptor, piece, offset)
                offset += len(piece)
            files.sync(descriptor, temporary)
            os.rename(temporary, path)
        except BaseException:
            files.remove_quietly(temporary)
            raise
    sync_directory(os.path.dirname(path))


def copy(source: str, target: str) -> None:
    """`target` becomes a durable copy of `source`."""
    with opened(source) as descriptor:
        size = files.size_of(descriptor)
        place(target, (files.read_at(descriptor, length, offset) for offset, length in strides(0, size)))


def equalize(source: int, target: int, path: str) -> int:
    """Make the open file `target` (at `path`) hold what `source` holds, durably. How many bytes were written."""
    size, written = files.size_of(source), 0
    for offset, length in strides(0, size):
        data = files.read_at(source, length, offset)
        if files.read_at(target, length, offset) != data:
            files.write_at(target, data, offset)
            written += length
    if files.size_of(target) > size:
        os.ftruncate(target, size)
        written += 1
    if written:
        files.sync(target, path)
    return written


def quarantine(path: str, start: int, data: bytes) -> None:
    """Keep damaged bytes of the file `path`, durably, before they are overwritten; zeros alone are not worth it."""
    if not any(data):
        return
    directory, name = os.path.split(path)
    kept = os.path.join(directory, f"quarantine-{name}-{start:010d}-{crc32c(data):08x}")
    if os.path.exists(kept):
        return  # kept by a repair that was interrupted
    try:
        place(kept, (data,))
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        files.logger.warning("no room to keep the damaged bytes %d to %d of %s", start, start + len(data), path)
