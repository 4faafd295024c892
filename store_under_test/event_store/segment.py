"""The format of a segment, as pure functions over bytes. docs/adr/0011 says why it is like this.

    block 0      4096 bytes: the header, written once, before the segment gets its name
    block 1      4096 bytes: the mark, or zeros
    from 8192    frames, each at a multiple of 8; zeros up to the end of the file

A segment is named `events-<first sequence>-<epoch>.log`. The header says where the segment before it ends, which seals
that one: what a writer that lost its lease adds there later is no part of the log.

A frame is what one group of appends left. Its checksum covers the nonce of the segment and the offset of the frame,
so that bytes of another file or place never verify; all zeros never do either. A frame is written after
the one before it was made durable. So one that does not verify is torn if it is the last, and damaged otherwise.

The mark says up to where the segment was durable once. It is written on closing, so that damage to the last frames of
a closed store is no torn tail. It stays true when frames follow, and a mark that does not verify says nothing.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from typing import NamedTuple

from crc32c import crc32c

from store_under_test.event_store.errors import DamagedError, ForeignFormatError

BLOCK_BYTES = 4096
MARK_OFFSET = BLOCK_BYTES
DATA_OFFSET = 2 * BLOCK_BYTES
ALIGNMENT = 8

EVENTS = 1
CONTROL = 2

FORMAT_VERSION = 1
_MAGIC = b"EVSTORE1"
NONCE_BYTES = 16
_CRC = struct.Struct("<I")
# magic, format version, flags, nonce, epoch, first sequence; of the segment before: first sequence, epoch, end,
# checksum of its last frame; first sequence that retention has left; bytes of the file when it got its name
_HEADER = struct.Struct("<8sHH4x16sQQQQQI4xQQ")
_CRC_OFFSET = BLOCK_BYTES - _CRC.size  # in every format version

_MARK_MAGIC = b"EVMARK01"
_MARK = struct.Struct("<8sQI")  # magic, end, checksum over the nonce and both

FRAME_MAGIC = b"\xf5EvF"
# magic, kind, length of the payload, first sequence, events, epoch, reserved, checksum over all and the payload
_FRAME = struct.Struct("<4sB3xIQIIQI")
_COVERED = struct.Struct("<4sB3xIQIIQ")
FRAME_HEADER_BYTES = _FRAME.size
_OFFSET = struct.Struct("<Q")

SUFFIX = ".log"
_NAME = re.compile(rf"events-(\d{{20}})-(\d{{10}}){re.escape(SUFFIX)}")


@dataclass(frozen=True, slots=True)
class Previous:
    """Where the segment before ends: its name's numbers, the offset after its last frame, that frame's checksum."""

    first_sequence: int = 0  # 0: there is none
    epoch: int = 0
    end_offset: int = 0
    checksum: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """What block 0 says."""

    nonce: bytes
    epoch: int
    first_sequence: int
    previous: Previous
    retained_from: int = 1
    size_bytes: int = 0  # of the file when it got its name; it never gets smaller

    @property
    def name(self) -> str:
        """The name of the segment's file."""
        return f"events-{self.first_sequence:020d}-{self.epoch:010d}{SUFFIX}"

    @property
    def seed(self) -> int:
        """What the checksums of this segment start from."""
        return int(crc32c(self.nonce))

    def encoded(self) -> bytes:
        """Block 0."""
        before = self.previous
        fields = _HEADER.pack(
            *(_MAGIC, FORMAT_VERSION, 0, self.nonce, self.epoch, self.first_sequence),
            *(before.first_sequence, before.epoch, before.end_offset, before.checksum),
            *(self.retained_from, self.size_bytes),
        )
        covered = fields.ljust(_CRC_OFFSET, b"\0")
        return covered + _CRC.pack(crc32c(covered))


def parsed_name(name: str) -> tuple[int, int] | None:
    """First sequence and epoch of a segment by its file's name; `None` for another file."""
    match = _NAME.fullmatch(name)
    return None if match is None else (int(match[1]), int(match[2]))


def decode_header(block: bytes, path: str) -> Header:
    """The header of the segment at `path`.

    Raises `ForeignFormatError` for another format version, `DamagedError` if it is not what was written.
    """
    damaged = DamagedError(path, (0, BLOCK_BYTES), "the header of the segment is damaged, or of another program")
    if len(block) < BLOCK_BYTES or _CRC.unpack_from(block, _CRC_OFFSET)[0] != crc32c(block[:_CRC_OFFSET]):
        raise damaged
    magic, version, _, nonce, epoch, first, *before, retained_from, size = _HEADER.unpack_from(block)
    if magic != _MAGIC:
        raise damaged
    if version != FORMAT_VERSION:
        raise ForeignFormatError(path, f"format version {version}; this program reads {FORMAT_VERSION}")
    if parsed_name(os.path.basename(path)) != (first, epoch):
        raise DamagedError(path, (0, BLOCK_BYTES), f"the header is that of segment {first} of epoch {epoch}")
    return Header(nonce, epoch, first, Previous(*before), retained_from, size)


def encode_mark(header: Header, end_offset: int) -> bytes:
    """The mark: the segment is durable up to `end_offset`."""
    covered = _MARK_MAGIC + _OFFSET.pack(end_offset)
    return covered + _CRC.pack(crc32c(covered, header.seed))


def decode_mark(header: Header, block: bytes) -> int:
    """Up to where the segment was durable once; `DATA_OFFSET` if the mark does not say."""
    if len(block) < _MARK.size:
        return DATA_OFFSET
    magic, end_offset, checksum = _MARK.unpack_from(block)
    if magic != _MARK_MAGIC or checksum != crc32c(block[: _MARK.size - _CRC.size], header.seed):
        return DATA_OFFSET
    return int(end_offset)


class FrameHeader(NamedTuple):
    """What stands before a payload."""

    magic: bytes
    kind: int
    payload_bytes: int
    first_sequence: int
    count: int  # type: ignore[assignment]  # nobody counts the fields of a frame
    epoch: int
    reserved: int
    checksum: int


def frame_bytes(payload_bytes: int) -> int:
    """The room that a frame with such a payload takes."""
    return (FRAME_HEADER_BYTES + payload_bytes + ALIGNMENT - 1) & -ALIGNMENT


def encode_frame(
    seed: int, offset: int, payload: bytes, *, kind: int, first_sequence: int, count: int, epoch: int
) -> tuple[bytes, int]:
    """The frame that stands at `offset` of the segment with this seed, and its checksum."""
    covered = _COVERED.pack(FRAME_MAGIC, kind, len(payload), first_sequence, count, epoch, 0)
    checksum = crc32c(payload, crc32c(_OFFSET.pack(offset) + covered, seed))
    padding = bytes(-(FRAME_HEADER_BYTES + len(payload)) % ALIGNMENT)
    return b"".join((covered, _CRC.pack(checksum), payload, padding)), checksum


def decode_frame(seed: int, offset: int, data: bytes | memoryview, position: int) -> FrameHeader | int:
    """The header of the frame in `data` at `position`, which is byte `offset` of the segment, if the frame verifies.

    Otherwise the number of bytes that would be needed to tell, if there are fewer; 0 if it does not verify.
    """
    available = len(data) - position
    if available < FRAME_HEADER_BYTES:
        return FRAME_HEADER_BYTES
    header = FrameHeader._make(_FRAME.unpack_from(data, position))
    if header.magic != FRAME_MAGIC:
        return 0
    needed = FRAME_HEADER_BYTES + header.payload_bytes
    if available < needed:
        return needed
    start = position + FRAME_HEADER_BYTES
    covered = _OFFSET.pack(offset) + data[position : start - _CRC.size]
    if crc32c(data[start : position + needed], crc32c(covered, seed)) != header.checksum:
        return 0
    return header
