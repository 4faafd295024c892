"""Events without a store, and a log in memory, for the tests of what stands on the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from store_under_test.event_store.errors import WrongVersionError
from store_under_test.event_store.event import Event, NewEvent


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
