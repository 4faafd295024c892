"""Spans that nobody listens to, and steps."""

from __future__ import annotations

from harness.observe.spans import NO_SPAN, Attributes, Steps, variables


class Noted:
    """A span that writes down what becomes of it and of its parts."""

    traceparent = "00-aa-bb-01"

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log
        log.append(f"begin {name}")

    def child(self, name: str, attributes: Attributes | None = None) -> Noted:
        return Noted(f"{self.name}/{name}", self.log)

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        self.log.append(f"event {name}")

    def end(self, attributes: Attributes | None = None, *, error: str = "") -> None:
        self.log.append(f"end {self.name}")


def test_a_step_ends_where_the_next_begins() -> None:
    """The last one ends when it is told to; the whole is left to its owner."""
    log: list[str] = []
    steps = Steps(Noted("run", log))
    steps.begin("a")
    steps.begin("b")
    assert steps.current.traceparent and log == ["begin run", "begin run/a", "end run/a", "begin run/b"]

    steps.end()
    steps.end()

    assert log[4:] == ["end run/b"]
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
    assert variables(Noted("run", [])) == {"TRACEPARENT": "00-aa-bb-01"}
