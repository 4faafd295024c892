"""What a directory holds: the chain of segments, where it ends, and whether it is whole.

The last segment is read through; of the others, header and size. A place in the last segment where no frame verifies is
its end if none follows: what stands there is a torn write, is replaced by zeros, and the zeros are made durable.
If a frame does follow, or the mark says that there was one, the place is damaged and stays as it is.

The last frame is written once more before anything else: an fsync may have failed on it in the process before, and
then only the kernel's memory has it, and no later fsync would write it (Rebello et al., ATC 2020).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from store_under_test.event_store import files, lease
from store_under_test.event_store.errors import DamagedError, ForeignFormatError
from store_under_test.event_store.scan import Scan, scan, tail
from store_under_test.event_store.segment import (
    BLOCK_BYTES,
    MARK_OFFSET,
    Header,
    Previous,
    decode_header,
    decode_mark,
    parsed_name,
)
from store_under_test.event_store.writer import SegmentWriter, Sizes

OWN_PREFIXES = ("events-", "snapshot-", "quarantine-", f"{lease.NAME}.")


class SegmentInfo(NamedTuple):
    """A segment of the log. The last one is not sealed. Without events, the last sequence is one below the first."""

    first_sequence: int
    last_sequence: int
    path: str
    end_offset: int
    sealed: bool
    nonce: bytes  # of this file alone


@dataclass(frozen=True, slots=True)
class Recovered:
    """The segments that are sealed, oldest first, the last one, opened, and files that are of no more use."""

    sealed: tuple[SegmentInfo, ...]
    writer: SegmentWriter
    scan: Scan
    stale: tuple[str, ...]


def check_directory(directory: str, names: Iterable[str]) -> None:
    """Raise `ForeignFormatError` if there are files and none of them is the store's."""
    names = [name for name in names if not name.startswith(".") and name != "lost+found"]
    if names and not any(name == lease.NAME or name.startswith(OWN_PREFIXES) for name in names):
        raise ForeignFormatError(directory, f"holds files of another program, {min(names)!r} for one")


def recover(directory: str, sizes: Sizes, *, is_fenced: bool) -> Recovered | None:
    """The log in `directory`, with its end made durable; `None` if there is none yet.

    `is_fenced`: another may still write to the last segment; what follows its end is left alone.
    Raises `DamagedError` and `ForeignFormatError`; then nothing was changed.
    """
    names = os.listdir(directory)
    newest: dict[int, int] = {}
    for name in names:
        if numbers := parsed_name(name):
            newest[numbers[0]] = max(numbers[1], newest.get(numbers[0], 0))
    if not newest:
        return None
    first = max(newest)
    name = Header(b"", newest[first], first, Previous()).name
    path = os.path.join(directory, name)
    descriptor = files.open_file(path, os.O_RDWR)
    try:
        size = files.size_of(descriptor)
        header = decode_header(files.read_at(descriptor, BLOCK_BYTES, 0), path)
        if size < header.size_bytes:
            raise DamagedError(path, (size, header.size_bytes), "the segment was cut")
        found = scan(descriptor, header, path, size)
        sealed = _chain(directory, header, found.retained_from)
        _finish(descriptor, header, path, found, size, is_fenced=is_fenced)
    except BaseException:
        files.close_quietly(descriptor)
        raise
    writer = SegmentWriter(path, header, descriptor, size, sizes)
    writer.resume(found.end_offset, found.checksum)
    kept = {os.path.basename(info.path) for info in sealed} | {name}
    return Recovered(sealed, writer, found, _stale(directory, names, kept))


def _chain(directory: str, header: Header, retained_from: int) -> tuple[SegmentInfo, ...]:
    """The sealed segments before that of `header`, oldest first."""
    chain = []
    while header.previous.first_sequence and header.first_sequence > retained_from:
        before = header.previous
        path = os.path.join(directory, Header(b"", before.epoch, before.first_sequence, Previous()).name)
        older = _sealed_header(path, before)
        last = header.first_sequence - 1
        chain.append(SegmentInfo(before.first_sequence, last, path, before.end_offset, True, older.nonce))
        header = older
    return tuple(reversed(chain))


def _sealed_header(path: str, end: Previous) -> Header:
    try:
        descriptor = files.open_file(path, os.O_RDONLY)
    except FileNotFoundError:
        raise DamagedError(path, (0, end.end_offset), "the segment is missing") from None
    try:
        size = files.size_of(descriptor)
        header = decode_header(files.read_at(descriptor, BLOCK_BYTES, 0), path)
    finally:
        files.close_quietly(descriptor)
    if size < end.end_offset:
        raise DamagedError(path, (size, end.end_offset), "the segment was cut")
    return header


def _finish(descriptor: int, header: Header, path: str, found: Scan, size: int, *, is_fenced: bool) -> None:
    """See that nothing is missing at the end of the last segment, and make it durable."""
    end = found.end_offset
    marked = decode_mark(header, files.read_at(descriptor, BLOCK_BYTES, MARK_OFFSET))
    if end < marked:
        raise DamagedError(path, (end, marked), "events that were durable are missing")
    rest = tail(descriptor, header.seed, end, size)
    if rest.frame_offset is not None:
        raise DamagedError(path, (end, rest.frame_offset), "events before others are damaged")
    if rest.dirty_end > end and not is_fenced:
        files.logger.warning("%s: %d bytes of an interrupted write at %d are cut off", path, rest.dirty_end - end, end)
        files.write_zeros(descriptor, end, rest.dirty_end)
    if found.last_offset is not None:
        files.write_at(
            descriptor, files.read_at(descriptor, end - found.last_offset, found.last_offset), found.last_offset
        )
    files.sync(descriptor, path)


def _stale(directory: str, names: Iterable[str], kept: set[str]) -> tuple[str, ...]:
    """Segments outside of the chain that are explained: removed by retention, or of a writer that lost its lease."""
    numbers = {parsed_name(name) for name in kept}
    oldest = min(number for number in numbers if number)
    firsts = {number[0] for number in numbers if number}
    stale = []
    for name in sorted(set(names) - kept):
        own = parsed_name(name)
        if own is not None and (own[0] < oldest[0] or own[0] in firsts):
            stale.append(os.path.join(directory, name))
        elif own is not None:
            files.logger.warning("%s in %s is no part of the log", name, directory)
    return tuple(stale)
