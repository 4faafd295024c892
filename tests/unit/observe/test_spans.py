"""Spans that nobody listens to, and steps."""

from __future__ import annotations

from harness.observe.spans import NO_SPAN, Apart, Steps, variables
from tests.unit.observe.noted import Noted


def test_a_step_ends_where_the_next_begins() -> None:
    """The last one ends when it is told to; the whole is left to its owner."""
    run = Noted()
    steps = Steps(run)
    steps.begin("a")
    steps.begin("b")
    assert [(part.name, part.ends) for part in run.parts] == [("a", [""]), ("b", [])]
    assert steps.current is run.parts[1]

    steps.end()
    steps.end()

    assert run.parts[1].ends == [""] and run.ends == []
    assert steps.current is steps.whole


def test_where_nobody_listens_every_part_is_the_same_nothing() -> None:
    """It carries nothing into other processes, and says nothing."""
    steps = Steps()
    steps.begin("a")
    steps.current.event("x")
    steps.current.end(error="wrong")

    assert steps.current is steps.whole is NO_SPAN
    assert NO_SPAN.child("x") is NO_SPAN
    assert variables(NO_SPAN) == {}


def test_a_span_is_carried_by_one_variable() -> None:
    """The one that OpenTelemetry reads."""
    span = Noted()
    assert variables(span) == {"TRACEPARENT": span.traceparent}


def test_a_measured_process_takes_part_in_no_span() -> None:
    """What is told of it is told all the same, also of its parts."""
    run = Noted()
    apart = Apart(run)
    part = apart.child("part", {"a": 1})
    part.event("seen")
    part.end({"b": 2}, error="wrong")

    assert variables(apart) == variables(part) == {}
    [seen] = run.parts
    assert (seen.name, seen.attributes, seen.events, seen.ends) == ("part", {"a": 1, "b": 2}, ["seen"], ["wrong"])


def test_the_last_step_ends_with_its_block() -> None:
    run = Noted()
    with Steps(run) as steps:
        steps.begin("a")
    assert run.parts[0].ends == [""] and run.ends == []
