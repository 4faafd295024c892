"""Reading frames: a piece of a segment at a time, so that memory does not grow with the log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from store_under_test.event_store.codec import decode_control
from store_under_test.event_store.errors import DamagedError
from store_under_test.event_store.files import read_at
from store_under_test.event_store.segment import (
    ALIGNMENT,
    CONTROL,
    DATA_OFFSET,
    EVENTS,
    FRAME_HEADER_BYTES,
    FRAME_MAGIC,
    FrameHeader,
    Header,
    decode_frame,
    frame_bytes,
)

CHUNK_BYTES = 1 << 20
FIRST_CHUNK_BYTES = 1 << 16  # whoever wants one frame does not want a megabyte


class RawFrame(NamedTuple):
    """A frame that verifies, and where it stands."""

    offset: int
    end_offset: int  # where the next one may start
    header: FrameHeader
    payload: memoryview


@dataclass(frozen=True, slots=True)
class Scan:
    """What the frames of a segment amount to."""

    end_offset: int
    last_offset: int | None  # of the last frame
    checksum: int  # of the last frame; 0 without one
    next_sequence: int
    epoch: int
    retained_from: int


@dataclass(frozen=True, slots=True)
class Tail:
    """What follows the last frame that verifies: the end of the last byte that is no zero, and a frame after all."""

    dirty_end: int
    frame_offset: int | None


def raw_frames(descriptor: int, seed: int, start: int, end: int) -> Iterator[RawFrame]:
    """The frames from `start`, up to `end` or the first place where none verifies, whichever comes first."""
    buffer, base, offset, chunk_bytes = memoryview(b""), start, start, FIRST_CHUNK_BYTES
    while offset < end:
        found = decode_frame(seed, offset, buffer, offset - base)
        if isinstance(found, FrameHeader):
            first_byte = offset - base + FRAME_HEADER_BYTES
            end_offset = offset + frame_bytes(found.payload_bytes)
            yield RawFrame(offset, end_offset, found, buffer[first_byte : first_byte + found.payload_bytes])
            offset = end_offset
            continue
        if found == 0 or offset + found > end:
            return
        buffer, base = memoryview(read_at(descriptor, min(max(found, chunk_bytes), end - offset), offset)), offset
        chunk_bytes = min(2 * chunk_bytes, CHUNK_BYTES)
        if len(buffer) < found:
            return


def scan(descriptor: int, header: Header, path: str, end: int) -> Scan:
    """Go through all frames up to `end`, without decoding events. Raises `DamagedError` if they make no sense."""
    found = Scan(DATA_OFFSET, None, 0, header.first_sequence, header.epoch, header.retained_from)
    following, retained_from, epoch = header.first_sequence, header.retained_from, header.epoch
    last: RawFrame | None = None
    for frame in raw_frames(descriptor, header.seed, DATA_OFFSET, end):
        _, kind, _, first, count, frame_epoch, _, _ = frame.header
        if first != following or frame_epoch < epoch or kind not in (EVENTS, CONTROL):
            raise DamagedError(path, (frame.offset, frame.end_offset), f"a frame out of order; {following} was due")
        if kind == CONTROL:
            retained_from = max(retained_from, decode_control(frame.payload).get("retained_from", 1))
        following, epoch, last = following + count, frame_epoch, frame
    if last is None:
        return found
    return Scan(last.end_offset, last.offset, last.header.checksum, following, epoch, retained_from)


def tail(descriptor: int, seed: int, start: int, size: int) -> Tail:
    """What stands between the end of the log at `start` and the end of the file."""
    dirty_end, position = start, start
    while position < size and (chunk := read_at(descriptor, min(CHUNK_BYTES, size - position), position)):
        if chunk != bytes(len(chunk)):
            dirty_end = position + len(chunk.rstrip(b"\0"))
            frame_offset = _frame_in(descriptor, seed, chunk, position, size)
            if frame_offset is not None:
                return Tail(dirty_end, frame_offset)
        position += len(chunk)
    return Tail(dirty_end, None)


def _frame_in(descriptor: int, seed: int, chunk: bytes, base: int, size: int) -> int | None:
    """The offset of the first frame that starts in `chunk`, which stands at `base`, and verifies."""
    position = chunk.find(FRAME_MAGIC)
    while position >= 0:
        offset = base + position
        if offset % ALIGNMENT == 0 and next(raw_frames(descriptor, seed, offset, size), None) is not None:
            return offset
        position = chunk.find(FRAME_MAGIC, position + 1)
    return None
