"""Spans that are kept in memory, and sent by OTLP over HTTP when the run is over.

Nothing is sent before: no thread runs and no socket is open while stores are tried and times are measured. What is
sent takes at most `LIMIT_S`, whatever the collector does, and failure is told and changes nothing else.

Imported only when spans are asked for, because the packages of OpenTelemetry take half a second.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from harness.observe.spans import VARIABLE, Attributes

LIMIT_S = 5.0
#: Of more spans the oldest are given up, a few KiB each; of more events of one span, too.
MOST_SPANS = 50_000
MOST_EVENTS = 10_000
_BATCH = 512
_LONGEST_REASON = 240
_ERRNO = re.compile(r"\[Errno -?\d+\]([^\"')]+)")
_SERVICE = "durability-harness"
_NONE: Attributes = {}
_propagator = TraceContextTextMapPropagator()


class Tracing:
    """The spans of one run. `variables` are the environment: with TRACEPARENT, and TRACESTATE, the run is a part of
    the caller's trace."""

    def __init__(self, variables: Mapping[str, str], version: str) -> None:
        self._kept = _Kept()
        limits = SpanLimits(max_events=MOST_EVENTS)
        provider = TracerProvider(
            resource=_resource(version), id_generator=_Identifiers(), span_limits=limits, shutdown_on_exit=False
        )
        provider.add_span_processor(self._kept)
        self._tracer = provider.get_tracer("harness", version)
        carried = {name.lower(): variables[name] for name in (VARIABLE, "TRACESTATE") if name in variables}
        self._around = _propagator.extract(carried, Context())

    def root(self, name: str, attributes: Attributes = _NONE) -> RecordedSpan:
        """The span of the whole run."""
        return RecordedSpan(self._tracer, name, self._around, attributes)

    def send(self, endpoint: str) -> str:
        """Send all spans that have ended to `endpoint`; empty, or why they did not get there, in a few words."""
        spans, told = tuple(self._kept.spans), list[str]()
        if not spans:  # whoever asked for this run did not want it sampled
            return ""
        outcome: list[str] = []
        sender = threading.Thread(target=_send, args=(endpoint, spans, told, outcome), daemon=True, name="otlp")
        try:
            with _logs(told):
                sender.start()
                sender.join(LIMIT_S + 1)
        except RuntimeError as error:  # the system gives no more threads
            return str(error)
        if not outcome:
            return f"no answer within {LIMIT_S:g} s"
        return outcome[0][:_LONGEST_REASON]


class RecordedSpan:
    """A span of OpenTelemetry, with the context that its parts need."""

    def __init__(self, tracer: Tracer, name: str, around: Context, attributes: Attributes) -> None:
        self._tracer = tracer
        self._span: OtelSpan = tracer.start_span(_encodable(name), around, attributes=_plain(attributes))
        self._context = set_span_in_context(self._span, around)
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, self._context)
        self.traceparent = carrier.get(VARIABLE.lower(), "")

    def child(self, name: str, attributes: Attributes = _NONE) -> RecordedSpan:
        return RecordedSpan(self._tracer, name, self._context, attributes)

    def event(self, name: str, attributes: Attributes = _NONE) -> None:
        self._span.add_event(name, _plain(attributes))

    def end(self, attributes: Attributes = _NONE, *, error: str = "") -> None:
        if not self._span.is_recording():
            return
        self._span.set_attributes(_plain(attributes))
        if error:
            self._span.set_status(Status(StatusCode.ERROR, _encodable(error)))
        self._span.end()


class _Kept(SpanProcessor):
    """Those that have ended, and that whoever began the trace wants to have."""

    def __init__(self) -> None:
        self.spans: deque[ReadableSpan] = deque(maxlen=MOST_SPANS)

    def on_end(self, span: ReadableSpan) -> None:
        if span.context.trace_flags.sampled:
            self.spans.append(span)


class _Identifiers(IdGenerator):
    """From the system, and not from `random`: a store may seed that when it is imported, and must not find it moved."""

    def generate_span_id(self) -> int:
        return _number(8)

    def generate_trace_id(self) -> int:
        return _number(16)


def _number(size: int) -> int:
    """Never zero, which is invalid."""
    return next(filter(None, (int.from_bytes(os.urandom(size)) for _ in itertools.count())))


def _resource(version: str) -> Resource:
    """What the standard variables say (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES), and our name if they do not."""
    found = Resource.create()
    if str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        found = found.merge(Resource({SERVICE_NAME: _SERVICE}))
    return found.merge(Resource({"service.version": version}))


def _plain(attributes: Attributes) -> dict[str, Any]:
    return {name: _encodable(value) if isinstance(value, str) else value for name, value in attributes.items()}


def _encodable(text: str) -> str:
    """What protobuf takes: a lone surrogate, as in names of files, becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


# --- sending ---------------------------------------------------------------------------------


def _send(endpoint: str, spans: Sequence[ReadableSpan], told: list[str], outcome: list[str]) -> None:
    """In a thread of its own: not every wait of a network client has a limit."""
    try:
        outcome.append(_sent(endpoint, spans, told))
    except Exception as error:  # what the standard variables say can't be used: a certificate, a header
        outcome.append(f"{type(error).__name__}: {error}")


def _sent(endpoint: str, spans: Sequence[ReadableSpan], told: list[str]) -> str:
    exporter = OTLPSpanExporter(endpoint, timeout=LIMIT_S)
    try:
        for start in range(0, len(spans), _BATCH):
            if exporter.export(spans[start : start + _BATCH]) is not SpanExportResult.SUCCESS:
                return _gist(told)
    finally:
        exporter.shutdown()  # type: ignore[no-untyped-call]
    return ""


def _gist(told: Sequence[str]) -> str:
    """What the system said, if that was logged, wrapped in the layers of a network client; else the first message."""
    found = next(filter(None, map(_ERRNO.search, told)), None)
    return found[1].strip() if found else next(iter(told), "the exporter does not say why")


class _Told(logging.Handler):
    def __init__(self, told: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        self._told.append(" ".join(record.getMessage().split()))


@contextlib.contextmanager
def _logs(told: list[str]) -> Iterator[None]:
    """What OpenTelemetry logs goes to `told` and nowhere else."""
    logger, handler = logging.getLogger("opentelemetry"), _Told(told)
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before
