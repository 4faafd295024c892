"""What a store answers from its views: queries, streams, chains of causes, subscriptions, health, metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from store_under_test.event_store.errors import DamagedError
from store_under_test.event_store.event import Event
from store_under_test.event_store.health import Health
from store_under_test.event_store.metrics import StoreMetrics
from store_under_test.event_store.query import DEFAULT_LIMIT, Filter, Page
from store_under_test.event_store.subscriptions import Subscription
from store_under_test.event_store.views import Views
from store_under_test.tracing import span


class ViewedStore:
    """The reading half of a store. Everything here shows durable events only, in the current version of their
    schema."""

    def __init__(self, views: Views) -> None:
        self.views = views

    def query(
        self,
        *,
        aggregate: str | None = None,
        type: str | None = None,
        actor: str | None = None,
        correlation: str | None = None,
        since: float | None = None,
        until: float | None = None,
        first: int | None = None,
        last: int | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page:
        """A page of the events that fit all that is given, oldest first; `cursor` is that of the page before.

        `since` (included) and `until` (not) are seconds UTC; `first` and `last` are sequence numbers, included;
        `limit` is 1 to 10,000. Raises `CursorExpiredError`, `UnknownSchemaError`, `DamagedError`, or `ValueError` for
        a limit or cursor that makes no sense.
        """
        wanted = Filter(
            aggregate=aggregate,
            type=type,
            actor=actor,
            correlation=correlation,
            since=since,
            until=until,
            first=first,
            last=last,
        )
        start = self.views.options.clock()
        with span("event_store.query"), self._noting_damage():
            page = self.views.reader.query(wanted, limit=limit, cursor=cursor)
        self.views.metrics.query_done(self.views.options.clock() - start)
        return page

    def read_stream(self, aggregate: str, from_version: int = 1) -> Iterator[Event]:
        """The events of an aggregate from `from_version` on, as of now, read as they are asked for.

        Raises `CursorExpiredError` if retention has removed some of them.
        """
        with self._noting_damage():
            yield from self.views.reader.read_stream(aggregate, from_version)

    def find(self, id: str) -> Event | None:
        """The event with this id; the oldest if there are several."""
        with self._noting_damage():
            return self.views.reader.find(id)

    def causation_chain(self, id: str) -> list[Event]:
        """From the first cause that is left down to the event with this id; empty if there is none."""
        with self._noting_damage():
            return self.views.reader.causation_chain(id)

    def effects(self, id: str) -> list[Event]:
        """The events that name `id` as their cause."""
        with self._noting_damage():
            return self.views.reader.effects(id)

    def subscribe(self, from_sequence: int = 1) -> Subscription:
        """Every event from `from_sequence` on, those that are there and those that come: each once, without a gap."""
        return Subscription(self.views.hub, from_sequence)

    def version_of(self, aggregate: str) -> int:
        """How many durable events the aggregate has had; 0 if none, or if retention has removed them all."""
        return self.views.version_of(aggregate)

    def snapshot(self) -> bool:
        """Make a snapshot of the state, so that the next opening is fast; whether there was anything new."""
        return self.views.snapshot()

    def retain(self) -> int:
        """Remove what the policy gives up, now; how many segments."""
        return self.views.retain()

    def health(self) -> Health:
        """How the store is, and why."""
        return self.views.health()

    @property
    def metrics(self) -> StoreMetrics:
        """What was counted since the store was opened."""
        return self.views.metrics

    @contextmanager
    def _noting_damage(self) -> Iterator[None]:
        try:
            yield
        except DamagedError as damage:
            self.views.damaged(damage)
            raise
