"""Reading the log while it is being written: only what is durable, a frame at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from store_under_test.event_store import codec, files
from store_under_test.event_store.errors import CursorExpiredError, DamagedError
from store_under_test.event_store.event import Event
from store_under_test.event_store.recovery import SegmentInfo
from store_under_test.event_store.redundancy import Redundancy
from store_under_test.event_store.scan import RawFrame, raw_frames, tail
from store_under_test.event_store.segment import BLOCK_BYTES, DATA_OFFSET, EVENTS, decode_header

MAX_REPAIRS = 1000  # of one reading


class Frame(NamedTuple):
    """What one group of appends left: its first sequence, events in number, segment (its first sequence) and offset."""

    first_sequence: int
    count: int
    segment: int
    offset: int
    events: list[Event]


class Readable(Protocol):
    """What a reader asks of the log."""

    last_sequence: int
    retained_from: int

    def segments(self) -> tuple[SegmentInfo, ...]:
        """The segments, oldest first."""


def frames_of(log: Readable, sequence: int, offset: int | None, redundancy: Redundancy | None) -> Iterator[Frame]:
    """The frames of `log` from the one with event `sequence` on."""
    repairs = 0
    sequence = max(sequence, 1)
    while sequence <= log.last_sequence:
        if sequence < log.retained_from:
            raise CursorExpiredError(sequence, log.retained_from)
        info = next(info for info in reversed(log.segments()) if info.first_sequence <= sequence)
        try:
            for frame in _frames_in(info, sequence, offset or DATA_OFFSET):
                yield frame
                sequence = frame.first_sequence + frame.count
        except FileNotFoundError:
            if sequence >= log.retained_from:
                raise DamagedError(info.path, (0, info.end_offset), "the segment is missing") from None
        except DamagedError as damage:
            repairs += 1
            if redundancy is None or repairs > MAX_REPAIRS or not redundancy.repair(damage):
                raise
        offset = None


def _frames_in(info: SegmentInfo, sequence: int, offset: int) -> Iterator[Frame]:
    descriptor = files.open_file(info.path, os.O_RDONLY)
    try:
        header = decode_header(files.read_at(descriptor, BLOCK_BYTES, 0), info.path)
        for raw in raw_frames(descriptor, header.seed, offset, info.end_offset):
            offset = raw.end_offset
            first, count = raw.header.first_sequence, raw.header.count
            if raw.header.kind == EVENTS and first + count > sequence:
                if first > sequence and first != header.first_sequence:
                    raise DamagedError(info.path, (raw.offset, offset), f"a frame out of order; {sequence} was due")
                yield Frame(first, count, header.first_sequence, raw.offset, _events(info.path, raw))
                sequence = first + count
        if offset < info.end_offset:
            size = files.size_of(descriptor)
            after = tail(descriptor, header.seed, offset, min(size, info.end_offset)).frame_offset
            raise DamagedError(info.path, (offset, after or info.end_offset), "events are damaged")
    finally:
        files.close_quietly(descriptor)


def _events(path: str, raw: RawFrame) -> list[Event]:
    try:
        return codec.decode_frame(raw.payload, raw.header.first_sequence, raw.header.count)
    except Exception as error:
        raise DamagedError(path, (raw.offset, raw.end_offset), f"the frame makes no sense: {error}") from error
