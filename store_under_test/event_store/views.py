"""The views of a log: state, indexes, snapshots, subscriptions, retention, health and metrics, and when they are
tended.

All of them are made from durable events: the log tells them of each group after its fsync, before it is acknowledged.
What they write is derived and may fail without loss, so a failure there is logged and nothing more.

Tending (index files of sealed segments, a snapshot, retention) is done where `maintenance` says: in a thread that is
started with the first sealed segment, by the append that finds something due, or only when `settle` is called.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from store_under_test.event_store.errors import DamagedError, EventStoreError
from store_under_test.event_store.event import Event
from store_under_test.event_store.files import remove_quietly
from store_under_test.event_store.health import DiskWatch, Facts, Health, Pace, Thresholds, assess, used_ratio
from store_under_test.event_store.index import CACHE_BYTES, Indexes, SegmentIndex
from store_under_test.event_store.indexfile import SUFFIX, path_of
from store_under_test.event_store.log import Log
from store_under_test.event_store.metrics import Gauges, StoreMetrics
from store_under_test.event_store.postings import key_hash
from store_under_test.event_store.query import Reader
from store_under_test.event_store.recovery import SegmentInfo
from store_under_test.event_store.retention import Extent, Policy, doomed
from store_under_test.event_store.snapshots import Part, Position, Snapshots, StoreState
from store_under_test.event_store.source import Source
from store_under_test.event_store.subscriptions import Hub
from store_under_test.event_store.upcast import Upcasters

logger = logging.getLogger("store_under_test.event_store")

MAX_DAMAGE = 10  # places of damage that are remembered

Maintenance = Literal["background", "inline", "on_request"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewOptions:
    """How the views are kept. `snapshot_events`: closing makes a snapshot if so many events came since the last.

    `now` is the wall clock (ages of events), `clock` the monotonic one (everything else), in seconds.
    """

    maintenance: Maintenance = "background"
    policy: Policy = field(default_factory=Policy)
    thresholds: Thresholds = field(default_factory=Thresholds)
    upcasters: Upcasters = field(default_factory=Upcasters)
    cache_bytes: int = CACHE_BYTES
    snapshot_events: int = 10_000
    now: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    disk_used: Callable[[str], float] = used_ratio


class Views:
    """The views of `log`, which must not have been appended to yet. Threads may share them."""

    def __init__(self, log: Log, options: ViewOptions | None = None) -> None:
        """Reads the newest sound snapshot and the events after it. Raises `DamagedError` and `OSError`."""
        self.options = options or ViewOptions()
        self.metrics = StoreMetrics(self._gauges)
        self.pace = Pace(self.options.thresholds)
        self._log = log
        self._source = Source(log)
        self._snapshots = Snapshots(log.directory, rebuilt=lambda: self.metrics.view_rebuilt("snapshot"))
        self._indexes = Indexes(
            self._source,
            cache_bytes=self.options.cache_bytes,
            rebuilt=lambda: self.metrics.view_rebuilt("index"),
        )
        self._disk = DiskWatch(log.directory, self.options.clock, measure=self.options.disk_used)
        self._damage: list[str] = []
        self._tending = threading.Lock()  # files are written, or removed
        self._one_tends = threading.Lock()
        self._starting = threading.Lock()
        self._due = False  # a segment was sealed since it was last tended
        self._nearly_full = False
        self._worker: _Worker | None = None
        self._snapshotted = 0  # up to which event
        self.hub = Hub(self._source, self.options.upcasters)
        self.state = self._loaded()
        self.reader = Reader(self._source, self._indexes, self.options.upcasters, self.version_of)
        log.restore_versions(self.state.versions)
        self._remove_strays()
        log.on_durable(self._on_durable)
        log.on_sealed(self._on_sealed)

    def version_of(self, aggregate: str) -> int:
        """The version of an aggregate by its durable events; 0 if it has none."""
        return self.state.versions.get(aggregate, 0)

    # --- told by the log ----------------------------------------------------------------------------

    def _on_durable(self, events: list[Event], segment: SegmentInfo, offset: int) -> None:
        self.state.apply(events)
        self._indexes.on_durable(events, segment, offset)
        self.hub.on_durable(events)
        self.metrics.group_durable(len(events), segment.end_offset - offset)

    def _on_sealed(self, segment: SegmentInfo) -> None:
        self.state.seal(segment.first_sequence)
        self._indexes.on_sealed(segment)
        self._due = True

    # --- told by the store --------------------------------------------------------------------------

    def appended(self, seconds: float) -> bool:
        """An append took so long. Whether the caller should `tend` now; in the background that is done by itself."""
        self.metrics.append_seconds.observe(seconds)
        self.pace.took(seconds)
        is_full = self._disk.ratio() >= self.options.thresholds.disk_warning
        if not is_full:
            self._nearly_full = False
        if self.options.maintenance == "on_request" or not (is_full or self._due):
            return False
        if self.options.maintenance == "inline":
            return True
        with self._starting:
            worker = self._worker = self._worker or _Worker(self.tend)
        worker.wake()
        return False

    def failed(self, error: BaseException) -> bool:
        """An append raised. Whether the caller should `make_room`, so that a later one works."""
        self.pace.failed()
        self.metrics.append_failed(self._kind(error))
        return self._log.state.kind == "degraded"

    def make_room(self) -> None:
        """Have retention remove what the policy gives up when there is no room."""
        self._quietly("retention", lambda: self.retain(emergency=True))

    def damaged(self, error: DamagedError) -> None:
        """Somebody met damage while reading."""
        if len(self._damage) < MAX_DAMAGE and str(error) not in self._damage:
            self._damage.append(str(error))

    def _kind(self, error: BaseException) -> str:
        if isinstance(error, EventStoreError | ValueError) and self._log.state.kind == "ok":
            return "refused"
        return {"ok": "transient", "degraded": "degraded"}.get(self._log.state.kind, "fatal")

    # --- tending ------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Write what is missing: index files, a snapshot; then retention by policy. Failures are logged."""
        with self._tending:
            self._due = False
            self._quietly("writing indexes", self._indexes.write_missing)
            self._quietly("a snapshot", self._snapshot)
        self._quietly("retention", self.retain)

    def snapshot(self) -> bool:
        """Make a snapshot, full or incremental; whether there was anything new. Raises `OSError` and the like."""
        with self._tending:
            return self._snapshot()

    def retain(self, *, emergency: bool = False) -> int:
        """Remove what the policy gives up; how many segments. Raises `OSError`, `ReadOnlyError` and the like."""
        if self.options.policy == Policy():
            return 0
        with self._tending:
            segments = self._source.segments()
            count = doomed(self.options.policy, self._extents(segments), self.options.now(), emergency=emergency)
            if count == 0:
                return 0
            for segment in segments[:count]:  # derived, and about to go: room for the word that the rest goes
                self._indexes.forget(segment)
                remove_quietly(path_of(segment))
            removed = self._log.retain_from(segments[count - 1].last_sequence + 1)
            for segment in removed:
                self._indexes.forget(segment)
            self.metrics.removed(len(removed))
            self._forget_orphans()
            self._quietly("a snapshot", self._snapshot)
            return len(removed)

    def close(self) -> None:
        """Tend what is still due; a snapshot if many events came since. To be called before the log is closed."""
        if self._worker is not None:
            self._worker.stop()
        if self._due and self.options.maintenance != "on_request" and self._log.state.kind != "failed":
            self.settle()
        is_long_ago = self.state.sequence - self._snapshotted >= self.options.snapshot_events
        if is_long_ago and self._log.state.kind != "failed":
            self._quietly("a snapshot", self.snapshot)
        self.hub.close()

    def tend(self) -> None:
        """Do what is due; if another thread does, nothing."""
        if self._one_tends.acquire(blocking=False):
            try:
                self._tend_now()
            finally:
                self._one_tends.release()

    def _tend_now(self) -> None:
        if self._due:
            self.settle()
        full = self._disk.ratio() >= self.options.thresholds.disk_warning
        if full and not self._nearly_full:
            logger.warning("%s: the disk is %.1f %% full", self._log.directory, self._disk.ratio() * 100)
        if full:
            self.make_room()
        self._nearly_full = full

    def _quietly(self, what: str, action: Callable[[], object]) -> None:
        try:
            action()
        except (EventStoreError, OSError, MemoryError) as error:
            if isinstance(error, DamagedError):
                self.damaged(error)
            logger.warning("%s: %s failed: %s", self._log.directory, what, error)

    # --- snapshots ----------------------------------------------------------------------------------

    def _snapshot(self) -> bool:
        taken: tuple[Position, Part] | None = self._log.exclusive(self._take)
        if taken is None:
            return False
        position, part = taken
        try:
            self._snapshots.write(position, part)
        except BaseException:
            self.state.give_back(part)
            raise
        self._snapshotted = position.sequence
        return True

    def _take(self) -> tuple[Position, Part] | None:
        """The state, copied while nothing is being written, and where in the log it stands."""
        full = self._snapshots.wants(self.state)
        if full is None:
            return None
        info = self._source.segments()[-1]
        position = Position(self.state.sequence, info.first_sequence, info.nonce, info.end_offset)
        return position, self.state.take(full)

    def _loaded(self) -> StoreState:
        """The newest sound snapshot, and what came after it."""
        state, position = self._snapshots.load(self._holds, self._log.retained_from)
        retained_from = self._log.retained_from
        if any(first < retained_from for first in state.sealed):
            # Taken before a retention that a crash cut short: what it has removed is not known any more.
            self._snapshots.start_over()
            state, position = StoreState(), None
        self._snapshotted = state.sequence
        current = None if position is None or position.segment in state.sealed else position.segment
        offset = position.end_offset if position is not None and self._goes_on(position) else None
        for frame in self._source.frames(max(state.sequence + 1, retained_from), offset):
            if current not in (None, frame.segment.first_sequence):
                state.seal(current or 0)
            current = frame.segment.first_sequence
            state.apply(frame.events)
        if current not in (None, self._log.segments()[-1].first_sequence):
            state.seal(current or 0)
        return state

    def _goes_on(self, position: Position) -> bool:
        """Whether the event after `position` stands in the same segment, right behind."""
        return any(
            info.first_sequence == position.segment and info.last_sequence > position.sequence
            for info in self._source.segments()
        )

    def _holds(self, position: Position) -> bool:
        """Whether the log has what a snapshot stands on."""
        return any(
            info.first_sequence == position.segment
            and position.segment <= position.sequence <= info.last_sequence
            and position.end_offset <= info.end_offset
            and info.nonce == position.nonce
            for info in self._source.segments()
        )

    def _remove_strays(self) -> None:
        """Index files of segments that are gone."""
        known = {os.path.basename(path_of(info)) for info in self._log.segments()}
        for name in os.listdir(self._log.directory):
            if name.startswith("events-") and name.endswith(SUFFIX) and name not in known:
                remove_quietly(os.path.join(self._log.directory, name))

    # --- retention ----------------------------------------------------------------------------------

    def _extents(self, segments: list[SegmentInfo]) -> list[Extent]:
        sealed = self.state.sealed
        return [
            Extent(
                info.first_sequence,
                os.stat(info.path).st_size,
                sealed[info.first_sequence].high if info.first_sequence in sealed else self.state.high,
                info.sealed,
            )
            for info in segments
        ]

    def _forget_orphans(self) -> None:
        """Forget the aggregates of which retention has left no event."""
        segments = self._source.segments()
        living: set[int] = set()
        for info in segments:
            # That of the active segment is made here, if need be, before the log has to wait for it.
            living.update(self._indexes.ask(info, lambda index: list(index.keys("aggregate"))))
        orphans = [name for name in list(self.state.versions) if key_hash(name) not in living]
        self._log.exclusive(lambda: self._forget(orphans, segments[-1].first_sequence if segments else 0))

    def _forget(self, orphans: list[str], seen: int) -> None:
        """`orphans` have no event before the segment that began with `seen`; nothing is written meanwhile."""
        for info in self._source.segments():
            if info.first_sequence >= seen:
                orphans = self._indexes.ask(info, partial(_absent, names=orphans))
        gone = {name: self.state.versions[name] for name in orphans}
        self._log.forget_versions(gone)
        self.state.drop_before(self._log.retained_from, lambda name: name not in gone)

    # --- what is known ------------------------------------------------------------------------------

    def health(self) -> Health:
        """How the store is, and why."""
        state = self._log.state
        facts = Facts(
            refuses=state.reason if state.kind != "ok" else None,
            fatal=state.kind == "failed",
            damage=tuple(self._damage),
            disk_used_ratio=self._disk.ratio(),
            slow_share=self.pace.slow_share,
            failed_in_a_row=self.pace.failed_in_a_row,
            views_rebuilt=sum(self.metrics.rebuilt.values()),
            subscriber_lag=self.hub.lag,
        )
        return assess(facts, self.options.thresholds)

    def _gauges(self) -> Gauges:
        return Gauges(
            last_sequence=self._log.last_sequence,
            subscribers=self.hub.subscribers,
            log_bytes=sum(info.end_offset for info in self._log.segments()),
            disk_used_ratio=self._disk.ratio(),
            status={"ok": 0, "degraded": 1, "failed": 2}[self.health().status],
        )


def _absent(index: SegmentIndex, names: list[str]) -> list[str]:
    """The aggregates of which there is no event."""
    return [name for name in names if not index.find("aggregate", name)]


class _Worker:
    """A thread that does `work` each time that it is woken."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._wake = threading.Event()
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="event-store-maintenance", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        """Let it finish what it is doing."""
        self._stop = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._stop:
                return
            self._work()
