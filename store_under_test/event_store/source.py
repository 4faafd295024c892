"""The log as the views read it: by sequence number, and single frames by their place.

A frame whose place is known is read and verified alone, with one call; what does not verify is read once more through
the log, which repairs it where there is redundancy, and else says what is damaged.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from store_under_test.event_store import codec
from store_under_test.event_store.event import Event
from store_under_test.event_store.files import close_quietly, open_file, read_at
from store_under_test.event_store.log import Log
from store_under_test.event_store.reading import Frame
from store_under_test.event_store.recovery import SegmentInfo
from store_under_test.event_store.scan import raw_frames
from store_under_test.event_store.segment import BLOCK_BYTES, EVENTS, Header, decode_header


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame stands in its segment, in bytes, and the ordinals of the wanted events, counted from its first."""

    offset: int
    end_offset: int
    events: list[int]


class Source:
    """The durable events of `log`. Threads may use it at once, also while the log grows."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._headers: dict[str, Header] = {}

    @property
    def last_sequence(self) -> int:
        """The newest durable event; 0 if there is none."""
        return self._log.last_sequence

    @property
    def retained_from(self) -> int:
        """The oldest event that retention has left, or will have."""
        return self._log.retained_from

    @property
    def directory(self) -> str:
        return self._log.directory

    def segments(self) -> list[SegmentInfo]:
        """Those with events, oldest first; all but the active one are sealed."""
        return [info for info in self._log.segments() if info.last_sequence >= info.first_sequence]

    def frames(self, first_sequence: int, offset: int | None = None) -> Iterator[Frame]:
        """The frames from the one with that event on; `offset` is where it stands, if that is known."""
        return self._log.frames(first_sequence, offset=offset)

    def events_at(self, segment: SegmentInfo, places: Iterable[Place]) -> Iterator[Event]:
        """The events at `places`. Raises `FileNotFoundError` if retention has removed the segment, `DamagedError`."""
        descriptor = open_file(segment.path, os.O_RDONLY)
        try:
            seed = self._header(segment.path, descriptor).seed
            for place in places:
                events = self._events(segment, descriptor, seed, place)
                for number in place.events:
                    yield events[number]
        finally:
            close_quietly(descriptor)

    def nonce(self, path: str) -> bytes:
        """What is random in the header of the segment at `path`."""
        known = self._headers.get(path)
        if known is not None:
            return known.nonce
        descriptor = open_file(path, os.O_RDONLY)
        try:
            return self._header(path, descriptor).nonce
        finally:
            close_quietly(descriptor)

    def forget(self, path: str) -> None:
        """The segment at `path` is gone."""
        self._headers.pop(path, None)

    def _header(self, path: str, descriptor: int) -> Header:
        known = self._headers.get(path)
        if known is None:
            known = self._headers[path] = decode_header(read_at(descriptor, BLOCK_BYTES, 0), path)
        return known

    def _events(self, segment: SegmentInfo, descriptor: int, seed: int, place: Place) -> list[Event]:
        for raw in raw_frames(descriptor, seed, place.offset, place.end_offset):
            if raw.header.kind == EVENTS:
                return codec.decode_frame(raw.payload, raw.header.first_sequence, raw.header.count)
        return self._log.frame_at(segment.first_sequence, place.offset).events
