"""A collector of OpenTelemetry on loopback: it takes OTLP over HTTP, and keeps the spans that came."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent


@dataclass(slots=True)
class Seen:
    """A span as it arrived; identifiers in hexadecimal, times in nanoseconds."""

    name: str
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    error: str
    failed: bool
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]


@dataclass(slots=True)
class Collector:
    """What arrived. It answers with `status`; a `silent` one takes the request and never answers."""

    url: str = ""
    status: int = 200
    silent: bool = False
    paths: list[str] = field(default_factory=list)
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def resource(self) -> dict[str, Any]:
        return _values(self.requests[0].resource_spans[0].resource.attributes)

    def spans(self) -> list[Seen]:
        return [
            _seen(span)
            for request in self.requests
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> list[Seen]:
        return [span for span in self.spans() if span.name == name]

    def one(self, name: str) -> Seen:
        [found] = self.named(name)
        return found

    def tasks(self) -> list[Seen]:
        return [span for span in self.spans() if span.name.startswith("task ")]


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    kind = pair.value.WhichOneof("value")
    assert kind is not None
    return getattr(pair.value, kind)


def _seen(span: Sent) -> Seen:
    ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
    events = [(event.name, _values(event.attributes)) for event in span.events]
    times = (span.start_time_unix_nano, span.end_time_unix_nano)
    failed = span.status.code == span.status.STATUS_CODE_ERROR
    return Seen(span.name, *ids, *times, span.status.message, failed, _values(span.attributes), events)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for them
    collector: Collector


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        collector = self.server.collector
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if collector.silent:
            collector.over.wait()
            return
        collector.paths.append(self.path)
        collector.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(collector.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing."""


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector for the length of a block."""
    server = _Server(("127.0.0.1", 0), _Handler)
    collector = server.collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield collector
    finally:
        collector.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def nobody_listens() -> str:
    """An address on which no one answers."""
    with collecting() as collector:
        return collector.url
