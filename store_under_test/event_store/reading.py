"""Reading the log while it is being written: only what is durable, a frame at a time."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from store_under_test.event_store import codec, files
from store_under_test.event_store.errors import CursorExpiredError, DamagedError
from store_under_test.event_store.event import Event
from store_under_test.event_store.recovery import SegmentInfo
from store_under_test.event_store.redundancy import Redundancy
from store_under_test.event_store.scan import RawFrame, raw_frames, tail
from store_under_test.event_store.segment import BLOCK_BYTES, DATA_OFFSET, EVENTS, decode_header

MAX_OPEN = 16  # segments that are kept open for reading
MAX_REPAIRS = 1000  # of one reading


class Frame(NamedTuple):
    """What one group of appends left. `offset` is its place in `segment`, which is as it was when it was read."""

    first_sequence: int
    count: int  # type: ignore[assignment]  # nobody counts the fields of a frame
    segment: SegmentInfo
    offset: int
    events: list[Event]


class Readable(Protocol):
    """What a reader asks of the log."""

    last_sequence: int
    retained_from: int

    def segments(self) -> tuple[SegmentInfo, ...]:
        """The segments, oldest first."""


class _OpenSegment:
    """A segment, open for reading. Closed when the last one who uses it lets it go."""

    def __init__(self, path: str) -> None:
        self.descriptor = -1
        self.descriptor = files.open_file(path, os.O_RDONLY)
        self.header = decode_header(files.read_at(self.descriptor, BLOCK_BYTES, 0), path)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            files.close_quietly(self.descriptor)


class Reader:
    """Reads frames for many threads."""

    def __init__(self, log: Readable, redundancy: Redundancy | None) -> None:
        self._log = log
        self._redundancy = redundancy
        self._open: OrderedDict[str, _OpenSegment] = OrderedDict()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let the files go."""
        with self._lock:
            self._open.clear()

    def forget(self, path: str) -> None:
        """The segment was removed, or its file replaced."""
        with self._lock:
            self._open.pop(path, None)

    def frames(self, sequence: int, offset: int | None = None) -> Iterator[Frame]:
        """The frames from the one with event `sequence` on; `offset`: where that one is, if it is known."""
        log, repairs = self._log, 0
        sequence = max(sequence, 1)
        while sequence <= log.last_sequence:
            if sequence < log.retained_from:
                raise CursorExpiredError(sequence, log.retained_from)
            info = next(info for info in reversed(log.segments()) if info.first_sequence <= sequence)
            try:
                for frame in self._frames_in(info, sequence, offset or DATA_OFFSET):
                    yield frame
                    sequence = frame.first_sequence + frame.count
            except FileNotFoundError:
                if sequence >= log.retained_from:
                    raise DamagedError(info.path, (0, info.end_offset), "the segment is missing") from None
            except DamagedError as damage:
                repairs += 1
                if repairs > MAX_REPAIRS or not self._repair(damage):
                    raise
            offset = None

    def frame_at(
        self, info: SegmentInfo, offset: int, end_offset: int | None = None, wanted: Sequence[int] | None = None
    ) -> list[Event]:
        """The events of one frame, or those `wanted`, ascending and counted from its first.

        `end_offset`: where it ends, if that is known, which spares reading ahead.
        """
        while True:
            try:
                segment = self._segment(info.path)
                end = files.size_of(segment.descriptor) if end_offset is None else end_offset
                for raw in raw_frames(segment.descriptor, segment.header.seed, offset, end):
                    return _events(info.path, raw, wanted)
                raise DamagedError(info.path, (offset, info.end_offset), "events are damaged")
            except FileNotFoundError:
                raise CursorExpiredError(info.first_sequence, self._log.retained_from) from None
            except DamagedError as damage:
                if not self._repair(damage):
                    raise

    def _repair(self, damage: DamagedError) -> bool:
        if self._redundancy is None or not self._redundancy.repair(damage):
            return False
        self.forget(damage.path)
        return True

    def _segment(self, path: str) -> _OpenSegment:
        with self._lock:
            found = self._open.get(path)
            if found is None:
                found = self._open[path] = _OpenSegment(path)
                if len(self._open) > MAX_OPEN:
                    self._open.popitem(last=False)
            else:
                self._open.move_to_end(path)
            return found

    def _frames_in(self, info: SegmentInfo, sequence: int, offset: int) -> Iterator[Frame]:
        segment = self._segment(info.path)
        descriptor, seed = segment.descriptor, segment.header.seed
        following = info.first_sequence if offset == DATA_OFFSET else None
        for raw in raw_frames(descriptor, seed, offset, info.end_offset):
            offset = raw.end_offset
            first, count = raw.header.first_sequence, raw.header.count
            if raw.header.kind != EVENTS:
                continue
            if following not in (None, first) or first > sequence:
                raise DamagedError(info.path, (raw.offset, offset), f"a frame out of order; {following} was due")
            following = first + count
            if following > sequence:
                yield Frame(first, count, info, raw.offset, _events(info.path, raw))
                sequence = following
        if offset < info.end_offset:
            size = min(files.size_of(descriptor), info.end_offset)
            after = tail(descriptor, seed, offset, size).frame_offset
            raise DamagedError(info.path, (offset, after or info.end_offset), "events are damaged")


def _events(path: str, raw: RawFrame, wanted: Sequence[int] | None = None) -> list[Event]:
    try:
        return codec.decode_frame(raw.payload, raw.header.first_sequence, raw.header.count, wanted)
    except Exception as error:
        raise DamagedError(path, (raw.offset, raw.end_offset), f"the frame makes no sense: {error}") from error
