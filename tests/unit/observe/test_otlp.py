"""Spans as a collector gets them, from a real exporter over loopback."""

from __future__ import annotations

import random
import threading

import pytest

from harness.observe import otlp
from harness.observe.otlp import Tracing
from tests.unit.observe.collector import Collector, nobody_listens

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def sent(tracing: Tracing, collector: Collector) -> str:
    return tracing.send(f"{collector.url}/v1/traces")


def test_spans_arrive_with_parents_attributes_and_events(collector: Collector) -> None:
    """As they were made; one that was never ended does not."""
    tracing = Tracing({}, "1.2.3")
    root = tracing.root("run", {"seed": 7})
    child = root.child("part", {"name": "x", "ok": True, "share": 0.5})
    child.event("finding", {"kind": "lost"})
    child.end({"more": 1}, error="it broke")
    child.end({"more": 2})
    root.child("endless")
    root.end()

    assert sent(tracing, collector) == ""

    assert sorted(span.name for span in collector.spans()) == ["part", "run"]
    run, part = collector.one("run"), collector.one("part")
    assert (run.parent, part.parent, part.trace) == ("", run.id, run.trace)
    assert run.start_ns <= part.start_ns <= part.end_ns <= run.end_ns
    assert part.attributes == {"name": "x", "ok": True, "share": 0.5, "more": 1}
    assert part.events == [("finding", {"kind": "lost"})]
    assert (part.failed, part.error, run.failed) == (True, "it broke", False)
    assert collector.resource()["service.name"] == "durability-harness"
    assert collector.resource()["service.version"] == "1.2.3"
    assert root.traceparent == f"00-{run.trace}-{run.id}-01"


def test_the_run_is_a_part_of_the_callers_trace(collector: Collector) -> None:
    """Of the one that TRACEPARENT names, as long as it can be read."""
    tracing = Tracing({"TRACEPARENT": f"00-{TRACE}-{SPAN}-01", "TRACESTATE": "a=b"}, "1")
    tracing.root("run").end()
    broken = Tracing({"TRACEPARENT": f"00-{TRACE}-{'0' * 16}-01"}, "1")
    broken.root("other").end()

    assert sent(tracing, collector) == sent(broken, collector) == ""

    assert (collector.one("run").trace, collector.one("run").parent) == (TRACE, SPAN)
    assert collector.one("other").trace != TRACE and collector.one("other").parent == ""


def test_a_trace_that_its_caller_does_not_keep_is_carried_on_and_not_sent(collector: Collector) -> None:
    """Whoever samples decides for all that take part."""
    tracing = Tracing({"TRACEPARENT": f"00-{TRACE}-{SPAN}-00"}, "1")
    root = tracing.root("run")
    root.end()

    assert sent(tracing, collector) == "" and collector.requests == []
    assert root.traceparent.startswith(f"00-{TRACE}-") and root.traceparent.endswith("-00")


def test_many_spans_go_in_several_requests(collector: Collector) -> None:
    """None is lost."""
    tracing = Tracing({}, "1")
    root = tracing.root("run")
    for number in range(1100):
        root.child("part", {"number": number}).end()
    root.end()

    assert sent(tracing, collector) == ""

    assert len(collector.requests) == 3
    assert sorted(span.attributes["number"] for span in collector.named("part")) == list(range(1100))


def test_standard_variables_name_the_service(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours is only a default."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "nightly")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "branch=main")
    tracing = Tracing({}, "1")
    tracing.root("run").end()

    sent(tracing, collector)

    assert (collector.resource()["service.name"], collector.resource()["branch"]) == ("nightly", "main")


def test_text_that_is_no_text_arrives_all_the_same(collector: Collector) -> None:
    """A file name may hold bytes that are no UTF-8."""
    tracing = Tracing({}, "1")
    tracing.root("run\udc80", {"file": "a\udcff"}).end(error="\udc80")

    assert sent(tracing, collector) == ""

    assert collector.one("run\\udc80").attributes == {"file": "a\\udcff"}


def test_the_random_numbers_of_a_store_are_left_alone() -> None:
    """Identifiers are not drawn from the generator that a store seeds, and differ though it is seeded."""
    random.seed(5)
    before = random.getstate()
    first, second = Tracing({}, "1").root("run"), Tracing({}, "1").root("run")

    assert random.getstate() == before
    assert first.traceparent != second.traceparent


def test_whoever_is_not_there_is_told_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The reason is a part of a line; OpenTelemetry itself prints nothing."""
    monkeypatch.setattr(random, "uniform", lambda low, high: 0.0)  # between its tries the exporter does not wait
    tracing = Tracing({}, "1")
    tracing.root("run").end()

    assert tracing.send(nobody_listens()) == "Connection refused"
    assert capsys.readouterr() == ("", "")


def test_a_collector_that_refuses_is_told_of(collector: Collector) -> None:
    """With its status."""
    collector.status = 403
    tracing = Tracing({}, "1")
    tracing.root("run").end()

    assert "403" in sent(tracing, collector)


def test_a_collector_that_never_answers_holds_up_nobody(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit counts for all of it."""
    monkeypatch.setattr(otlp, "LIMIT_S", 0.1)
    collector.silent = True
    tracing = Tracing({}, "1")
    tracing.root("run").end()

    assert sent(tracing, collector) != ""


def test_a_network_client_that_knows_no_limit_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that sends is not waited for, and does not keep the process."""
    collector = Collector()
    monkeypatch.setattr(otlp, "LIMIT_S", -0.9)
    monkeypatch.setattr(otlp, "_sent", lambda *arguments: str(collector.over.wait()))
    tracing = Tracing({}, "1")
    tracing.root("run").end()

    assert "no answer within" in tracing.send("http://localhost")
    collector.over.set()


def test_a_system_without_threads_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """It changes no result either."""

    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    tracing = Tracing({}, "1")
    tracing.root("run").end()
    monkeypatch.setattr(threading.Thread, "start", refused)

    assert tracing.send("http://localhost") == "can't start new thread"


def test_a_variable_that_can_not_be_used_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the exporter raises is a reason like any other."""
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "bogus")
    tracing = Tracing({}, "1")
    tracing.root("run").end()

    assert "bogus" in tracing.send("http://localhost:1")
