"""Reading the log by what the events are: pages of a query, one aggregate's stream, chains of causes.

A query sees the durable events of the moment at which it is asked, in the order of their sequence numbers. Its cursor
is the position behind the page: it stays good while events are appended, and expires when retention has removed what
would come next. Filters are combined with "and". Events come in the current version of their schema.
"""

from __future__ import annotations

import base64
import binascii
import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import msgpack
from crc32c import crc32c

from store_under_test.event_store.errors import CursorExpiredError, EventStoreError
from store_under_test.event_store.event import Event
from store_under_test.event_store.index import Indexes, SegmentIndex
from store_under_test.event_store.postings import intersection
from store_under_test.event_store.recovery import SegmentInfo
from store_under_test.event_store.source import Source
from store_under_test.event_store.upcast import Upcasters

DEFAULT_LIMIT = 1000
MAX_LIMIT = 10_000
MAX_CHAIN = 10_000
_CHUNK = 1024  # ordinals that are turned into places at once
_TRIES = 3  # while retention removes segments under a reader's hands
_CURSOR = struct.Struct("<BQII")  # version, next sequence, fingerprint of the filter, checksum
_CURSOR_VERSION = 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which events: all that is given has to fit.

    `since` (included) and `until` (not) are seconds UTC; `first` and `last` are sequence numbers, both included.
    """

    aggregate: str | None = None
    type: str | None = None
    actor: str | None = None
    correlation: str | None = None
    since: float | None = None
    until: float | None = None
    first: int | None = None
    last: int | None = None

    def keys(self) -> list[tuple[str, str]]:
        """The fields that an index can look up."""
        pairs = (
            ("aggregate", self.aggregate),
            ("type", self.type),
            ("actor", self.actor),
            ("correlation", self.correlation),
        )
        return [(field, key) for field, key in pairs if key is not None]

    @property
    def timed(self) -> bool:
        return self.since is not None or self.until is not None

    def holds_time(self, timestamp: float) -> bool:
        return (self.since is None or timestamp >= self.since) and (self.until is None or timestamp < self.until)

    def overlaps(self, low: float, high: float) -> bool:
        """Whether anything between the two time stamps can be meant."""
        return (self.since is None or high >= self.since) and (self.until is None or low < self.until)

    def holds(self, event: Event) -> bool:
        """Whether `event` is meant, its sequence number aside."""
        return (
            (self.aggregate is None or event.aggregate == self.aggregate)
            and (self.type is None or event.type == self.type)
            and (self.actor is None or event.actor == self.actor)
            and (self.correlation is None or event.correlation_id == self.correlation)
            and self.holds_time(event.timestamp)
        )

    def fingerprint(self) -> int:
        """So that a cursor of one query does not page through another."""
        return int(crc32c(msgpack.packb(astuple(self), unicode_errors="surrogatepass")))


class StreamExpiredError(CursorExpiredError):
    """Retention has removed versions `first` to `last` of `aggregate`."""

    def __init__(self, aggregate: str, first: int, last: int) -> None:
        EventStoreError.__init__(self, aggregate, first, last)
        self.aggregate = aggregate
        self.first = first
        self.last = last

    def __str__(self) -> str:
        return f"{self.aggregate!r}: versions {self.first} to {self.last} are gone"


class Page(NamedTuple):
    """Events in order, and the cursor of the next page; `None` when there is no more at present."""

    events: list[Event]
    cursor: str | None


def encode_cursor(sequence: int, filter: Filter) -> str:
    """Opaque text for "go on at `sequence`"."""
    body = _CURSOR.pack(_CURSOR_VERSION, sequence, filter.fingerprint(), 0)
    return base64.urlsafe_b64encode(_CURSOR.pack(*_CURSOR.unpack(body)[:3], crc32c(body))).decode()


def decode_cursor(cursor: str, filter: Filter) -> int:
    """The sequence number to go on at. Raises `ValueError` for what is no cursor of this query."""
    try:
        version, sequence, fingerprint, checksum = _CURSOR.unpack(base64.urlsafe_b64decode(cursor))
    except (struct.error, binascii.Error, ValueError) as error:
        raise ValueError("this is not a cursor") from error
    if version != _CURSOR_VERSION or crc32c(_CURSOR.pack(version, sequence, fingerprint, 0)) != checksum:
        raise ValueError("this is not a cursor of this version, or a damaged one")
    if fingerprint != filter.fingerprint():
        raise ValueError("this is the cursor of another query")
    return int(sequence)


class Reader:
    """Queries over `source` through `indexes`. Threads may share it."""

    def __init__(
        self,
        source: Source,
        indexes: Indexes,
        upcasters: Upcasters,
        version_of: Callable[[str], int] = lambda aggregate: 0,
    ) -> None:
        """`version_of` knows the newest version of an aggregate, also when retention has removed its events."""
        self._source = source
        self._version_of = version_of
        self._indexes = indexes
        self._upcasters = upcasters

    def query(self, filter: Filter, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page:
        """At most `limit` (1 to 10,000) events, oldest first.

        Raises `CursorExpiredError`; `UnknownSchemaError` for an event of a newer schema; `ValueError` for a bad
        cursor or limit; `DamagedError` if what has to be read is damaged.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise ValueError(f"a page has 1 to {MAX_LIMIT} events, not {limit}")
        start = None if cursor is None else decode_cursor(cursor, filter)
        return self._again_if_removed(lambda: self._page(filter, limit, start))

    def read_stream(self, aggregate: str, from_version: int = 1) -> Iterator[Event]:
        """The events of one aggregate from `from_version` on, as of now, read as they are asked for.

        Raises `CursorExpiredError` if retention has removed events that belong to it: a state that is folded
        from the rest would be wrong.
        """
        newest = self._version_of(aggregate)
        last = self._source.last_sequence
        expected = from_version
        for segment in self._source.segments():
            for event in self._present(segment, self._stream_of(segment, aggregate, last, from_version)):
                if event.version > expected:
                    raise StreamExpiredError(aggregate, expected, event.version - 1)
                expected = event.version + 1
                yield self._upcasters.apply(event)
        if expected <= newest:
            raise StreamExpiredError(aggregate, expected, newest)

    def find(self, id: str) -> Event | None:
        """The event with this id, the oldest of them."""
        event = self._again_if_removed(lambda: next((event for event in self._with("id", id) if event.id == id), None))
        return None if event is None else self._upcasters.apply(event)

    def effects(self, id: str) -> list[Event]:
        """The events that name `id` as their cause, oldest first."""
        events = self._again_if_removed(
            lambda: [event for event in self._with("causation", id) if event.causation_id == id]
        )
        return [self._upcasters.apply(event) for event in events]

    def causation_chain(self, id: str) -> list[Event]:
        """From the first cause that the log still has down to the event with this id; empty if it is not there.

        Ends where a cause is not in the log, where a chain bites its tail, and at 10,000 events.
        """
        chain: list[Event] = []
        seen: set[str] = set()
        wanted: str | None = id
        while wanted is not None and wanted not in seen and len(chain) < MAX_CHAIN:
            seen.add(wanted)
            event = self.find(wanted)
            if event is None:
                break
            chain.append(event)
            wanted = event.causation_id
        return chain[::-1]

    # --- pages ------------------------------------------------------------------------------------

    def _page(self, filter: Filter, limit: int, start: int | None) -> Page:
        last = min(self._source.last_sequence, filter.last or self._source.last_sequence)
        segments = self._source.segments()  # after `last`, so that it is in one of them
        oldest = self._source.retained_from
        if start is not None and start < oldest:
            raise CursorExpiredError(start, oldest)
        first = max(filter.first or 1, start or 1, oldest)
        events: list[Event] = []
        for event in self._matching(segments, filter, first, last):
            if len(events) == limit:
                return Page(events, encode_cursor(event.sequence, filter))
            events.append(self._upcasters.apply(event))
        return Page(events, None)

    def _matching(self, segments: list[SegmentInfo], filter: Filter, first: int, last: int) -> Iterator[Event]:
        """The events from sequence number `first` to `last` that fit, through indexes where they help."""
        if not filter.keys() and not filter.timed:
            yield from self._scan(first, last)
            return
        for segment in segments:
            if first <= segment.last_sequence and segment.first_sequence <= last:
                low, high = first - segment.first_sequence, last - segment.first_sequence
                ordinals = self._indexes.ask(segment, partial(_select, filter=filter, low=low, high=high))
                yield from (event for event in self._events(segment, ordinals) if filter.holds(event))

    def _scan(self, first: int, last: int) -> Iterator[Event]:
        if first > last:
            return
        for frame in self._source.frames(first):
            for event in frame.events:
                if event.sequence > last:
                    return
                if event.sequence >= first:
                    yield event

    def _present(self, segment: SegmentInfo, events: Iterator[Event]) -> Iterator[Event]:
        """`events` of `segment`, which retention may remove meanwhile."""
        try:
            yield from events
        except CursorExpiredError as error:
            oldest = self._source.retained_from
            if segment.first_sequence >= oldest:
                raise
            raise CursorExpiredError(segment.first_sequence, oldest) from error

    # --- events by their place --------------------------------------------------------------------

    def _events(self, segment: SegmentInfo, ordinals: array[int]) -> Iterator[Event]:
        """The events with these ordinals; each frame is read once."""
        for start in range(0, len(ordinals), _CHUNK):
            chunk = ordinals[start : start + _CHUNK]
            places = self._indexes.ask(segment, lambda index: index.places(chunk, segment.end_offset))  # noqa: B023
            yield from self._source.events_at(segment, places)

    def _stream_of(self, segment: SegmentInfo, aggregate: str, last: int, from_version: int) -> Iterator[Event]:
        if segment.first_sequence > last:
            return
        filter, high = Filter(aggregate=aggregate), last - segment.first_sequence
        ordinals = self._indexes.ask(segment, partial(_select, filter=filter, low=0, high=high))
        start = self._first_at(segment, ordinals, aggregate, from_version)
        for event in self._events(segment, ordinals[start:]):
            if event.aggregate == aggregate and event.version >= from_version:
                yield event

    def _first_at(self, segment: SegmentInfo, ordinals: array[int], aggregate: str, version: int) -> int:
        """Where in `ordinals` the stream reaches `version`: versions grow with sequence numbers."""
        if version <= 1:
            return 0
        low, high = 0, len(ordinals)
        while low < high:
            middle = (low + high) // 2
            event = next(self._events(segment, ordinals[middle : middle + 1]))
            if event.aggregate != aggregate:  # another one with the same hash stands between: look at all
                return 0
            low, high = (middle + 1, high) if event.version < version else (low, middle)
        return low

    def _with(self, field: str, key: str) -> Iterator[Event]:
        """The events that may have `key` in `field`, oldest first."""
        last = self._source.last_sequence
        for segment in self._source.segments():
            ordinals = self._indexes.ask(segment, lambda index: index.find(field, key))
            yield from (event for event in self._events(segment, ordinals) if event.sequence <= last)

    def _again_if_removed(self, read: Callable[[], T]) -> T:
        """`read` once more if retention has removed a segment meanwhile; a missing one is an error in the end."""
        for _ in range(_TRIES - 1):
            oldest = self._source.retained_from
            try:
                return read()
            except CursorExpiredError:
                if self._source.retained_from == oldest:
                    raise
        return read()


def _select(index: SegmentIndex, filter: Filter, low: int, high: int) -> array[int]:
    """The ordinals from `low` to `high` that may fit."""
    if not filter.overlaps(*index.times()):
        return array("I")
    keys = filter.keys()
    if keys:
        found = intersection([index.find(field, key) for field, key in keys])
        found = found[bisect_left(found, max(low, 0)) : bisect_right(found, high)] if high >= 0 else found[:0]
    else:
        found = array("I", range(max(low, 0), min(high + 1, len(index.timestamps()))))
    if filter.timed:
        times = index.timestamps()
        found = array("I", (ordinal for ordinal in found if filter.holds_time(times[ordinal])))
    return found
