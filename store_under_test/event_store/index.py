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
from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias, TypeVar

from store_under_test.event_store.errors import SyncFailedError
from store_under_test.event_store.event import Event
from store_under_test.event_store.indexfile import DamagedIndexError, IndexFile, Table, write_index
from store_under_test.event_store.postings import Growing, Packed, key_hash
from store_under_test.event_store.recovery import SegmentInfo
from store_under_test.event_store.source import Place, Source

logger = logging.getLogger("store_under_test.event_store")

CACHE_BYTES = 64 * 1024 * 1024

T = TypeVar("T")


class SegmentIndex(Protocol):
    """What a query asks of the index of one segment."""

    segment: SegmentInfo

    def find(self, field: str, key: str) -> array[int]:
        """Ordinals of the events that may have `key` in `field`, ascending."""

    def keys(self, field: str) -> Iterable[int]:
        """The hashes of all keys of a field."""

    def timestamps(self) -> array[float]: ...

    def times(self) -> tuple[float, float]:
        """The smallest and the largest time stamp; (inf, -inf) of none."""

    def places(self, ordinals: array[int], end_offset: int) -> list[Place]:
        """Where the events with these ordinals, ascending, stand; `end_offset` is the end of the segment's last."""


class ActiveIndex:
    """The index of a segment in memory. One thread adds, any may ask."""

    def __init__(self, segment: SegmentInfo) -> None:
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
        self.table.offsets.append(offset)  # before its ordinal, by which others find it
        self.table.firsts.append(self.postings.count)
        self._timestamps.extend(times)
        self._low, self._high = min(self._low, *times), max(self._high, *times)
        self.postings.add(events)

    def find(self, field: str, key: str) -> array[int]:
        return self.postings.find(field, key)

    def keys(self, field: str) -> Iterable[int]:
        return map(key_hash, self.postings.keys(field))

    def timestamps(self) -> array[float]:
        return self._timestamps

    def times(self) -> tuple[float, float]:
        return self._low, self._high

    def places(self, ordinals: array[int], end_offset: int) -> list[Place]:
        return self.table.places(ordinals, end_offset)


class SealedIndex:
    """The index of a sealed segment, in a file of which parts are loaded through `cache`."""

    def __init__(self, segment: SegmentInfo, file: IndexFile, cache: PartCache) -> None:
        self.segment = segment
        self._file = file
        self._cache = cache

    def find(self, field: str, key: str) -> array[int]:
        postings = self._part(field, self._file.postings)
        assert isinstance(postings, Packed)
        return postings.find(key)

    def keys(self, field: str) -> Iterable[int]:
        return self._file.keys(field)

    def timestamps(self) -> array[float]:
        timestamps = self._part("timestamps", lambda _: self._file.timestamps())
        assert isinstance(timestamps, array)
        return timestamps

    def times(self) -> tuple[float, float]:
        return self._file.header.low, self._file.header.high

    def places(self, ordinals: array[int], end_offset: int) -> list[Place]:
        table = self._part("table", lambda _: self._file.table())
        assert isinstance(table, Table)
        return table.places(ordinals, end_offset)

    def _part(self, name: str, load: Callable[[str], Part]) -> Part:
        return self._cache.get((self.segment.path, name), lambda: load(name))


Part: TypeAlias = "Packed | Table | array[float]"


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

    def on_durable(self, events: list[Event], segment: SegmentInfo, offset: int) -> None:
        """A group is durable. Nothing to do unless the index of its segment is up to the group before."""
        with self._lock:
            active = self._active
            if (
                active is not None
                and active.segment.path == segment.path
                and active.next_sequence == events[0].sequence
            ):
                active.add(events, offset)

    def on_sealed(self, segment: SegmentInfo) -> None:
        """`segment` is complete; its index is kept in memory until its file is written."""
        with self._lock:
            active, self._active = self._active, None
            if active is not None and active.segment.path == segment.path:
                if active.next_sequence == segment.last_sequence + 1:
                    active.segment = segment
                    self._just_sealed = active

    # --- called by queries ----------------------------------------------------------------------

    def of(self, segment: SegmentInfo) -> SegmentIndex:
        """The index of `segment`, made if there is none. Raises `OSError`, and `DamagedError` of the segment."""
        return self._sealed(segment) if segment.sealed else self._of_active(segment)

    def write_missing(self) -> None:
        """Make the file of every sealed segment that has none: maintenance, so that no query has to."""
        for segment in self._source.segments():
            if segment.sealed and segment.path not in self._files and self._opened(segment) is None:
                self._remade(segment)

    def forget(self, segment: SegmentInfo) -> None:
        """The segment is gone, or its file is to be read again."""
        with self._lock:
            self._files.pop(segment.path, None)
            if self._is_just_sealed(segment):
                self._just_sealed = None
        self.cache.forget(segment.path)

    def ask(self, segment: SegmentInfo, question: Callable[[SegmentIndex], T]) -> T:
        """What `question` answers; once more with an index made anew if a part of it is damaged."""
        try:
            return question(self.of(segment))
        except DamagedIndexError as error:
            self._damaged(segment, error)
            self.forget(segment)
            return question(self._remade(segment))

    # --- the active one ---------------------------------------------------------------------------

    def _of_active(self, segment: SegmentInfo) -> SegmentIndex:
        known = self._in_memory(segment)
        if known is not None:
            return known
        with self._building:
            return self._build_active(segment)

    def _in_memory(self, segment: SegmentInfo) -> SegmentIndex | None:
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

    def _is_just_sealed(self, segment: SegmentInfo) -> bool:
        sealed = self._just_sealed
        return sealed is not None and sealed.segment.path == segment.path

    def _build_active(self, segment: SegmentInfo) -> SegmentIndex:
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
                self._active = index  # from here on `on_durable` adds to it
        return index

    def _extend(self, index: ActiveIndex) -> None:
        for frame in self._source.frames(index.next_sequence):
            if frame.segment.path != index.segment.path:
                break
            index.add(frame.events, frame.offset)

    # --- sealed ones ------------------------------------------------------------------------------

    def _sealed(self, segment: SegmentInfo) -> SegmentIndex:
        return self._in_memory(segment) or self._opened(segment) or self._remade(segment)

    def _opened(self, segment: SegmentInfo) -> SegmentIndex | None:
        """The index in the segment's file; `None` if that is missing or damaged."""
        try:
            file = IndexFile.open(segment)
        except DamagedIndexError as error:
            self._damaged(segment, error)
            return None
        return None if file is None else self._keep(segment, file)

    def _keep(self, segment: SegmentInfo, file: IndexFile) -> SegmentIndex:
        index = SealedIndex(segment, file, self.cache)
        with self._lock:
            self._files[segment.path] = index
        return index

    def _remade(self, segment: SegmentInfo) -> SegmentIndex:
        """From memory or from the segment; kept in memory if the file cannot be written."""
        with self._lock:
            index = self._just_sealed if self._is_just_sealed(segment) else None
        if index is None:
            index = ActiveIndex(segment)
            self._extend(index)
        try:
            write_index(segment, index.postings, index.table, index.timestamps(), index.times())
            file = IndexFile.open(segment)
        except (OSError, SyncFailedError, DamagedIndexError) as error:
            self._warn(segment, f"could not write the index of {segment.path}: {error}")
            with self._lock:
                self._just_sealed = index
            return index
        with self._lock:
            if self._just_sealed is index:
                self._just_sealed = None
        return index if file is None else self._keep(segment, file)

    def _damaged(self, segment: SegmentInfo, error: DamagedIndexError) -> None:
        self._rebuilt()
        self._warn(segment, f"{error}: made again from the segment")

    def _warn(self, segment: SegmentInfo, message: str) -> None:
        """One warning for one file."""
        with self._lock:
            if segment.path in self._warned:
                return
            self._warned.add(segment.path)
        logger.warning(message)
