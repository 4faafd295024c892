"""Events without a store, a log in memory, and small stores, for the tests of what stands on the log."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from store_under_test.event_store.errors import WrongVersionError
from store_under_test.event_store.event import Event, NewEvent
from store_under_test.event_store.lease import Patience
from store_under_test.event_store.log import Options
from store_under_test.event_store.store import EventStore
from store_under_test.event_store.views import ViewOptions
from store_under_test.event_store.writer import Sizes


def event(sequence: int, **fields: Any) -> Event:
    """An event with this number; everything else is made up unless given."""
    values: dict[str, Any] = {
        "id": f"e{sequence}",
        "type": "note",
        "aggregate": "a",
        "version": sequence,
        "timestamp": float(sequence),
        "actor": "",
        "payload": None,
        "metadata": {},
        "correlation_id": None,
        "causation_id": None,
        "schema_version": 1,
        **fields,
    }
    return Event(sequence, *(values[name] for name in Event._fields[1:]))


class MemoryLog:
    """A log that is a list, with versions of aggregates."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.events = list(events)

    def append(self, new: NewEvent, *, expected_version: int | None = None) -> Event:
        version = sum(one.aggregate == new.aggregate for one in self.events)
        if expected_version not in (None, version):
            raise WrongVersionError(new.aggregate, expected_version or 0, version)
        number = len(self.events) + 1
        made = Event(
            number,
            new.id or f"e{number}",
            new.type,
            new.aggregate,
            version + 1,
            new.timestamp or float(number),
            new.actor,
            new.payload,
            dict(new.metadata),
            new.correlation_id,
            new.causation_id,
            new.schema_version,
        )
        self.events.append(made)
        return made

    def read(self, first_sequence: int = 1) -> Iterator[Event]:
        return iter(self.events[first_sequence - 1 :])


SMALL = Options(
    sizes=Sizes(segment_bytes=32 * 1024, step_bytes=8 * 1024), patience=Patience(timeout_s=0.0), probe_s=0.0
)


def opened(directory: Path, **options: Any) -> EventStore:
    """A store of small segments that tends its views on request, unless told otherwise."""
    return EventStore.open(directory, SMALL, views=ViewOptions(**{"maintenance": "on_request", **options}))


def drawn(count: int, seed: int = 0) -> list[NewEvent]:
    """Events of few kinds, aggregates and agents, with causes and sessions, some hundred bytes each."""
    chance = random.Random(seed)
    return [
        NewEvent(
            chance.choice(("noted", "planned", "done")),
            chance.choice(("a", "b", "c", "Zoë")),
            payload="x" * chance.randint(0, 300),
            actor=chance.choice(("p", "q")),
            correlation_id=chance.choice((None, "s1", "s2", "s3")),
            causation_id=f"e{chance.randint(max(0, number - 20), number - 1)}" if number % 7 else None,
            id=f"e{number}",
            timestamp=100.0 + number + chance.randint(-5, 5),
        )
        for number in range(count)
    ]


def filled(store: EventStore, events: Sequence[NewEvent], seed: int = 0) -> list[Event]:
    """Append in batches of 1 to 20; the events as stored."""
    chance = random.Random(seed)
    stored: list[Event] = []
    while len(stored) < len(events):
        stored += store.append_batch(events[len(stored) : len(stored) + chance.randint(1, 20)])
    return stored


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def index_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.idx"))


def snapshot_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.snap"))
