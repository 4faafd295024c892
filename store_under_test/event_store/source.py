"""What the views need of the log: its durable events, by sequence number and by place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from store_under_test.event_store.event import Event


class Segment(Protocol):
    """One file of the log. Of the active one `last_sequence` and `end_offset` are those of a moment."""

    @property
    def first_sequence(self) -> int: ...
    @property
    def last_sequence(self) -> int: ...
    @property
    def path(self) -> str: ...
    @property
    def end_offset(self) -> int: ...
    @property
    def sealed(self) -> bool: ...
    @property
    def nonce(self) -> bytes: ...


class Frame(Protocol):
    """The events of one group commit."""

    @property
    def first_sequence(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def segment(self) -> Segment: ...
    @property
    def offset(self) -> int: ...
    @property
    def events(self) -> list[Event]: ...


class Source(Protocol):
    """A log, open for reading. Threads may use it at once, also while it grows."""

    @property
    def last_sequence(self) -> int:
        """The newest durable event; 0 if there is none."""

    def segments(self) -> tuple[Segment, ...]:
        """Oldest first; the last is the active one."""

    def frames(self, first_sequence: int) -> Iterator[Frame]:
        """The durable frames from the one that holds `first_sequence` on."""

    def frame_at(self, segment: Segment, offset: int) -> list[Event]:
        """The events of the frame at `offset`, verified."""
