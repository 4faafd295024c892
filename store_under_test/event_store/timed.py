"""How fast EventStore is, and how large it gets: the same log in segments of production size, with limits.

Adapters of their own, because on a slow disk some of these limits can't be decided, and a push should not wait for
that: `harness certify store_under_test.event_store.timed:TimedAppends --scenario limits --profile exhaustive`, and the
same with `TimedBatches`. The limits are floors: what the store is for asks no less. `EnduredAppends` is for
`harness endure`, whose load has no beginning in which a log could be filled.

One client calls them, one operation after another. How durable appends of many callers combine, and rates that do
not wait, are measured by `python -m benchmarks appends` and `python -m benchmarks.sustained`.
"""

from __future__ import annotations

import random as randomness
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from harness import Append, AppendMany, Limit, Read
from store_under_test.event_store.adapter import EventStoreAdapter
from store_under_test.event_store.store import EventStore

CHARACTERS = (80, 400)  # of a payload
FILLED_EVENTS = 12_000  # before the first query
QUERIED_EVENTS = 1_000
QUERY_EVERY = 4
BATCH_EVENTS = 100
_AT_ONCE = 1_000  # events of a batch that fills
_BYTES_PER_EVENT = 1_048  # 1 MiB for 1,000 events
_GROWTH_PER_EVENT = 100  # what the index of the segment that is being written may take, until it is sealed
# One process at a time, and in it as many threads as there are (`harness endure --callers`).


class TimedAppends(EventStoreAdapter):
    """Single appends, and after every third one a query for the newest 1,000 of 12,000 events or more."""

    name = "event-store-timed"
    limits = (
        Limit("apply_p50_ms", at_most=2),
        Limit("apply_p95_ms", at_most=5),
        Limit("apply_p99_ms", at_most=10),
        Limit("apply_p999_ms", at_most=100),
        Limit("read_p99_ms", at_most=100),
        Limit("resident_bytes_per_operation", at_most=_BYTES_PER_EVENT),
        Limit("allocated_bytes_per_operation", at_most=_GROWTH_PER_EVENT),
        Limit("growth_bytes_per_operation", at_most=_GROWTH_PER_EVENT),
        Limit("descriptors", at_most=8),
    )

    def open(self, directory: Path) -> EventStore:
        return EventStore.open(directory)

    def apply(self, store: EventStore, operation: object) -> int | list[str] | None:
        if isinstance(operation, Read):
            return _queried(store, operation.start + 1)
        return super().apply(store, operation)

    def measured_operations(self, random: randomness.Random, count: int) -> list[Any]:
        """A log that is filled at first, in batches; then appends with queries between them."""
        return list(islice(_appends_and_queries(random), count))


class TimedBatches(EventStoreAdapter):
    """Batches of 100 events: 10,000 events per second, and 100,000 read again in 10 s."""

    name = "event-store-timed-batches"
    limits = (
        Limit("throughput_per_s", at_least=10_000 / BATCH_EVENTS),
        Limit("replay_s", at_most=10, operations=100_000 // BATCH_EVENTS),
        Limit("resident_bytes_per_operation", at_most=_BYTES_PER_EVENT * BATCH_EVENTS),
        Limit("growth_bytes_per_operation", at_most=_GROWTH_PER_EVENT * BATCH_EVENTS),
        Limit("descriptors", at_most=8),
    )

    def open(self, directory: Path) -> EventStore:
        return EventStore.open(directory)

    def measured_operations(self, random: randomness.Random, count: int) -> list[Any]:
        """`count` batches; each repeats one text, so that a long load is small until it is written."""
        return [AppendMany((_text(random),) * BATCH_EVENTS) for _ in range(count)]


class EnduredAppends(EventStoreAdapter):
    """Appends and small batches, the same mixture at all times: for `harness endure`, also with several callers."""

    name = "event-store-endured"
    limits = (
        *(limit for limit in TimedAppends.limits if limit.metric.startswith("apply_")),
        Limit("growth_bytes_per_operation", at_most=_GROWTH_PER_EVENT),
        Limit("descriptors", at_most=8),
    )

    def open(self, directory: Path) -> EventStore:
        return EventStore.open(directory)

    def measured_operations(self, random: randomness.Random, count: int) -> list[Any]:
        """Seven single appends, then a batch of four."""
        return [
            AppendMany(tuple(_text(random) for _ in range(4))) if number % 8 == 7 else Append(_text(random))
            for number in range(count)
        ]


def _queried(store: EventStore, first: int) -> list[str]:
    """The payloads from event `first` on, by pages of a query."""
    page = store.query(first=first, limit=QUERIED_EVENTS)
    found = [event.payload for event in page.events]
    while page.cursor is not None:
        page = store.query(first=first, limit=QUERIED_EVENTS, cursor=page.cursor)
        found += [event.payload for event in page.events]
    return found


def _appends_and_queries(random: randomness.Random) -> Iterator[Any]:
    for _ in range(FILLED_EVENTS // _AT_ONCE):
        yield AppendMany((_text(random),) * _AT_ONCE)
    held = FILLED_EVENTS
    while True:
        for _ in range(QUERY_EVERY - 1):
            yield Append(_text(random))
        held += QUERY_EVERY - 1
        yield Read(held - QUERIED_EVENTS)


def _text(random: randomness.Random) -> str:
    return random.randbytes(random.randint(*CHARACTERS) // 2).hex()
