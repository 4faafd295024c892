"""What a valid state is, and the limits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from store_under_test.metrics_store import (
    InvalidStateError,
    Limits,
    UnsupportedVersionError,
    fresh_state,
    validate,
)
from store_under_test.metrics_store.state import MAX_DEPTH, MAX_INTEGER
from tests.unit.metrics_store.helpers import agent, event, raw_state, session, state_of


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth - 1):
        value = {"x": value}
    return value


def without(record: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != field}


def with_details(value: Any) -> dict[str, Any]:
    return raw_state(events=[{**event(0), "details": value}])


INVALID: list[tuple[Any, str]] = [
    (None, "state is of type NoneType"),
    ([], "state is of type list"),
    (without(raw_state(), "events"), "events is missing"),
    (without(raw_state(), "version"), "version is missing"),
    (raw_state(colour=1), "colour is not a field"),
    (raw_state(version=0), "version is 0"),
    (raw_state(version=True), "version is True"),
    (raw_state(version="1"), "version is '1'"),
    ({**raw_state(), "project": None}, "project is of type NoneType"),
    (raw_state(project="\ud800"), "project holds a lone surrogate"),
    (raw_state(created_at="yesterday"), "created_at is no ISO 8601"),
    (raw_state(updated_at=0.0), "updated_at is of type float"),
    (raw_state(agents=[]), "agents is of type list"),
    (raw_state(agents={1: agent()}), "agents has a key 1 that"),
    (raw_state(agents={"a": []}), "agents.a is of type list"),
    (raw_state(agents={"a": {**agent(), "tasks_completed": -1}}), "agents.a.tasks_completed is out of range"),
    (raw_state(agents={"a": {**agent(), "tasks_completed": True}}), "a.tasks_completed is of type bool"),
    (raw_state(agents={"a": {**agent(), "metadata": []}}), "agents.a.metadata is of type list"),
    (raw_state(events={}), "events is of type dict"),
    (raw_state(events=(event(0),)), "events is of type tuple"),
    (raw_state(events=[event(0), without(event(1), "agent")]), "events[1].agent is missing"),
    (raw_state(events=[{**event(0), "more": 1}]), "events[0].more is not a field"),
    (raw_state(sessions=[{**session(0), "ended_at": "x"}]), "sessions[0].ended_at is no ISO 8601"),
    (raw_state(sessions=[{**session(0), "events": 1.0}]), "sessions[0].events is of type float"),
    (with_details({"x": float("nan")}), "events[0].details.x is nan"),
    (with_details({"x": [0, float("-inf")]}), "events[0].details.x[1] is -inf"),
    (with_details({"x": 2**63}), "events[0].details.x is out of range"),
    (with_details({"x": (1,)}), "events[0].details.x is of type tuple"),
    (with_details({"x": {2: 1}}), "events[0].details.x has a key 2"),
    (with_details({"x": "\udfff"}), "events[0].details.x holds a lone surrogate"),
    (with_details(nested(MAX_DEPTH + 1)), f"x is nested deeper than {MAX_DEPTH}"),
]


@pytest.mark.parametrize(("state", "message"), INVALID, ids=[message for _, message in INVALID])
def test_an_invalid_state_is_refused_naming_the_field(state: Any, message: str) -> None:
    """The path of the field, then what is wrong with it."""
    with pytest.raises(InvalidStateError) as caught:
        validate(state)
    assert message in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_full_valid_state_is_accepted() -> None:
    """All kinds of JSON values, at the limits of range and depth."""
    details = {"a": [None, True, -MAX_INTEGER, 0.5, "é", {"": []}], "b": nested(MAX_DEPTH - 1)}
    state = raw_state(
        agents={"": agent(), "a/b": agent(MAX_INTEGER)},
        events=[{**event(0), "details": details}],
        sessions=[session(0), {**session(1), "ended_at": "2024-01-01T00:00:00Z"}],
    )
    assert validate(state) is state


def test_a_newer_version_is_no_invalid_state() -> None:
    """It is told apart, so that nobody takes it for damage."""
    with pytest.raises(UnsupportedVersionError, match="version 2 is newer than 1"):
        validate(raw_state(version=2, unheard_of=1))


def test_a_fresh_state_is_valid() -> None:
    """It is empty and bears the time given."""
    state = fresh_state("p", datetime(2024, 1, 1, tzinfo=UTC))
    assert validate(state)["created_at"] == "2024-01-01T00:00:00+00:00"


def test_limits_keep_the_newest_by_insertion() -> None:
    """Time stamps do not matter, and the argument stays as it is."""
    events = [{**event(number), "timestamp": f"20{30 - number}-01-01T00:00:00"} for number in range(4)]
    state = state_of(events=events, sessions=[session(number) for number in range(3)])
    kept = Limits(events=2, sessions=1).apply(state)
    assert [item["id"] for item in kept["events"]] == ["2", "3"]
    assert [item["id"] for item in kept["sessions"]] == ["2"]
    assert len(state["events"]) == 4


@pytest.mark.parametrize("limits", [{"events": 0}, {"sessions": -1}])
def test_limits_below_one_are_refused(limits: dict[str, int]) -> None:
    """Zero would mean all of them to a slice."""
    with pytest.raises(ValueError, match="must be at least 1"):
        Limits(**limits)
