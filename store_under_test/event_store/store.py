"""The synchronous face of the store."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

from store_under_test.event_store import files
from store_under_test.event_store.codec import encode_batch
from store_under_test.event_store.event import Event, NewEvent, traced
from store_under_test.event_store.face import ViewedStore
from store_under_test.event_store.guard import guard_of
from store_under_test.event_store.log import Expected, Log, LogState, Options
from store_under_test.event_store.repair import restore
from store_under_test.event_store.reports import Report
from store_under_test.event_store.verify import verify
from store_under_test.event_store.views import ViewOptions, Views
from store_under_test.tracing import active, span


class EventStore(ViewedStore):
    """An append-only log of events in a directory. Made by `EventStore.open`; for many threads.

    `now` gives time stamps, in seconds UTC; nothing is ever ordered by them.
    """

    def __init__(self, log: Log, now: Callable[[], float] = time.time, views: ViewOptions | None = None) -> None:
        super().__init__(Views(log, views))
        self.log = log
        self._now = now

    @classmethod
    def open(
        cls,
        directory: str | os.PathLike[str],
        options: Options | None = None,
        *,
        redundancy: str | None = None,
        now: Callable[[], float] = time.time,
        views: ViewOptions | None = None,
    ) -> Self:
        """Open the store in `directory`, which is made if it is not there (its parent must be).

        `redundancy="parity"`: every event is kept twice, or can be restored (guard.py). A log that was opened so once
        is always.

        Raises `LockedError` if another handle is open, `ForeignFormatError` if the directory holds something else,
        `DamagedError` if events are missing or not what was written, or an `OSError`.
        """
        files.make_directory(os.path.abspath(directory))
        log = Log.open(directory, options, redundancy=guard_of(directory, redundancy))
        try:
            return cls(log, now, views)
        except BaseException:
            log.close()
            raise

    def append(self, event: NewEvent, *, expected_version: Expected = None) -> Event:
        """Append an event: durable when this returns. Raises as `append_batch` does."""
        return self.append_batch((event,), expected_version=expected_version)[0]

    def append_batch(self, events: Iterable[NewEvent], *, expected_version: Expected = None) -> list[Event]:
        """Append 1 to 1000 events, all or none: durable when this returns.

        `expected_version`: the version that their aggregate must be at, 0 if it must be new; a dictionary if there are
        several. Raises, with nothing written, `InvalidEventError`, `EventTooLargeError`, `BatchSizeError`,
        `BatchTooLargeError`, `WrongVersionError`, `ReadOnlyError` or `StoreClosedError`. After `LeaseLostError`,
        `SyncFailedError` or an `OSError` the events may be there or not.
        """
        views, start = self.views, self.views.options.clock()
        try:
            batch = encode_batch(traced(views.options.upcasters.known(events), active()), self._now)
            with span("event_store.append", events=len(batch.parts)):
                appended = self.log.append(batch, expected_version)
        except Exception as error:
            if views.failed(error):
                views.make_room()
            raise
        if views.appended(views.options.clock() - start):
            views.tend()
        return appended

    def read(self, from_sequence: int = 1) -> Iterator[Event]:
        """All durable events from `from_sequence` on, in order. Raises `DamagedError`, `CursorExpiredError`."""
        for frame in self.log.frames(from_sequence):
            events = frame.events[max(0, from_sequence - frame.first_sequence) :]
            yield from self.views.options.upcasters.lift(events)

    def compact(self) -> None:
        """Maintenance: seal the segment that is being written, index it, make a snapshot, apply retention."""
        self.log.rotate()
        self.views.settle()

    def verify(self) -> Report:
        """Read everything, and tell what is damaged and which events that costs. Changes nothing."""
        report: Report = self.log.exclusive(lambda: verify(self.log.directory))
        return report

    def repair(self) -> Report:
        """Restore what redundancy can, durably; what is damaged after that. May be interrupted, and done again.

        Damaged snapshots and indexes are left to the next opening.
        """
        self.log.exclusive(lambda: restore(self.log.directory))
        return self.verify()

    @property
    def last_sequence(self) -> int:
        """The sequence of the newest durable event; 0 if there is none."""
        return self.log.last_sequence

    @property
    def state(self) -> LogState:
        """Whether the store takes events, and why not."""
        return self.log.state

    def close(self) -> None:
        """Release the files and the lock. What was acknowledged is durable without it."""
        self.views.close()
        self.log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
