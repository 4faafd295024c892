"""The file of a sealed segment's index: packed arrays behind a header, each with a checksum of its own.

    magic (8 bytes) | length of the header u32 | crc32c of the header u32 | header (msgpack) | arrays

The header binds the file to its segment (first and last sequence, end, nonce) and lists the arrays with
their places and checksums, so that a query reads and verifies only what it uses. Numbers are little-endian.
"""

from __future__ import annotations

import os
import struct
import sys
from array import array
from bisect import bisect_right
from dataclasses import dataclass
from typing import cast

import msgpack
from crc32c import crc32c

from store_under_test.event_store.derived import read_part, write_atomically
from store_under_test.event_store.postings import (
    FIELDS,
    Growing,
    Packed,
    from_little_endian,
    little_endian,
)
from store_under_test.event_store.recovery import SegmentInfo
from store_under_test.event_store.source import Place

MAGIC = b"EVINDEX1"
SUFFIX = ".idx"
MAX_HEADER_BYTES = 64 * 1024
_START = struct.Struct("<8sII")


class DamagedIndexError(Exception):
    """An index file does not verify, or is not of this segment. Handled in `index`; never leaves the store."""


@dataclass(frozen=True, slots=True)
class Table:
    """The frames of a segment: the ordinal of the first event of each, and its offset in the file."""

    firsts: array[int]
    offsets: array[int]

    def places(self, ordinals: array[int], end_offset: int) -> list[Place]:
        """Where the events with these ordinals, ascending, stand; `end_offset` is the end of the last frame."""
        places: list[Place] = []
        first, beyond = 0, -1
        for ordinal in ordinals:
            if ordinal >= beyond:
                number = bisect_right(self.firsts, ordinal)
                first = self.firsts[number - 1]
                is_last = number == len(self.firsts)
                beyond = sys.maxsize if is_last else self.firsts[number]
                end = end_offset if is_last else self.offsets[number]
                places.append(Place(self.offsets[number - 1], end, []))
            places[-1].events.append(ordinal - first)
        return places

    @property
    def size_bytes(self) -> int:
        return len(self.firsts) * 4 + len(self.offsets) * 8


@dataclass(frozen=True, slots=True)
class Header:
    """What an index file says of itself. `low` and `high` are the extreme time stamps."""

    binding: tuple[int, int, int, bytes]
    low: float
    high: float
    parts: dict[str, tuple[int, int, int]]  # offset in the file and length in bytes, crc32c


@dataclass(frozen=True, slots=True)
class IndexFile:
    """An index file whose header was read and is of its segment."""

    path: str
    header: Header

    @classmethod
    def open(cls, segment: SegmentInfo) -> IndexFile | None:
        """`None` if there is none; raises `DamagedIndexError`."""
        path = path_of(segment)
        try:
            start = read_part(path, 0, MAX_HEADER_BYTES)
        except FileNotFoundError:
            return None
        header = header_of(path, start)
        if header.binding != binding_of(segment):
            raise DamagedIndexError(f"{path} is the index of another segment")
        return cls(path, header)

    def postings(self, field: str) -> Packed:
        return Packed(
            self._array("Q", f"{field}.hashes"),
            self._array("I", f"{field}.ends"),
            self._array("I", f"{field}.ordinals"),
        )

    def keys(self, field: str) -> array[int]:
        """The hashes of all keys of a field."""
        return self._array("Q", f"{field}.hashes")

    def table(self) -> Table:
        return Table(self._array("I", "frames.firsts"), self._array("Q", "frames.offsets"))

    def timestamps(self) -> array[float]:
        return cast("array[float]", self._array("d", "timestamps"))

    def _array(self, typecode: str, name: str) -> array[int]:
        offset, length, checksum = self.header.parts[name]
        try:
            data = read_part(self.path, offset, length)
        except FileNotFoundError as error:
            raise DamagedIndexError(f"{self.path} is gone") from error
        if len(data) != length or crc32c(data) != checksum:
            raise DamagedIndexError(f"{self.path} is damaged in {name}")
        return from_little_endian(typecode, data)


def path_of(segment: SegmentInfo) -> str:
    return os.path.splitext(segment.path)[0] + SUFFIX


def binding_of(segment: SegmentInfo) -> tuple[int, int, int, bytes]:
    return segment.first_sequence, segment.last_sequence, segment.end_offset, segment.nonce


def header_of(path: str, start: bytes) -> Header:
    """What an index file that begins with `start` says of itself. Raises `DamagedIndexError`."""
    if len(start) < _START.size:
        raise DamagedIndexError(f"{path} is too short for an index")
    magic, length, checksum = _START.unpack_from(start)
    packed = start[_START.size : _START.size + length]
    if magic != MAGIC or len(packed) != length or crc32c(packed) != checksum:
        raise DamagedIndexError(f"{path} has a damaged header")
    first, last, end, nonce, low, high, parts = msgpack.unpackb(packed)
    base = _START.size + length
    places = {name: (base + offset, size, crc) for name, (offset, size, crc) in parts.items()}
    return Header((first, last, end, nonce), low, high, places)


def write_index(
    segment: SegmentInfo,
    postings: Growing,
    table: Table,
    timestamps: array[float],
    times: tuple[float, float],
) -> None:
    """Replace the index file of `segment`, which is sealed. Raises `OSError`; the old file stays then."""
    arrays: dict[str, bytes] = {
        "frames.firsts": little_endian(table.firsts),
        "frames.offsets": little_endian(table.offsets),
        "timestamps": little_endian(timestamps),
    }
    for field in FIELDS:
        packed = postings.packed(field)
        arrays[f"{field}.hashes"] = little_endian(packed.hashes)
        arrays[f"{field}.ends"] = little_endian(packed.ends)
        arrays[f"{field}.ordinals"] = little_endian(packed.ordinals)
    write_atomically(path_of(segment), _encoded([*binding_of(segment), *times], arrays))


def _encoded(binding: list[object], arrays: dict[str, bytes]) -> bytes:
    parts, offset = {}, 0
    for name, data in arrays.items():
        parts[name] = (offset, len(data), crc32c(data))
        offset += len(data)
    header = msgpack.packb([*binding, parts])
    return b"".join((_START.pack(MAGIC, len(header), crc32c(header)), header, *arrays.values()))
