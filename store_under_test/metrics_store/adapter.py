"""What MetricsStore promises, and how the harness drives it: by whole saves, and by updates.

The models know the limits (small here, so that short workloads evict) and which documents are
refused. They don't know time stamps of the document: the store sets them.
"""

from __future__ import annotations

import random as randomness
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from harness import DOCUMENT, Contract
from store_under_test.metrics_store.errors import InvalidStateError
from store_under_test.metrics_store.state import DashboardState, Limits
from store_under_test.metrics_store.store import MetricsStore

FILE_NAME = "dashboard.json"
PROJECT = "harness"
LOCK_TIMEOUT_S = 2.0
MAX_EVENTS = 5
MAX_SESSIONS = 3

_TIME = "2024-02-29T12:00:00+00:00"
_STAMPS = ("version", "created_at", "updated_at")
_SMALL_FIRST = 3  # operations at the head of a workload that stay small
_STATS_EVERY, _STATS_AT = 12, 5  # which operations of a workload ask for the sizes

CONTRACT = Contract(
    process_crash="acknowledged",
    power_loss="acknowledged",
    power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
    io_error="fails_cleanly",
    corruption="detected",
    writers="processes",
)


# --- operations ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SaveState:
    """Save a whole, valid document."""

    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SaveInvalid:
    """Try to save a document that has to be refused; the answer is "refused"."""

    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReadState:
    """Load; the answer is the state without its time stamps."""


@dataclass(frozen=True, slots=True)
class ReadStats:
    """Ask for the sizes; the answer is how many agents, events and sessions there are."""


@dataclass(frozen=True, slots=True)
class AddEvent:
    """Append an event; beyond the limit the oldest goes."""

    id: str
    agent: str
    note: str


@dataclass(frozen=True, slots=True)
class AddSession:
    """Append a session; beyond the limit the oldest goes."""

    id: str
    events: int
    summary: str


@dataclass(frozen=True, slots=True)
class SetAgent:
    """Set the profile of an agent, its count of tasks back to 0."""

    name: str
    role: str


@dataclass(frozen=True, slots=True)
class CountTask:
    """Add one to an agent's tasks, making the agent if there is none; the answer is the new count."""

    name: str


# --- models --------------------------------------------------------------------------------


def visible(state: Any) -> dict[str, Any]:
    """`state` without what the store stamps."""
    return {key: value for key, value in state.items() if key not in _STAMPS}


def _initial() -> dict[str, Any]:
    return {"project": PROJECT, "agents": {}, "events": [], "sessions": []}


def _limited(state: dict[str, Any]) -> dict[str, Any]:
    return {
        **state,
        "events": state["events"][-MAX_EVENTS:],
        "sessions": state["sessions"][-MAX_SESSIONS:],
    }


def _sizes(state: dict[str, Any]) -> tuple[int, int, int]:
    return len(state["agents"]), len(state["events"]), len(state["sessions"])


def _same(recovered: Any, state: dict[str, Any]) -> bool:
    return isinstance(recovered, dict) and DOCUMENT.equal(visible(recovered), state)


@dataclass(frozen=True, slots=True)
class SaveModel:
    """One document, replaced as a whole."""

    name: str = "METRICS_SAVE"

    def initial(self) -> dict[str, Any]:
        return _initial()

    def step(self, state: dict[str, Any], operation: object) -> tuple[dict[str, Any], Any]:
        match operation:
            case SaveState(document):
                return _limited(visible(document)), None
            case SaveInvalid():
                return state, "refused"
            case ReadState():
                return state, state
            case ReadStats():
                return state, _sizes(state)
        raise TypeError(f"{self.name} has no operation {type(operation).__name__}")

    def equal(self, recovered: Any, state: dict[str, Any]) -> bool:
        return _same(recovered, state)

    def example_operations(self, random: randomness.Random, count: int) -> list[Any]:
        return [_save_example(random, number) if _changes(number) else ReadStats() for number in range(count)]


@dataclass(frozen=True, slots=True)
class UpdateModel:
    """One document, changed piece by piece."""

    name: str = "METRICS_UPDATE"

    def initial(self) -> dict[str, Any]:
        return _initial()

    def step(self, state: dict[str, Any], operation: object) -> tuple[dict[str, Any], Any]:
        match operation:
            case AddEvent():
                return _limited({**state, "events": [*state["events"], _event(operation)]}), None
            case AddSession():
                return _limited({**state, "sessions": [*state["sessions"], _session(operation)]}), None
            case SetAgent(name, role):
                return {**state, "agents": {**state["agents"], name: _agent(role, 0)}}, None
            case CountTask(name):
                return _counted(state, name)
            case ReadState():
                return state, state
            case ReadStats():
                return state, _sizes(state)
        raise TypeError(f"{self.name} has no operation {type(operation).__name__}")

    def equal(self, recovered: Any, state: dict[str, Any]) -> bool:
        return _same(recovered, state)

    def example_operations(self, random: randomness.Random, count: int) -> list[Any]:
        return [_update_example(random, number) if _changes(number) else ReadStats() for number in range(count)]


def _counted(state: dict[str, Any], name: str) -> tuple[dict[str, Any], int]:
    agents = state["agents"]
    old = agents.get(name, _agent("", 0))
    count = old["tasks_completed"] + 1
    return {**state, "agents": {**agents, name: {**old, "tasks_completed": count}}}, count


def _event(operation: AddEvent) -> dict[str, Any]:
    return _event_of(operation.id, operation.agent, operation.note)


def _event_of(identifier: str, agent: str, note: str) -> dict[str, Any]:
    return {"id": identifier, "agent": agent, "type": "note", "timestamp": _TIME, "details": {"note": note}}


def _session(operation: AddSession) -> dict[str, Any]:
    return _session_of(operation.id, operation.events, operation.summary)


def _session_of(identifier: str, events: int, summary: str) -> dict[str, Any]:
    return {"id": identifier, "started_at": _TIME, "ended_at": None, "events": events, "summary": summary}


def _agent(role: str, tasks: int) -> dict[str, Any]:
    return {"role": role, "status": "idle", "tasks_completed": tasks, "last_seen": _TIME, "metadata": {}}


# --- examples ------------------------------------------------------------------------------

_TEXTS = (
    "",
    " ",
    "plan",
    "0",
    "null",
    "\x00\n\t\x7f",
    '"}\\",{"',
    "Grüße, мир, 世界",
    "\u2028\u202eright to left\ufeff",
    "e\u0301 👩\u200d🚀 \U0010ffff",
    "../..",
)
_LONG_CHARACTERS = (4097, 5000, 8193)
_AGENTS = ("planner", "", "Zoë 🦊", "a/b")


def _changes(number: int) -> bool:
    """Whether the operation at this place of a workload may change something."""
    return number % _STATS_EVERY != _STATS_AT


def _text(random: randomness.Random, number: int) -> str:
    """Mostly short; once in eight times longer than a page, never at the head of a workload."""
    if number >= _SMALL_FIRST and random.randrange(8) == 0:
        return random.choice("xé") * random.choice(_LONG_CHARACTERS)
    return random.choice(_TEXTS)


def _save_example(random: randomness.Random, number: int) -> Any:
    if number >= _SMALL_FIRST and random.randrange(10) == 0:
        return SaveInvalid(_spoilt(random, _document(random, number)))
    return SaveState(_document(random, number))


def _document(random: randomness.Random, number: int) -> dict[str, Any]:
    """A document that no other number has, so that a lost save always shows."""
    most = 1 if number < _SMALL_FIRST else MAX_EVENTS + 2
    seen = range(random.randint(0, most))
    events = [_event_of(f"{number}.{n}", random.choice(_AGENTS), "seen") for n in seen]
    sessions = [_session_of(f"{number}.{n}", n, "") for n in range(random.randint(0, min(most, 4)))]
    names = _AGENTS[: random.randint(0, min(most, 2))]
    agents = {name: _agent(random.choice(_TEXTS), number) for name in names}
    if events:
        events[-1]["details"]["note"] = _text(random, number)
    return {
        "version": 1,
        "project": f"save {number} {random.choice(_TEXTS)}",
        "created_at": _TIME,
        "updated_at": _TIME,
        "agents": agents,
        "events": events,
        "sessions": sessions,
    }


def _spoilt(random: randomness.Random, document: dict[str, Any]) -> dict[str, Any]:
    wrongs: tuple[tuple[str, Any], ...] = (
        ("project", 7),
        ("agents", []),
        ("events", [{}]),
        ("updated_at", "soon"),
        ("colour", "red"),
    )
    field, wrong = random.choice(wrongs)
    return {**document, field: wrong}


def _update_example(random: randomness.Random, number: int) -> Any:
    kind = random.choice(("event", "event", "count", "count", "agent", "session"))
    agent = random.choice(_AGENTS)
    if kind == "event":
        return AddEvent(str(number), agent, _text(random, number))
    if kind == "count":
        return CountTask(agent)
    if kind == "agent":
        return SetAgent(agent, f"{number} {random.choice(_TEXTS)}")
    return AddSession(str(number), number, _text(random, number))


# --- adapters ------------------------------------------------------------------------------


def _open(directory: Path) -> MetricsStore:
    limits = Limits(events=MAX_EVENTS, sessions=MAX_SESSIONS)
    return MetricsStore(directory / FILE_NAME, project=PROJECT, limits=limits, timeout=LOCK_TIMEOUT_S)


class MetricsStoreAdapter:
    """Drives `save` with whole documents."""

    name = "metrics-store"
    model = SaveModel()
    contract = CONTRACT
    operations = (SaveState, SaveInvalid, ReadState, ReadStats)

    def open(self, directory: Path) -> MetricsStore:
        return _open(directory)

    def apply(self, store: MetricsStore, operation: object) -> Any:
        match operation:
            case SaveState(document):
                store.save(cast(DashboardState, document))
                return None
            case SaveInvalid(document):
                return _try_invalid(store, document)
            case ReadState():
                return visible(store.load())
            case ReadStats():
                return _stats(store)
        raise TypeError(f"{self.name} has no operation {type(operation).__name__}")

    def snapshot(self, store: MetricsStore) -> dict[str, Any]:
        return visible(store.load())

    def close(self, store: MetricsStore) -> None:
        store.close()


class MetricsUpdateAdapter:
    """Drives `update` with one small change after another."""

    name = "metrics-store-update"
    model = UpdateModel()
    contract = CONTRACT
    operations = (AddEvent, AddSession, SetAgent, CountTask, ReadState, ReadStats)

    def open(self, directory: Path) -> MetricsStore:
        return _open(directory)

    def apply(self, store: MetricsStore, operation: object) -> Any:
        match operation:
            case ReadState():
                return visible(store.load())
            case ReadStats():
                return _stats(store)
            case CountTask(name):
                return store.update(partial(_change, operation))["agents"][name]["tasks_completed"]
            case AddEvent() | AddSession() | SetAgent():
                store.update(partial(_change, operation))
                return None
        raise TypeError(f"{self.name} has no operation {type(operation).__name__}")

    def snapshot(self, store: MetricsStore) -> dict[str, Any]:
        return visible(store.load())

    def close(self, store: MetricsStore) -> None:
        store.close()


def _stats(store: MetricsStore) -> tuple[int, int, int]:
    stats = store.get_stats()
    return stats.agents, stats.events, stats.sessions


def _try_invalid(store: MetricsStore, document: dict[str, Any]) -> str:
    try:
        store.save(cast(DashboardState, document))
    except InvalidStateError:
        return "refused"
    return "accepted"


def _change(operation: object, state: DashboardState) -> None:
    """Change `state` in place, as a client would, and not through the model that judges it."""
    document = cast(dict[str, Any], state)
    match operation:
        case AddEvent():
            document["events"].append(_event(operation))
        case AddSession():
            document["sessions"].append(_session(operation))
        case SetAgent(name, role):
            document["agents"][name] = _agent(role, 0)
        case CountTask(name):
            document["agents"].setdefault(name, _agent("", 0))["tasks_completed"] += 1
