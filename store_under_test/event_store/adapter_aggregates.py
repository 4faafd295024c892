"""What EventStore promises of aggregates, and how the harness drives it: versions, batches over several, and every
way to read.

The state is the list of events. What the store shows of it is read in all ways that it has: in order, by streams, by
queries in pages, by versions. So an index or a snapshot that says anything else than the log is a wrong state. The
store tends its views inline, so that index files and snapshots are written whenever a segment is full.
"""

from __future__ import annotations

import random as randomness
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store_under_test.event_store.adapter import CONTRACT, OPTIONS
from store_under_test.event_store.errors import WrongVersionError
from store_under_test.event_store.event import NewEvent
from store_under_test.event_store.store import EventStore
from store_under_test.event_store.views import ViewOptions

VIEWS = ViewOptions(maintenance="inline")
PAGE = 3  # events: small, so that short workloads turn pages

Row = tuple[str, str, str, str, str | None]  # id, aggregate, type, payload, cause


# --- operations ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Record:
    """Append an event; the answer is the version of its aggregate."""

    id: str
    aggregate: str
    type: str
    payload: str
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class RecordAt:
    """Append an event if its aggregate is at version `expected`; the answer is the new version, or "refused"."""

    id: str
    aggregate: str
    expected: int
    payload: str


@dataclass(frozen=True, slots=True)
class RecordAll:
    """Append events of several aggregates, all or none. Each is an id, an aggregate and a payload."""

    items: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Make a snapshot."""


@dataclass(frozen=True, slots=True)
class Rotate:
    """Seal the segment, index it, make a snapshot."""


@dataclass(frozen=True, slots=True)
class ReadStream:
    """The ids of an aggregate's events from a version on."""

    aggregate: str
    from_version: int


@dataclass(frozen=True, slots=True)
class ReadType:
    """The ids of the events of a type."""

    type: str


@dataclass(frozen=True, slots=True)
class ReadChain:
    """The ids from the first cause to an event."""

    id: str


# --- the model --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AggregateModel:
    """Events in order, with versions that count those of one aggregate."""

    name: str = "AGGREGATES"

    def initial(self) -> tuple[Row, ...]:
        return ()

    def step(self, state: tuple[Row, ...], operation: object) -> tuple[tuple[Row, ...], Any]:
        match operation:
            case Record(id, aggregate, type, payload, cause):
                return (*state, (id, aggregate, type, payload, cause)), _version(state, aggregate) + 1
            case RecordAt(id, aggregate, expected, payload):
                if _version(state, aggregate) != expected:
                    return state, "refused"
                return (*state, (id, aggregate, "checked", payload, None)), expected + 1
            case RecordAll(items):
                return (*state, *((id, aggregate, "batch", payload, None) for id, aggregate, payload in items)), None
            case Checkpoint() | Rotate():
                return state, None
            case ReadStream(aggregate, from_version):
                return state, [row[0] for row in state if row[1] == aggregate][max(0, from_version - 1) :]
            case ReadType(type):
                return state, [row[0] for row in state if row[2] == type]
            case ReadChain(id):
                return state, _chain(state, id)
        raise TypeError(f"{self.name} has no operation {operation!r}")

    def equal(self, recovered: Any, state: tuple[Row, ...]) -> bool:
        return bool(recovered == shown(state))

    def example_operations(self, random: randomness.Random, count: int) -> list[Any]:
        return [_example(random, number) for number in range(count)]


def shown(rows: Sequence[Row]) -> dict[str, Any]:
    """What every way of reading has to say of `rows`."""
    streams: dict[str, list[str]] = {}
    types: dict[str, list[str]] = {}
    for id, aggregate, type, _, _ in rows:
        streams.setdefault(aggregate, []).append(id)
        types.setdefault(type, []).append(id)
    versions = {aggregate: len(ids) for aggregate, ids in streams.items()}
    return {"events": [list(row) for row in rows], "streams": streams, "types": types, "versions": versions}


def _version(state: tuple[Row, ...], aggregate: str) -> int:
    return sum(row[1] == aggregate for row in state)


def _chain(state: tuple[Row, ...], id: str) -> list[str]:
    causes: dict[str, str | None] = {}
    for row in state:
        causes.setdefault(row[0], row[4])
    chain: list[str] = []
    wanted: str | None = id
    while wanted is not None and wanted in causes and wanted not in chain:
        chain.append(wanted)
        wanted = causes[wanted]
    return chain[::-1]


# --- examples ---------------------------------------------------------------------------------------

_AGGREGATES = ("task", "agent: Zoë 🦊", "a/b", "0")
_TYPES = ("noted", "planned")
_TEXTS = ("", "plan", "\x00\n\x7f", "Grüße, 世界", "e\u0301 \U0010ffff")
_LONG_CHARACTERS = (4097, 8193)
_SMALL_FIRST = 3  # operations at the head of a workload that stay small


def _example(random: randomness.Random, number: int) -> Any:
    kind = random.choice(("record",) * 4 + ("at",) * 3 + ("all",) * 2 + ("checkpoint", "rotate", "read"))
    aggregate, payload = random.choice(_AGGREGATES), _payload(random, number)
    match kind:
        case "record":
            cause = None if random.random() < 0.3 else f"e{random.randint(0, max(0, number - 1))}"
            return Record(f"e{number}", aggregate, random.choice(_TYPES), payload, cause)
        case "at":
            return RecordAt(f"e{number}", aggregate, random.randint(0, number // 4), payload)
        case "all":
            names = random.choices(_AGGREGATES, k=random.randint(1, 4))
            return RecordAll(tuple((f"e{number}.{place}", name, payload) for place, name in enumerate(names)))
        case "checkpoint":
            return Checkpoint()
        case "rotate":
            return Rotate()
    return random.choice(
        (ReadStream(aggregate, random.randint(1, 3)), ReadType(random.choice(_TYPES)), ReadChain(f"e{number - 1}"))
    )


def _payload(random: randomness.Random, number: int) -> str:
    """Mostly short; once in eight times longer than a page, never at the head of a workload."""
    if number >= _SMALL_FIRST and random.randrange(8) == 0:
        return random.choice("xé") * random.choice(_LONG_CHARACTERS)
    return random.choice(_TEXTS)


# --- the adapter ------------------------------------------------------------------------------------


class AggregateAdapter:
    """Drives expected versions, snapshots and queries."""

    name = "event-store-aggregates"
    model = AggregateModel()
    contract = CONTRACT
    operations = (Record, RecordAt, RecordAll, Checkpoint, Rotate, ReadStream, ReadType, ReadChain)

    def open(self, directory: Path) -> EventStore:
        return EventStore.open(directory, OPTIONS, views=VIEWS)

    def apply(self, store: EventStore, operation: object) -> Any:
        match operation:
            case Record(id, aggregate, type, payload, cause):
                return store.append(_event(id, aggregate, type, payload, cause)).version
            case RecordAt(id, aggregate, expected, payload):
                return _append_at(store, _event(id, aggregate, "checked", payload), expected)
            case RecordAll(items):
                store.append_batch([_event(id, aggregate, "batch", payload) for id, aggregate, payload in items])
            case Checkpoint():
                store.snapshot()
            case Rotate():
                store.compact()
            case ReadStream(aggregate, from_version):
                return [event.id for event in store.read_stream(aggregate, from_version)]
            case ReadType(type):
                return _ids(store, type)
            case ReadChain(id):
                return [event.id for event in store.causation_chain(id)]
            case _:
                raise TypeError(f"{self.name} has no operation {operation!r}")
        return None

    def snapshot(self, store: EventStore) -> dict[str, Any]:
        events = list(store.read())
        aggregates = list(dict.fromkeys(event.aggregate for event in events))
        types = list(dict.fromkeys(event.type for event in events))
        return {
            "events": [[one.id, one.aggregate, one.type, one.payload, one.causation_id] for one in events],
            "streams": {name: [event.id for event in store.read_stream(name)] for name in aggregates},
            "types": {type: _ids(store, type) for type in types},
            "versions": {name: store.version_of(name) for name in aggregates},
        }

    def close(self, store: EventStore) -> None:
        store.close()


def _event(id: str, aggregate: str, type: str, payload: str, cause: str | None = None) -> NewEvent:
    return NewEvent(type, aggregate, payload, causation_id=cause, id=id, timestamp=0.0)


def _append_at(store: EventStore, event: NewEvent, expected: int) -> int | str:
    try:
        return store.append(event, expected_version=expected).version
    except WrongVersionError:
        return "refused"


def _ids(store: EventStore, type: str) -> list[str]:
    """The ids of a query for a type, page after page."""
    page = store.query(type=type, limit=PAGE)
    ids = [event.id for event in page.events]
    while page.cursor is not None:
        page = store.query(type=type, limit=PAGE, cursor=page.cursor)
        ids.extend(event.id for event in page.events)
    return ids
