"""Subscriptions: every event from some sequence number on, first those that are there, then those that come.

A subscription is a position and nothing else: it reads the log, from which only durable events come, and at its end
waits to be told that there is more. So there is no change from "catching up" to "live" at which an event could be
missed or seen twice, and a subscriber that is slow, or stands still, costs no memory. The newest groups are kept for
those that follow closely, up to a limit, which spares them the reading.

A subscriber whose next event retention has removed gets `CursorExpiredError`: a gap is never passed over.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from types import TracebackType
from typing import Self

from store_under_test.event_store.errors import StoreClosedError
from store_under_test.event_store.event import Event
from store_under_test.event_store.source import Source
from store_under_test.event_store.upcast import Upcasters

logger = logging.getLogger("store_under_test.event_store")

RECENT_EVENTS = 2000  # kept for followers, all in all
BATCH_EVENTS = 1000  # handed out at once, at most


class Hub:
    """Tells subscribers that the log has grown. `on_durable` is called by the log, in order, when a group is
    durable."""

    def __init__(self, source: Source, upcasters: Upcasters, *, recent_events: int = RECENT_EVENTS) -> None:
        self.source = source
        self.upcasters = upcasters
        self._changed = threading.Condition()
        self._recent: deque[list[Event]] = deque()
        self._recent_events = 0
        self._max_recent = recent_events
        self._listeners: dict[int, Callable[[], None]] = {}
        self._positions: dict[int, int] = {}  # of each open subscription: what it will hand out next
        self._closed = False

    @property
    def subscribers(self) -> int:
        return len(self._positions)

    @property
    def lag(self) -> int:
        """How many events the slowest subscriber has not seen yet; 0 without any."""
        positions = list(self._positions.values())
        return max(0, self.source.last_sequence + 1 - min(positions)) if positions else 0

    @property
    def closed(self) -> bool:
        return self._closed

    def on_durable(self, events: list[Event]) -> None:
        """A group is durable: keep it if anybody follows, and wake those who wait."""
        if not self._positions:
            if self._recent:
                self._forget()
            return
        with self._changed:
            self._recent.append(events)
            self._recent_events += len(events)
            while self._recent_events > self._max_recent and len(self._recent) > 1:
                self._recent_events -= len(self._recent.popleft())
            self._changed.notify_all()
        self._wake()

    def close(self) -> None:
        """No more will come: those who wait get `StoreClosedError`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._wake()

    def _wake(self) -> None:
        for key, wake in list(self._listeners.items()):
            try:
                wake()
            except Exception as error:  # a subscriber's trouble is none of the log's
                logger.warning("a subscriber cannot be woken any more: %s", error)
                self.listen(key, None)

    def _forget(self) -> None:
        with self._changed:
            self._recent.clear()
            self._recent_events = 0

    # --- for subscriptions --------------------------------------------------------------------------

    def moved(self, key: int, position: int | None) -> None:
        """A subscription will hand out `position` next; `None`: it is closed."""
        with self._changed:
            if position is None:
                self._positions.pop(key, None)
            else:
                self._positions[key] = position

    def listen(self, key: int, wake: Callable[[], None] | None) -> None:
        """Call `wake` after each group from now on, in the thread of the writer; `None`: no longer."""
        with self._changed:
            if wake is None:
                self._listeners.pop(key, None)
            else:
                self._listeners[key] = wake

    def wait_for(self, sequence: int, timeout_s: float | None) -> bool:
        """Whether `sequence` is durable, waiting for it at most so long (`None`: as long as it takes)."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self.source.last_sequence >= sequence, timeout_s)
            if self._closed:
                raise StoreClosedError("the store was closed while somebody subscribed to it")
            return self.source.last_sequence >= sequence

    def read(self, sequence: int) -> list[Event]:
        """Durable events from `sequence` on, in order and without a gap, some of them at least if there are any."""
        last = self.source.last_sequence
        if sequence > last:
            return []
        recent = self._from_recent(sequence, last)
        return recent if recent is not None else self._from_log(sequence, last)

    def _from_recent(self, sequence: int, last: int) -> list[Event] | None:
        with self._changed:
            groups = list(self._recent)
        if not groups or groups[0][0].sequence > sequence or groups[-1][-1].sequence < sequence:
            return None
        events: list[Event] = []
        for group in groups:
            if group[0].sequence <= last and group[-1].sequence >= sequence:
                events.extend(event for event in group if sequence <= event.sequence <= last)
            if len(events) >= BATCH_EVENTS:
                break
        return events if events and events[0].sequence == sequence else None

    def _from_log(self, sequence: int, last: int) -> list[Event]:
        events: list[Event] = []
        for frame in self.source.frames(sequence):
            events.extend(event for event in frame.events if sequence <= event.sequence <= last)
            if len(events) >= BATCH_EVENTS or frame.first_sequence + frame.count > last:
                break
        return events


class Subscription:
    """Events one after the other, for one thread. Iterating waits for more; `close` or leaving the block ends it."""

    def __init__(self, hub: Hub, from_sequence: int = 1) -> None:
        """Raises `CursorExpiredError`, then or later, if retention has removed what would come next."""
        self.position = max(1, from_sequence)  # the next event that will be handed out
        self._hub = hub
        self._ready: deque[Event] = deque()
        self._open = True
        hub.moved(id(self), self.position)

    def poll(self, timeout_s: float | None = 0.0) -> Event | None:
        """The next event; `None` if there is none within `timeout_s` (`None`: wait as long as it takes).

        Raises `CursorExpiredError`, `StoreClosedError`, `UnknownSchemaError`, and `DamagedError` of the log. After
        any of them the position is as it was.
        """
        if not self._open:
            raise StoreClosedError("the subscription is closed")
        if not self._ready:
            if not self._hub.wait_for(self.position, timeout_s):
                return None
            self._ready.extend(self._hub.read(self.position))
            self._hub.moved(id(self), self.position)
        event = self._hub.upcasters.apply(self._ready[0])
        self._ready.popleft()
        self.position = event.sequence + 1
        return event

    def some(self) -> list[Event]:
        """The next events that are there, some hundreds at most; none if there are none."""
        events = list(islice(self.ready(), BATCH_EVENTS))
        if not events and self._hub.closed:
            raise StoreClosedError("the store was closed while somebody subscribed to it")
        return events

    @property
    def is_behind(self) -> bool:
        """Whether there is more already."""
        return self.position <= self._hub.source.last_sequence or self._hub.closed

    def wake_with(self, wake: Callable[[], None]) -> None:
        """Call `wake` after each group, in the thread that wrote it: for those that cannot wait in `poll`."""
        self._hub.listen(id(self), wake)

    def ready(self) -> Iterator[Event]:
        """The events that are there, without waiting."""
        while (event := self.poll()) is not None:
            yield event

    def __iter__(self) -> Iterator[Event]:
        """All events as they come, until the subscription or the store is closed."""
        while self._open:
            try:
                event = self.poll(None)
            except StoreClosedError:
                return
            if event is not None:
                yield event

    def close(self) -> None:
        """End it; any number of times."""
        if self._open:
            self._open = False
            self._hub.listen(id(self), None)
            self._hub.moved(id(self), None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
