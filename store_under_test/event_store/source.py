"""The log as the views read it: by sequence number, and single frames by their place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from store_under_test.event_store.event import Event
from store_under_test.event_store.log import Log
from store_under_test.event_store.reading import Frame
from store_under_test.event_store.recovery import SegmentInfo


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame stands in its segment, in bytes, and the wanted events, ascending, counted from its first."""

    offset: int
    end_offset: int
    events: list[int]


class Source:
    """The durable events of `log`. Threads may use it at once, also while the log grows."""

    def __init__(self, log: Log) -> None:
        self._log = log

    @property
    def last_sequence(self) -> int:
        """The newest durable event; 0 if there is none."""
        return self._log.last_sequence

    @property
    def retained_from(self) -> int:
        """The oldest event that retention has left, or will have."""
        return self._log.retained_from

    def segments(self) -> list[SegmentInfo]:
        """Those with events, oldest first; all but the active one are sealed."""
        return [info for info in self._log.segments() if info.last_sequence >= info.first_sequence]

    def frames(self, first_sequence: int, offset: int | None = None) -> Iterator[Frame]:
        """The frames from the one with that event on; `offset` is where it stands, if that is known."""
        return self._log.frames(first_sequence, offset=offset)

    def events_at(self, segment: SegmentInfo, places: Iterable[Place]) -> Iterator[Event]:
        """The events at `places`. Raises `CursorExpiredError` if retention has removed the segment, `DamagedError`."""
        for place in places:
            yield from self._log.frame_at(segment, place.offset, place.end_offset, place.events)
