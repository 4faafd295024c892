"""Spans that nobody listens to, and steps."""

from __future__ import annotations

from harness.observe.spans import NO_SPAN, Steps, variables
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
