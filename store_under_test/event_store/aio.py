"""The asyncio face: the same log and the same group commit, with tasks in the place of threads.

A task never waits in a thread. What is appended is queued where the threads queue it; if nobody writes, one thread of
this front does, for as long as there is something. However many tasks wait, the loop is woken once for a group.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Self

from store_under_test.event_store import files
from store_under_test.event_store.codec import Batch, encode_batch
from store_under_test.event_store.commit import Request
from store_under_test.event_store.errors import StoreClosedError
from store_under_test.event_store.event import Event, NewEvent, traced
from store_under_test.event_store.log import Expected, LogState, Options
from store_under_test.event_store.query import Page
from store_under_test.event_store.store import EventStore
from store_under_test.event_store.views import ViewOptions
from store_under_test.tracing import active, span


class _Task(Request):
    """A request whose caller is a task."""

    def __init__(self, batch: Batch, expected: Expected, front: AsyncEventStore, future: asyncio.Future[Any]) -> None:
        super().__init__(batch, expected)
        self._front = front
        self.future = future

    def prepare_to_wait(self) -> None:
        """A future waits by itself."""

    def offer_lead(self) -> bool:
        """The task cannot write, but the front's thread can."""
        self._front._lead()
        return True

    def finish(self) -> None:
        if not self.is_done:
            self.is_done = True
            self._front._finished(self)


class AsyncEventStore:
    """Awaitable calls on an `EventStore`, which it takes over and closes. Belongs to the loop that it was made in.

    A cancelled append goes on: it has happened, or may still.
    """

    def __init__(self, store: EventStore, now: Callable[[], float] = time.time) -> None:
        self.store = store
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="event-store")
        self._done: list[_Task] = []
        self._lock = threading.Lock()

    @classmethod
    async def open(
        cls,
        directory: str | os.PathLike[str],
        options: Options | None = None,
        *,
        redundancy: str | None = None,
        now: Callable[[], float] = time.time,
        views: ViewOptions | None = None,
    ) -> Self:
        """See `EventStore.open`."""
        store = await asyncio.to_thread(
            EventStore.open, directory, options, redundancy=redundancy, now=now, views=views
        )
        return cls(store, now)

    async def append(self, event: NewEvent, *, expected_version: Expected = None) -> Event:
        """See `EventStore.append`."""
        return (await self.append_batch((event,), expected_version=expected_version))[0]

    async def append_batch(self, events: Iterable[NewEvent], *, expected_version: Expected = None) -> list[Event]:
        """See `EventStore.append_batch`."""
        views, start = self.store.views, self.store.views.options.clock()
        try:
            batch = encode_batch(traced(views.options.upcasters.known(events), active()), self._now)
            with span("event_store.append", events=len(batch.parts)):
                appended = await self._submitted(batch, expected_version)
        except Exception as error:
            if views.failed(error):
                await asyncio.to_thread(views.make_room)
            raise
        if views.appended(views.options.clock() - start):
            await asyncio.to_thread(views.tend)
        return appended

    async def _submitted(self, batch: Batch, expected: Expected) -> list[Event]:
        future: asyncio.Future[list[Event]] = self._loop.create_future()
        task = _Task(batch, expected, self, future)
        if self.store.log.submit(task):
            self._lead()
        return await future

    async def query(self, **wanted: Any) -> Page:
        """See `EventStore.query`."""
        return await asyncio.to_thread(partial(self.store.query, **wanted))

    async def read_stream(self, aggregate: str, from_version: int = 1) -> list[Event]:
        """All of what `EventStore.read_stream` gives."""
        return await asyncio.to_thread(lambda: list(self.store.read_stream(aggregate, from_version)))

    async def causation_chain(self, id: str) -> list[Event]:
        """See `EventStore.causation_chain`."""
        return await asyncio.to_thread(self.store.causation_chain, id)

    async def subscribe(self, from_sequence: int = 1) -> AsyncIterator[Event]:
        """Every event from `from_sequence` on, each once, without a gap, until the store is closed."""
        come = asyncio.Event()
        with self.store.subscribe(from_sequence) as subscription:
            subscription.wake_with(partial(self._set, come))
            try:
                while True:
                    come.clear()  # before looking: what comes from here on sets it again
                    for event in await asyncio.to_thread(subscription.some):
                        yield event
                    if subscription.is_behind:
                        continue
                    await come.wait()
            except StoreClosedError:
                return

    async def read(self, from_sequence: int = 1, limit: int = 1000) -> list[Event]:
        """At most `limit` durable events from `from_sequence` on. See `EventStore.read`."""
        return await asyncio.to_thread(self._read, from_sequence, limit)

    async def compact(self) -> None:
        """See `EventStore.compact`."""
        await asyncio.to_thread(self.store.compact)

    @property
    def last_sequence(self) -> int:
        """The sequence of the newest durable event; 0 if there is none."""
        return self.store.last_sequence

    @property
    def state(self) -> LogState:
        """Whether the store takes events, and why not."""
        return self.store.state

    async def close(self) -> None:
        """See `EventStore.close`."""
        await asyncio.to_thread(self.store.close)
        self._threads.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _set(self, come: asyncio.Event) -> None:
        self._loop.call_soon_threadsafe(come.set)

    def _read(self, from_sequence: int, limit: int) -> list[Event]:
        return [event for event, _ in zip(self.store.read(from_sequence), range(limit), strict=False)]

    def _lead(self) -> None:
        self._threads.submit(self.store.log.lead)

    def _finished(self, task: _Task) -> None:
        """Called by whoever wrote. One wake-up of the loop serves all that are finished until it comes round."""
        with self._lock:
            self._done.append(task)
            must_wake = len(self._done) == 1
        if must_wake:
            try:
                self._loop.call_soon_threadsafe(self._hand_out)
            except RuntimeError:
                files.logger.info("the event loop was closed before its appends were answered")

    def _hand_out(self) -> None:
        with self._lock:
            done, self._done = self._done, []
        for task in done:
            if task.future.done():  # cancelled
                continue
            if task.error is None:
                task.future.set_result(task.result)
            else:
                task.future.set_exception(task.error)
