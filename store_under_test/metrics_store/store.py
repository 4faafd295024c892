"""MetricsStore: one JSON document, shared by threads and processes, that survives crashes.

A save writes the previous content to the backup, then the new content to the primary. Each is
written to a temporary file, fsynced, renamed into place, and its directory fsynced, before the next
step begins; so at every moment one of the two is whole and durable. The backup never holds anything newer
than the primary: what failed to be saved cannot come back by a later recovery.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import Self

from store_under_test.metrics_store.codec import encode
from store_under_test.metrics_store.errors import MetricsStoreError, StoreClosedError
from store_under_test.metrics_store.files import (
    Paths,
    file_size,
    remove_quietly,
    stale_temporaries,
    write_atomically,
)
from store_under_test.metrics_store.lock import LockMetrics, StoreLock
from store_under_test.metrics_store.recovery import Damaged, Sound, inspect, quarantine, recover
from store_under_test.metrics_store.state import (
    DashboardState,
    Limits,
    fresh_state,
    require_text,
    utc_now,
    validate,
)
from store_under_test.tracing import span

Update = Callable[[DashboardState], DashboardState | None]


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """What one handle did: states that it gave out, states that it made durable, fallbacks to an older copy."""

    loads: int = 0
    saves: int = 0
    recoveries: int = 0


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Sizes in bytes, times in seconds. `recoveries` and `lock` are counted since this handle was opened."""

    primary_bytes: int
    backup_bytes: int
    quarantined_files: int
    agents: int
    events: int
    sessions: int
    recoveries: int
    lock: LockMetrics

    @property
    def lock_waits(self) -> int:
        """How often the lock was not free at once."""
        return self.lock.waits


class MetricsStore:
    """The document at `path`, whose directory must exist. Threads may share one handle.

    Every call takes a `timeout` in seconds for the lock, by default the store's. It raises
    `LockAcquisitionError` when that is over, `OSError` when the file system fails, and
    `UnsupportedVersionError` when a newer version wrote the file. After any of them the store works on.

    A save or update that raised `OSError` has happened entirely or not at all, almost always not; only
    if the very last fsync failed is the new state visible, and then the next save settles it, because
    it writes that state to the backup, durably, before anything else.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        project: str = "",
        limits: Limits | None = None,
        timeout: float = 10.0,
        compress_above_bytes: int | None = None,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open the store; nothing is written but that stale temporary files of dead writers are removed.

        `project` names the project of a fresh state. `now` is the wall clock for time stamps and nothing
        else; `clock` and `sleep` are what waiting for the lock goes by. `compress_above_bytes` None: never.
        """
        self._paths = Paths.of(os.fspath(path))
        self._project = project
        self._limits = limits or Limits()
        self._timeout_s = timeout
        self._compress_above_bytes = compress_above_bytes
        self._now = now
        self._lock = StoreLock(self._paths.lock, clock=clock, sleep=sleep)
        self._counts = StoreCounts()  # changed under the lock
        self._closed = False
        require_text(project, "project")
        self._remove_stale_temporaries()

    def load(self, *, timeout: float | None = None) -> DashboardState:
        """The state as last saved; a fresh one if nothing ever was. The caller may change what it gets.

        Recovers if the primary is damaged or missing, which is logged as a warning.
        """
        self._require_open()
        with span("metrics_store.load"), self._lock.held(self._limit(timeout)):
            state = self._state(self._current())
            self._counts = replace(self._counts, loads=self._counts.loads + 1)
            return state

    def save(self, state: DashboardState, *, timeout: float | None = None) -> DashboardState:
        """Replace the whole state, durably, and return it as stored: stamped, and cut to the limits.

        Raises `InvalidStateError`, before anything is written, naming the field that is wrong.
        """
        self._require_open()
        validate(state)
        with span("metrics_store.save"), self._lock.held(self._limit(timeout)):
            return self._replace(self._current(), state)

    def update(self, function: Update, *, timeout: float | None = None) -> DashboardState:
        """Read, change and save under the lock; return the state as stored.

        `function` gets the state and changes it in place (returning `None`) or returns another. If it
        raises, nothing is saved. It must not call the store.
        """
        self._require_open()
        with span("metrics_store.update"), self._lock.held(self._limit(timeout)):
            current = self._current()
            before = self._state(current)
            returned = function(before)
            after = before if returned is None else returned
            validate(after)
            return self._replace(current, after)

    def get_stats(self, *, timeout: float | None = None) -> StoreStats:
        """Sizes and counts, as of one moment."""
        self._require_open()
        with self._lock.held(self._limit(timeout)):
            state = self._state(self._current())
            names = os.listdir(self._paths.directory)
            return StoreStats(
                primary_bytes=file_size(self._paths.primary),
                backup_bytes=file_size(self._paths.backup),
                quarantined_files=sum(map(self._paths.is_quarantine, names)),
                agents=len(state["agents"]),
                events=len(state["events"]),
                sessions=len(state["sessions"]),
                recoveries=self._counts.recoveries,
                lock=self._lock.metrics,
            )

    def counts(self) -> StoreCounts:
        """What this handle did since it was opened; reads no file and waits for nobody."""
        return self._counts

    @property
    def lock_metrics(self) -> LockMetrics:
        """How this handle got the lock; reads no file and waits for nobody."""
        return self._lock.metrics

    def close(self) -> None:
        """End the use of this handle; any number of times. There is nothing to flush."""
        self._closed = True

    def __enter__(self) -> Self:
        self._require_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- under the lock ------------------------------------------------------------------------

    def _current(self) -> Sound | None:
        """The primary, recovered if need be; `None` if nothing was ever saved."""
        primary = inspect(self._paths.primary)
        if isinstance(primary, Sound):
            return primary
        recovered = recover(self._paths, primary, encode(self._fresh()))
        if recovered is not None:
            self._counts = replace(self._counts, recoveries=self._counts.recoveries + 1)
        return recovered

    def _state(self, current: Sound | None) -> DashboardState:
        return self._fresh() if current is None else current.state

    def _replace(self, current: Sound | None, state: DashboardState) -> DashboardState:
        """Save `state`, which is valid, over `current`."""
        if not self._lock.is_mine():
            raise MetricsStoreError("forked while the lock was held: the lock is the parent's")
        stored = self._limits.apply(state)
        stored["updated_at"] = self._now().isoformat()
        data = encode(stored, self._compress_above_bytes)
        if current is None:
            write_atomically(self._paths.primary, data, None)
        else:
            self._write_backup(current)
            write_atomically(self._paths.primary, data, current.image.mode)
        self._counts = replace(self._counts, saves=self._counts.saves + 1)
        return stored

    def _write_backup(self, current: Sound) -> None:
        """Copy the primary to the backup; a damaged backup is kept aside, not overwritten."""
        mode = current.image.mode
        old = inspect(self._paths.backup)
        if isinstance(old, Damaged):
            quarantine(self._paths, self._paths.backup, old)
        if old is not None:
            mode &= old.image.mode  # the copy is open to no one who was shut out of either file
        write_atomically(self._paths.backup, current.image.data, mode)

    # --- the rest ------------------------------------------------------------------------------

    def _fresh(self) -> DashboardState:
        return fresh_state(self._project, self._now())

    def _limit(self, timeout: float | None) -> float:
        return self._timeout_s if timeout is None else timeout

    def _require_open(self) -> None:
        if self._closed:
            raise StoreClosedError(f"{self._paths.primary}: the store is closed")

    def _remove_stale_temporaries(self) -> None:
        """Remove what dead writers left. Files are stale only while no writer lives, so it takes the lock."""
        if not stale_temporaries(self._paths):
            return
        if not self._lock.try_acquire():
            return  # a writer lives: one of the files may be its own
        try:
            for path in stale_temporaries(self._paths):
                remove_quietly(path)
        finally:
            self._lock.release()
