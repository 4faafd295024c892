"""The trace that a call belongs to: what the stores of this package know of OpenTelemetry (extra `observe`).

Nothing is imported for it. A caller with an active span has imported `opentelemetry.trace`; where nobody has, there is
no span, and looking costs one look-up in `sys.modules`. Spans of the stores are made by whatever provider the program
has set, and sent by it; no call here reads or writes a file.

A context is told as a `traceparent`, the header of the W3C (www.w3.org/TR/trace-context).
"""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

#: OpenTelemetry, Environment Variables as Context Propagation Carriers.
VARIABLE = "TRACEPARENT"

_API = "opentelemetry.trace"
_NOTHING: AbstractContextManager[None] = nullcontext()


def active() -> str | None:
    """The `traceparent` of the caller's active span; `None` if there is none."""
    get_span = getattr(sys.modules.get(_API), "get_current_span", None)  # None while it is being imported, too
    context = get_span().get_span_context() if get_span else None
    if context is None or not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags) & 0xFF:02x}"


def inherited() -> str | None:
    """The `traceparent` that this process was started with, as it stands in the environment."""
    return os.environ.get(VARIABLE)


def span(name: str, **attributes: str | int) -> AbstractContextManager[Any]:
    """A block that is a span, a child of the active one, and that fails with what it raises.

    The exception itself is not recorded: to show its lines Python would read source files in the middle of a call.
    """
    tracer = getattr(sys.modules.get(_API), "get_tracer", None)
    if tracer is None:
        return _NOTHING
    found: AbstractContextManager[Any] = tracer("store_under_test").start_as_current_span(
        name, attributes=attributes, record_exception=False
    )
    return found
