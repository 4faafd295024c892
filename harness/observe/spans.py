"""Spans as the rooms of the harness see them, and the ones that nobody listens to.

A span is a piece of work with a name, a beginning, an end, attributes and events (OpenTelemetry, Tracing API). Its
`traceparent` (W3C Trace Context, www.w3.org/TR/trace-context) is what another process needs to be a part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

#: The variable that carries a context into a process (OpenTelemetry, Environment Variables as Context Propagation
#: Carriers).
VARIABLE = "TRACEPARENT"

Attributes = Mapping[str, str | int | float | bool]
_NONE: Attributes = {}


class Span(Protocol):
    """One piece of work, from when it was made to `end`; what comes after that is not told."""

    @property
    def traceparent(self) -> str:
        """The header for processes that take part; empty where nothing is traced."""

    def child(self, name: str, attributes: Attributes = _NONE) -> Span:
        """A part of this work, which begins now."""

    def event(self, name: str, attributes: Attributes = _NONE) -> None:
        """Something that happens now."""

    def end(self, attributes: Attributes = _NONE, *, error: str = "") -> None:
        """The work ends now; with `error`, in one sentence, it failed. Later ends count for nothing."""


class NoSpan:
    """Nobody listens. All of its parts are itself."""

    traceparent = ""

    def child(self, name: str, attributes: Attributes = _NONE) -> NoSpan:
        return self

    def event(self, name: str, attributes: Attributes = _NONE) -> None:
        return None

    def end(self, attributes: Attributes = _NONE, *, error: str = "") -> None:
        return None


NO_SPAN = NoSpan()


class Apart:
    """A span in which no other process takes part: what is done in one that is measured, seen from outside."""

    traceparent = ""

    def __init__(self, seen: Span) -> None:
        self._seen = seen

    def child(self, name: str, attributes: Attributes = _NONE) -> Span:
        return Apart(self._seen.child(name, attributes))

    def event(self, name: str, attributes: Attributes = _NONE) -> None:
        self._seen.event(name, attributes)

    def end(self, attributes: Attributes = _NONE, *, error: str = "") -> None:
        self._seen.end(attributes, error=error)


class Steps:
    """Parts of a piece of work that come one after another: `current` is the last that was begun, or the whole. A
    context manager, at whose end the last step ends."""

    def __init__(self, whole: Span = NO_SPAN) -> None:
        self.whole = whole
        self.current = whole

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *details: object) -> None:
        self.end()

    def begin(self, name: str) -> None:
        """The next step; the one before ends."""
        self.end()
        self.current = self.whole.child(name)

    def end(self) -> None:
        """The last step ends; the whole does not."""
        if self.current is not self.whole:
            self.current.end()
            self.current = self.whole


def variables(span: Span) -> dict[str, str]:
    """The environment of processes that take part in `span`."""
    return {VARIABLE: span.traceparent} if span.traceparent else {}
