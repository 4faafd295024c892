"""Fields that all records of a block carry: `with LogContext(user=7): ...`, also around `await`.

They live in one context variable (PEP 567), as a chain of frames that are never changed: a new thread starts without
any, a task with those of the task that made it, and neither sees what another adds. A block leaves the chain by
taking out its own frame, so it unwinds on every exception, and leaves alone what others have added if blocks end out
of turn. A generator shares the context of whoever iterates it: a block that is open at a `yield` is open for its
caller as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from store_under_test.structured_log.trace import TraceContext, parse_traceparent
from store_under_test.tracing import active, inherited


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    owner: object
    fields: Mapping[str, object]
    trace: TraceContext | None
    outer: _Frame | None


_innermost: ContextVar[_Frame | None] = ContextVar("store_under_test.structured_log", default=None)


class LogContext:
    """A block whose records carry `fields`, the innermost of the same name winning, and the trace.

    `trace` is a `TraceContext` or the value of a `traceparent` header; one that cannot be read starts a new trace.
    One object may be used again, also inside itself, and by several tasks and threads.
    """

    def __init__(self, trace: TraceContext | str | None = None, /, **fields: object) -> None:
        if trace is not None and not isinstance(trace, TraceContext):
            trace = parse_traceparent(trace) or TraceContext.started()
        self._trace = trace
        self._fields = fields

    def __enter__(self) -> LogContext:
        _innermost.set(_Frame(self, self._fields, self._trace, _innermost.get()))
        return self

    def __exit__(self, *error: object) -> None:
        _innermost.set(_without(_innermost.get(), self))


def current_fields() -> dict[str, Any]:
    """The fields of all blocks around here."""
    found: dict[str, Any] = {}
    for frame in reversed(list(_frames())):
        found.update(frame.fields)
    return found


def current_trace() -> TraceContext | None:
    """The trace of the innermost block that has one; else that of OpenTelemetry's active span; else the one that the
    process was started with, in the variable TRACEPARENT."""
    named = next((frame.trace for frame in _frames() if frame.trace is not None), None)
    return named or _parsed(active()) or _parsed(inherited())


#: The same few again and again: a program has one of each at a time.
_parsed = lru_cache(maxsize=64)(parse_traceparent)


def _frames() -> Iterator[_Frame]:
    frame = _innermost.get()
    while frame is not None:
        yield frame
        frame = frame.outer


def _without(frame: _Frame | None, owner: object) -> _Frame | None:
    """The chain without the innermost frame of `owner`."""
    if frame is None:
        return None
    return frame.outer if frame.owner is owner else replace(frame, outer=_without(frame.outer, owner))
