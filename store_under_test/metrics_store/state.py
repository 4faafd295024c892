"""The state of a dashboard: its types, what makes one valid, and the FIFO limits.

Validation is closed: every field must be there and no other may. The same check guards saving
(the caller hears which field is wrong) and loading (a file that fails it is damaged).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypedDict, cast

from store_under_test.metrics_store.errors import InvalidStateError, UnsupportedVersionError

FORMAT_VERSION = 1
MAX_DEPTH = 32  # of nested `metadata` and `details`
MAX_INTEGER = 2**63 - 1  # beyond it, JSON readers in other languages lose digits

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"


class AgentProfile(TypedDict):
    """What is known of one agent."""

    role: str
    status: str
    tasks_completed: int
    last_seen: str
    metadata: dict[str, JsonValue]


class AgentEvent(TypedDict):
    """Something that an agent did. `timestamp` is ISO 8601."""

    id: str
    agent: str
    type: str
    timestamp: str
    details: dict[str, JsonValue]


class SessionSummary(TypedDict):
    """One session; `ended_at` is `None` while it runs."""

    id: str
    started_at: str
    ended_at: str | None
    events: int
    summary: str


class DashboardState(TypedDict):
    """The whole document. Lists are in order of insertion, oldest first; time stamps are ISO 8601."""

    version: int
    project: str
    created_at: str
    updated_at: str
    agents: dict[str, AgentProfile]
    events: list[AgentEvent]
    sessions: list[SessionSummary]


Check: TypeAlias = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How many of the newest events and sessions are kept, by insertion. Both at least 1."""

    events: int = 500
    sessions: int = 50

    def __post_init__(self) -> None:
        for name, value in (("events", self.events), ("sessions", self.sessions)):
            if value < 1:
                raise ValueError(f"the limit of {name} is {value}: it must be at least 1")

    def apply(self, state: DashboardState) -> DashboardState:
        """`state` without what is beyond the limits; the argument stays as it is."""
        kept = state.copy()
        kept["events"] = state["events"][-self.events :]
        kept["sessions"] = state["sessions"][-self.sessions :]
        return kept


def utc_now() -> datetime:
    return datetime.now(UTC)


def fresh_state(project: str, now: datetime) -> DashboardState:
    """The state before the first save."""
    stamp = now.isoformat()
    return {
        "version": FORMAT_VERSION,
        "project": project,
        "created_at": stamp,
        "updated_at": stamp,
        "agents": {},
        "events": [],
        "sessions": [],
    }


def validate(state: object) -> DashboardState:
    """`state`, if it is one.

    Raises `InvalidStateError` (a `ValueError`) naming the first wrong field, and
    `UnsupportedVersionError` for a version that this code is too old for.
    """
    _require_known_version(state)
    _check_state(state)
    return cast(DashboardState, state)


def require_text(value: object, field: str) -> None:
    """Raise `InvalidStateError` naming `field` unless `value` is Unicode text."""
    try:
        _check_text(value)
    except InvalidStateError as error:
        raise error.inside(field) from None


def _require_known_version(state: object) -> None:
    version = state.get("version") if isinstance(state, dict) else None
    if type(version) is int and version > FORMAT_VERSION:
        raise UnsupportedVersionError(f"format version {version} is newer than {FORMAT_VERSION}")


def _check_version(value: Any) -> None:
    if type(value) is not int or value != FORMAT_VERSION:
        raise InvalidStateError("", f"is {value!r}: it must be {FORMAT_VERSION}")


def _check_text(value: Any) -> None:
    if not isinstance(value, str):
        raise InvalidStateError("", f"is of type {type(value).__name__}: it must be text")
    if value.isascii():
        return
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidStateError("", "holds a lone surrogate, which is no Unicode text") from None


def _check_timestamp(value: Any) -> None:
    _check_text(value)
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise InvalidStateError("", "is no ISO 8601 time") from None


def _check_optional_timestamp(value: Any) -> None:
    if value is not None:
        _check_timestamp(value)


def _check_count(value: Any) -> None:
    if type(value) is not int:
        raise InvalidStateError("", f"is of type {type(value).__name__}: it must be an integer")
    if not 0 <= value <= MAX_INTEGER:
        raise InvalidStateError("", "is out of range: it must be at least 0 and below 2**63")


def _check_json_object(value: Any) -> None:
    if type(value) is not dict:
        raise InvalidStateError("", f"is of type {type(value).__name__}: it must be an object")
    _check_json(value, MAX_DEPTH)


def _check_json(value: Any, depth: int) -> None:
    if depth == 0:
        raise InvalidStateError("", f"is nested deeper than {MAX_DEPTH}")
    if value is None or type(value) is bool:
        return
    if isinstance(value, str):
        _check_text(value)
    elif type(value) is int:
        if abs(value) > MAX_INTEGER:
            raise InvalidStateError("", "is out of range: it must be within 63 bits and a sign")
    elif type(value) is float:
        if not math.isfinite(value):
            raise InvalidStateError("", f"is {value}, which JSON does not know")
    elif type(value) is list:
        _check_items(enumerate(value), lambda item: _check_json(item, depth - 1), "[{}]")
    elif type(value) is dict:
        _check_keys(value)
        _check_items(value.items(), lambda item: _check_json(item, depth - 1), ".{}")
    else:
        raise InvalidStateError("", f"is of type {type(value).__name__}, which is not JSON")


def _check_items(items: Any, check: Check, where: str) -> None:
    for key, value in items:
        try:
            check(value)
        except InvalidStateError as error:
            raise error.inside(where.format(key)) from None


def _check_keys(value: Mapping[Any, Any]) -> None:
    for key in value:
        try:
            _check_text(key)
        except InvalidStateError as error:
            raise InvalidStateError("", f"has a key {key!r} that {error.problem}") from None


def _check_record(value: Any, fields: Mapping[str, Check]) -> None:
    if type(value) is not dict:
        raise InvalidStateError("", f"is of type {type(value).__name__}: it must be an object")
    for name, check in fields.items():
        if name not in value:
            raise InvalidStateError(f".{name}", "is missing")
        try:
            check(value[name])
        except InvalidStateError as error:
            raise error.inside(f".{name}") from None
    if len(value) > len(fields):
        unknown = next(name for name in value if name not in fields)
        raise InvalidStateError(f".{unknown}", "is not a field of the state")


def _check_agent(value: Any) -> None:
    _check_record(value, _AGENT_FIELDS)


def _check_event(value: Any) -> None:
    _check_record(value, _EVENT_FIELDS)


def _check_session(value: Any) -> None:
    _check_record(value, _SESSION_FIELDS)


def _check_agents(value: Any) -> None:
    if type(value) is not dict:
        raise InvalidStateError("", f"is of type {type(value).__name__}: it must be an object")
    _check_keys(value)
    _check_items(value.items(), _check_agent, ".{}")


def _check_events(value: Any) -> None:
    _check_list(value, _check_event)


def _check_sessions(value: Any) -> None:
    _check_list(value, _check_session)


def _check_list(value: Any, check: Check) -> None:
    if type(value) is not list:
        raise InvalidStateError("", f"is of type {type(value).__name__}: it must be a list")
    _check_items(enumerate(value), check, "[{}]")


def _check_state(value: Any) -> None:
    _check_record(value, _STATE_FIELDS)


_AGENT_FIELDS: Mapping[str, Check] = {
    "role": _check_text,
    "status": _check_text,
    "tasks_completed": _check_count,
    "last_seen": _check_timestamp,
    "metadata": _check_json_object,
}
_EVENT_FIELDS: Mapping[str, Check] = {
    "id": _check_text,
    "agent": _check_text,
    "type": _check_text,
    "timestamp": _check_timestamp,
    "details": _check_json_object,
}
_SESSION_FIELDS: Mapping[str, Check] = {
    "id": _check_text,
    "started_at": _check_timestamp,
    "ended_at": _check_optional_timestamp,
    "events": _check_count,
    "summary": _check_text,
}
_STATE_FIELDS: Mapping[str, Check] = {
    "version": _check_version,
    "project": _check_text,
    "created_at": _check_timestamp,
    "updated_at": _check_timestamp,
    "agents": _check_agents,
    "events": _check_events,
    "sessions": _check_sessions,
}
