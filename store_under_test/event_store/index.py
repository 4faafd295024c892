"""Indexes: which events of which segment to read for a query.

The active segment has its index in memory, made when the first query asks for it and kept up by each group commit from
then on; a store that only appends pays nothing. A sealed segment has a file, `events-<first>.idx`, of which queries
load the parts that they need; the parts loaded last are kept, up to a limit in bytes. So memory grows with the
active segment and with that limit, not with the log.

An index file is derived: it is written after its segment is sealed and durable, atomically, and names the segment
that it belongs to. One that is missing is made; one that is damaged, or of another segment, is made again after one
warning. Failing to write one costs time at the next opening, and nothing else.
"""

from __future__ import annotations

import logging
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, TypeVar

from store_under_test.event_store.event import Event
from store_under_test.event_store.indexfile import DamagedIndexError, IndexFile, Table, write_index
from store_under_test.event_store.postings import Growing, Packed
from store_under_test.event_store.source import Segment, Source

logger = logging.getLogger("store_under_test.event_store")

CACHE_BYTES = 64 * 1024 * 1024

T = TypeVar("T")


class SegmentIndex(Protocol):
    """What a query asks of the index of one segment."""

    segment: Segment

    def find(self, field: str, key: str) -> array[int]:
        """Ordinals of the events that may have `key` in `field`, ascending."""

    def timestamps(self) -> array[float]: ...

    def times(self) -> tuple[float, float]:
        """The smallest and the largest time stamp; (inf, -inf) of none."""

    def frame_of(self, ordinal: int) -> tuple[int, int]:
        """The offset of the frame that holds an event, and the ordinal of the frame's first event."""


class ActiveIndex:
    """The index of a segment in memory. One thread adds, any may ask."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.postings = Growing()
        self.table = Table(array("I"), array("Q"))
        self._timestamps: array[float] = array("d")
        self._low, self._high = float("inf"), float("-inf")

    @property
    def next_sequence(self) -> int:
        return self.segment.first_sequence + self.postings.count

    def add(self, events: list[Event], offset: int) -> None:
        """A frame at `offset`, the next one."""
        times = [event.timestamp for event in events]
        self.table.firsts.append(self.postings.count)
        self.table.offsets.append(offset)
        self._timestamps.extend(times)
        self._low, self._high = min(self._low, *times), max(self._high, *times)
        self.postings.add(events)

    def find(self, field: str, key: str) -> array[int]:
        return self.postings.find(field, key)

    def timestamps(self) -> array[float]:
        return self._timestamps

    def times(self) -> tuple[float, float]:
        return self._low, self._high

    def frame_of(self, ordinal: int) -> tuple[int, int]:
        return self.table.frame_of(ordinal)


class SealedIndex:
    """The index of a sealed segment, in a file of which parts are loaded through `cache`."""

    def __init__(self, segment: Segment, file: IndexFile, cache: PartCache) -> None:
        self.segment = segment
        self._file = file
        self._cache = cache

    def find(self, field: str, key: str) -> array[int]:
        postings = self._part(field, self._file.postings)
        assert isinstance(postings, Packed)
        return postings.find(key)

    def timestamps(self) -> array[float]:
        timestamps = self._part("timestamps", lambda _: self._file.timestamps())
        assert isinstance(timestamps, array)
        return timestamps

    def times(self) -> tuple[float, float]:
        return self._file.header.low, self._file.header.high

    def frame_of(self, ordinal: int) -> tuple[int, int]:
        table = self._part("table", lambda _: self._file.table())
        assert isinstance(table, Table)
        return table.frame_of(ordinal)

    def _part(self, name: str, load: Callable[[str], Part]) -> Part:
        return self._cache.get((self.segment.path, name), lambda: load(name))


Part = Packed | Table | array[float]


class PartCache:
    """Parts of index files, the last used of them, up to `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self._parts: OrderedDict[tuple[str, str], Part] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, str], load: Callable[[], Part]) -> Part:
        """The part with this name, loaded if need be. Two threads may load the same; one is kept."""
        with self._lock:
            if key in self._parts:
                self._parts.move_to_end(key)
                return self._parts[key]
        part = load()
        with self._lock:
            if key not in self._parts:
                self._parts[key] = part
                self.used_bytes += size_of(part)
            while self.used_bytes > self.max_bytes and len(self._parts) > 1:
                self.used_bytes -= size_of(self._parts.popitem(last=False)[1])
        return part

    def forget(self, path: str) -> None:
        """Drop what belongs to the segment at `path`."""
        with self._lock:
            for key in [key for key in self._parts if key[0] == path]:
                self.used_bytes -= size_of(self._parts.pop(key))


def size_of(part: Part) -> int:
    """Bytes of a loaded part, without the small change."""
    return len(part) * part.itemsize if isinstance(part, array) else part.size_bytes


class Indexes:
    """The indexes of all segments of `source`, whose files stand in its directory."""

    def __init__(
        self,
        source: Source,
        *,
        cache_bytes: int = CACHE_BYTES,
        rebuilt: Callable[[], None] = lambda: None,
    ) -> None:
        """`rebuilt` is called for each index file that was damaged."""
        self._source = source
        self._rebuilt = rebuilt
        self._lock = threading.RLock()  # over the four fields below; never held while a file is read
        self._active: ActiveIndex | None = None
        self._just_sealed: ActiveIndex | None = None
        self._files: dict[str, SealedIndex] = {}
        self._warned: set[str] = set()
        self._building = threading.Lock()
        self.cache = PartCache(cache_bytes)

    # --- called by the log, in the order of its groups ------------------------------------------

    def on_durable(self, events: list[Event], segment: Segment, offset: int) -> None:
        """A group is durable. Nothing to do unless the index of its segment is up to the group before."""
        with self._lock:
            active = self._active
            if active is not None and self._continues(active, segment, events[0].sequence):
                active.add(events, offset)

    def on_sealed(self, segment: Segment) -> None:
        """`segment` is complete; the last one is kept in memory until its file is written."""
        with self._lock:
            active, self._active = self._active, None
            if active is None or active.segment.path != segment.path:
                return
            if active.next_sequence == segment.last_sequence + 1:
                active.segment = segment
                self._just_sealed = active
                self._active = None

    @staticmethod
    def _continues(active: ActiveIndex, segment: Segment, sequence: int) -> bool:
        return active.segment.path == segment.path and active.next_sequence == sequence

    # --- called by queries ----------------------------------------------------------------------

    def of(self, segment: Segment) -> SegmentIndex:
        """The index of `segment`, made if there is none. Raises `OSError`, and `DamagedError` of the segment."""
        return self._sealed(segment) if segment.sealed else self._of_active(segment)

    def write_missing(self) -> None:
        """Make the file of every sealed segment that has none: maintenance, so that no query has to."""
        for segment in self._source.segments():
            if segment.sealed:
                self._sealed(segment)

    def forget(self, segment: Segment) -> None:
        """The segment is gone, or its file is to be read again."""
        with self._lock:
            self._files.pop(segment.path, None)
            if self._is_just_sealed(segment):
                self._just_sealed = None
        self.cache.forget(segment.path)

    def ask(self, segment: Segment, question: Callable[[SegmentIndex], T]) -> T:
        """What `question` answers; once more with an index made anew if a part of it is damaged."""
        try:
            return question(self.of(segment))
        except DamagedIndexError as error:
            self._damaged(segment, error)
            self.forget(segment)
            return question(self._remade(segment))

    # --- the active one ---------------------------------------------------------------------------

    def _of_active(self, segment: Segment) -> SegmentIndex:
        known = self._in_memory(segment)
        if known is not None:
            return known
        with self._building:
            return self._build_active(segment)

    def _in_memory(self, segment: Segment) -> SegmentIndex | None:
        """What there is of a segment that was active a moment ago, up to its last event."""
        with self._lock:
            active = self._active
            if active is not None and active.segment.path == segment.path:
                if active.next_sequence <= segment.last_sequence:
                    self._extend(active)
                return active
            if self._is_just_sealed(segment):
                return self._just_sealed
            return self._files.get(segment.path)

    def _is_just_sealed(self, segment: Segment) -> bool:
        sealed = self._just_sealed
        return sealed is not None and sealed.segment.path == segment.path

    def _build_active(self, segment: Segment) -> SegmentIndex:
        """Read what is there, and then, with the log kept waiting, the little that came meanwhile."""
        known = self._in_memory(segment)
        if known is not None:
            return known
        index = ActiveIndex(segment)
        self._extend(index)
        with self._lock:
            self._extend(index)
            newest = self._source.segments()[-1]
            if newest.path == segment.path and not newest.sealed:
                self._active = index
        return index

    def _extend(self, index: ActiveIndex) -> None:
        for frame in self._source.frames(index.next_sequence):
            if frame.segment.path != index.segment.path:
                break
            index.add(frame.events, frame.offset)

    # --- sealed ones ------------------------------------------------------------------------------

    def _sealed(self, segment: Segment) -> SegmentIndex:
        with self._lock:
            known = self._files.get(segment.path)
        if known is not None:
            return known
        try:
            file = IndexFile.open(segment)
        except DamagedIndexError as error:
            self._damaged(segment, error)
            file = None
        return self._remade(segment) if file is None else self._keep(segment, file)

    def _keep(self, segment: Segment, file: IndexFile) -> SegmentIndex:
        index = SealedIndex(segment, file, self.cache)
        with self._lock:
            self._files[segment.path] = index
        return index

    def _remade(self, segment: Segment) -> SegmentIndex:
        """From memory or from the segment; kept in memory if the file cannot be written."""
        with self._lock:
            index = self._just_sealed if self._is_just_sealed(segment) else None
        if index is None:
            index = ActiveIndex(segment)
            self._extend(index)
        try:
            write_index(index.segment, index.postings, index.table, index.timestamps(), index.times())
            file = IndexFile.open(segment)
        except (OSError, DamagedIndexError) as error:
            self._warn(segment, f"could not write the index of {segment.path}: {error}")
            with self._lock:
                self._just_sealed = index
            return index
        with self._lock:
            if self._just_sealed is index:
                self._just_sealed = None
        return index if file is None else self._keep(segment, file)

    def _damaged(self, segment: Segment, error: DamagedIndexError) -> None:
        self._rebuilt()
        self._warn(segment, f"{error}: made again from the segment")

    def _warn(self, segment: Segment, message: str) -> None:
        """One warning for one file."""
        with self._lock:
            if segment.path in self._warned:
                return
            self._warned.add(segment.path)
        logger.warning(message)


def frames_of(index: SegmentIndex, ordinals: array[int]) -> list[tuple[int, list[int]]]:
    """Ascending ordinals by the frame that holds them: its offset, and the places in it."""
    frames: list[tuple[int, list[int]]] = []
    for ordinal in ordinals:
        offset, first = index.frame_of(ordinal)
        if not frames or frames[-1][0] != offset:
            frames.append((offset, []))
        frames[-1][1].append(ordinal - first)
    return frames
