"""What the reference stores make of OpenTelemetry, and that they need none."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from store_under_test import tracing
from store_under_test.circuit_breaker import CircuitBreaker, CircuitOpenError, Consecutive, Settings
from store_under_test.event_store import EventStore, InvalidEventError, NewEvent, WrongVersionError
from store_under_test.event_store.aio import AsyncEventStore
from store_under_test.metrics_store import InvalidStateError, MetricsStore
from store_under_test.prometheus import BreakerCollector, LogCollector, MetricsStoreCollector
from store_under_test.structured_log import EventType, LogContext, StructuredLogger, read_log

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{SPAN}-01"
OTHER = f"00-{TRACE[::-1]}-{SPAN[::-1]}-00"


@pytest.fixture(autouse=True)
def nobody_elses_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACEPARENT", raising=False)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What a provider gets that the program has set."""
    kept, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return kept


@contextmanager
def active() -> Iterator[None]:
    """The caller has a span."""
    context = trace.SpanContext(int(TRACE, 16), int(SPAN, 16), True, trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        yield


def event(**more: Any) -> NewEvent:
    return NewEvent("told", "it", **more)


def parent(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


# --- the helper --------------------------------------------------------------------------------


def test_the_active_span_is_told_as_a_header() -> None:
    """And nothing where there is none."""
    assert tracing.active() is None
    with active():
        assert tracing.active() == HEADER
    assert tracing.active() is None


def test_where_nobody_uses_opentelemetry_there_is_no_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor while it is being imported; and it is not imported for that."""
    for module in (None, type(sys)("opentelemetry.trace")):
        with active():
            monkeypatch.setitem(sys.modules, "opentelemetry.trace", module)
            assert tracing.active() is None
            with tracing.span("x", number=1) as found:
                assert found is None
            monkeypatch.undo()


def test_no_store_imports_it() -> None:
    """All of them, used, in a fresh process that could."""
    code = (
        "import sys, store_under_test.event_store.aio, store_under_test.metrics_store, store_under_test.structured_log,"
        " store_under_test.circuit_breaker, store_under_test.tracing as tracing;"
        "tracing.active(); sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


# --- the event store ---------------------------------------------------------------------------


def test_an_event_tells_the_span_that_it_came_of(tmp_path: Path) -> None:
    """Durably; what the caller has set himself stays."""
    mine = event(metadata={"traceparent": OTHER, "a": 1})
    with EventStore.open(tmp_path / "events") as store:
        store.append(event())
        with active():
            store.append_batch([event(metadata={"a": 1}), mine])
    with EventStore.open(tmp_path / "events") as store:
        found = [item.metadata for item in store.read()]

    assert found == [{}, {"a": 1, "traceparent": HEADER}, {"traceparent": OTHER, "a": 1}]


def test_metadata_that_are_none_are_refused_as_ever(tmp_path: Path) -> None:
    """With the same error."""
    wrong: Any = "text"
    with EventStore.open(tmp_path / "events") as store, active(), pytest.raises(InvalidEventError, match="metadata"):
        store.append(event(metadata=wrong))


def test_tasks_carry_their_own_spans(tmp_path: Path) -> None:
    """Also where one thread writes for all."""

    async def main() -> list[dict[str, Any]]:
        async with await AsyncEventStore.open(tmp_path / "events") as store:
            with active():
                first = asyncio.create_task(store.append(event()))
            await asyncio.gather(first, store.append(event()))
            return [item.metadata for item in await store.read()]

    assert sorted(map(json.dumps, asyncio.run(main()))) == [json.dumps({"traceparent": HEADER}), "{}"]


def test_appends_and_queries_are_spans(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    """Children of the caller's; one that raises has failed, and keeps no lines of source."""
    with EventStore.open(tmp_path / "events") as store, active():
        store.append_batch([event(), event()])
        store.query(aggregate="it")
        with pytest.raises(WrongVersionError):
            store.append(event(), expected_version=7)

    found = spans.get_finished_spans()
    assert [span.name for span in found] == ["event_store.append", "event_store.query", "event_store.append"]
    assert [parent(span) for span in found] == [SPAN] * 3
    assert [span.status.is_ok for span in found] == [True, True, False]
    assert dict(found[0].attributes or {}) == {"events": 2} and not found[2].events


# --- the metrics store -------------------------------------------------------------------------


def test_loads_saves_and_recoveries_are_counted(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    """What raised is none; Prometheus is told the same, without a file being read."""
    path = tmp_path / "dashboard.json"
    with MetricsStore(path) as store:
        state = store.load()
        store.save(state)
        store.save(state)
        store.update(lambda state: None)
        with pytest.raises(InvalidStateError):
            store.save({**state, "project": 7})  # type: ignore[typeddict-item]
        path.write_text("damaged")
        store.load()
        counts, stats = store.counts(), store.get_stats()
        path.unlink()
        told = scraped(MetricsStoreCollector(board=store))

    assert (counts.loads, counts.saves, counts.recoveries, stats.recoveries) == (2, 3, 1, 1)
    assert (told["metrics_store_loads_total", "board"], told["metrics_store_saves_total", "board"]) == (2, 3)
    assert told["metrics_store_recoveries_total", "board"] == 1
    assert told["metrics_store_lock_timeouts_total", "board"] == 0
    names = [span.name.removeprefix("metrics_store.") for span in spans.get_finished_spans()]
    assert names == ["load", "save", "save", "update", "load"]


# --- the log -----------------------------------------------------------------------------------


def records(path: Path) -> list[dict[str, Any]]:
    return list(read_log(path).records)


def test_a_record_tells_the_span_that_is_around_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `LogContext` names comes first, then the active span, then what the process was started with."""
    log = StructuredLogger(tmp_path / "log")
    log.log_event(EventType.RECORD)
    monkeypatch.setenv("TRACEPARENT", OTHER)
    log.log_event(EventType.RECORD)
    with active():
        log.log_event(EventType.RECORD)
        with LogContext(OTHER):
            log.log_event(EventType.RECORD)
    log.close()

    found = records(tmp_path / "log")
    assert [record.get("traceparent") for record in found] == [None, OTHER, HEADER, OTHER]
    assert "trace_id" not in found[0]
    assert (found[2]["trace_id"], found[2]["span_id"], found[2]["sampled"]) == (TRACE, SPAN, True)


@pytest.mark.parametrize("variable", ["", "x", f"00-{'0' * 32}-{SPAN}-01", "\udcff"])
def test_a_variable_that_is_no_header_is_ignored(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is written all the same."""
    monkeypatch.setenv("TRACEPARENT", variable)
    log = StructuredLogger(tmp_path / "log")
    assert log.log_event(EventType.RECORD)
    log.close()

    assert "traceparent" not in records(tmp_path / "log")[0]


def test_a_process_goes_on_with_the_trace_that_it_was_started_with(tmp_path: Path) -> None:
    """Without any other word between the two."""
    code = (
        "import sys; from store_under_test.structured_log import EventType, StructuredLogger;"
        "StructuredLogger(sys.argv[1]).log_event(EventType.RECORD)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "log")]
    subprocess.run(command, cwd=Path(__file__).parents[2], env={**os.environ, "TRACEPARENT": HEADER}, check=True)

    assert records(tmp_path / "log")[0]["traceparent"] == HEADER


# --- Prometheus --------------------------------------------------------------------------------


def scraped(collector: Any) -> dict[tuple[str, ...], float]:
    """Values by the name of the sample and its labels, in the order of their names."""
    registry = CollectorRegistry()
    registry.register(collector)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    samples = [sample for family in families for sample in family.samples]
    return {(item.name, *(value for _, value in sorted(item.labels.items()))): item.value for item in samples}


def test_a_breaker_tells_prometheus_what_it_counted() -> None:
    """Transitions by where they led, calls by how they ended."""
    now = [0.0]
    rules = Settings(trips=Consecutive(2), recovery_timeout_s=10)
    breaker = CircuitBreaker(rules, name="prices", clock=lambda: now[0])

    def call(works: bool) -> None:
        with pytest.raises((ZeroDivisionError, CircuitOpenError)) if not works else active():
            breaker.call(lambda: 1 / works)

    for works in (True, False, False, False):
        call(works)
    now[0] = 10.0
    call(True)

    told = scraped(BreakerCollector(breaker, CircuitBreaker(name="idle")))
    calls, entered = "circuit_breaker_calls_total", "circuit_breaker_entered_total"
    assert [told[calls, "prices", end] for end in ("success", "failure", "rejected", "ignored")] == [2, 2, 1, 0]
    assert [told[entered, "prices", state] for state in ("open", "half-open", "closed")] == [1, 1, 1]
    assert told["circuit_breaker_recoveries_total", "prices"] == 1
    assert [told["circuit_breaker_state", "prices", state] for state in ("closed", "open")] == [1, 0]
    assert told["circuit_breaker_in_flight", "prices"] == told[calls, "idle", "success"] == 0
    assert sum(breaker.metrics().entered.values()) == breaker.metrics().transition_count == 3


def test_a_log_tells_where_its_records_went(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After closing they go to stderr."""
    log = StructuredLogger(tmp_path / "log")
    log.log_event(EventType.RECORD)
    log.close()
    log.log_event(EventType.RECORD)

    told = scraped(LogCollector(audit=log))
    places = {place: told["structured_log_records_total", "audit", place] for place in ("file", "stderr", "nowhere")}
    assert places == {"file": 1, "stderr": 1, "nowhere": 0}
    assert capsys.readouterr().err.count("\n") == 1
