"""A whole run with real workers, a real exporter and a real file: what is told is what happened."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from tests.stores.conduct import small_runs, spec
from tests.stores.tiny import TINY
from tests.unit.observe.collector import Collector
from tests.unit.observe.test_metrics import scraped

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
FEW = ("--scenario", "process-crash", "--scenario", "kills", "--profile", TINY.name, "--jobs", "2")
#: A broken store that writes down, beside itself, what its process finds in the environment.
STORE = f"""
import os
from pathlib import Path
import sys
sys.path[:0] = [{str(Path(__file__).parents[3])!r}]
from tests.stores.honest import InPlace

def look():
    with open(Path(__file__).with_name("seen"), "a") as file:
        file.write(os.environ.get("TRACEPARENT", "none") + chr(10))

class Looks(InPlace):
    name = "looks"
    def open(self, directory):
        look()
        return super().open(directory)
"""


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small_runs(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "looking.py").write_text(STORE)


def certify(*arguments: str) -> tuple[int, dict[str, Any]]:
    status = cli.main(["certify", "looking.py:Looks", *FEW, "--json", "c.json", *arguments])
    return status, json.loads(Path("c.json").read_text())


def seen() -> set[str]:
    found = set(Path("seen").read_text().split())
    Path("seen").unlink()
    return found


def test_what_is_told_is_what_happened(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is observed finds the same as one that is not; spans and numbers add up to its certificate; the trace
    of whoever started it goes on in every process that a store runs in."""
    status, alone = certify()
    assert seen() == {"none"}
    monkeypatch.setenv("TRACEPARENT", f"00-{TRACE}-{SPAN}-01")

    observed, certificate = certify("--otlp", collector.url, "--metrics", "m.prom")

    assert (observed, certificate["digest"]) == (status, alone["digest"]) == (1, alone["digest"])
    _require_tree(collector)
    _require_events(collector, certificate)
    _require_numbers(certificate)
    carried = {f"00-{TRACE}-{span.id}-01" for span in [*collector.tasks(), collector.one("certification")]}
    assert seen() <= carried


def _require_tree(collector: Collector) -> None:
    """Command, certification, phases, tasks: each within what it is a part of."""
    spans = {span.id: span for span in collector.spans()}
    root, certification = collector.one("harness certify"), collector.one("certification")
    assert {span.trace for span in spans.values()} == {TRACE}
    assert (root.parent, certification.parent) == (SPAN, root.id)
    phases = {span.id for span in spans.values() if span.parent == certification.id}
    assert {"recording", "trying crash states", "trying live faults"} <= {spans[phase].name for phase in phases}
    assert collector.tasks() and {span.parent for span in collector.tasks()} <= phases
    for span in [*collector.tasks(), certification]:
        around = spans[span.parent]
        assert around.start_ns <= span.start_ns <= span.end_ns <= around.end_ns


def _require_events(collector: Collector, certificate: dict[str, Any]) -> None:
    """Scenarios and findings, one event each; tasks tell of as many live faults as the evidence."""
    events = collector.one("certification").events
    found = [event["harness.finding"] for name, event in events if name == "finding"]
    assert found == [finding["id"] for finding in certificate["findings"]] != []
    tried = [event for name, event in events if name == "scenario"]
    assert [(event["harness.scenario"], event["harness.states_judged"]) for event in tried] == [
        (row["scenario"], row["states_judged"]) for row in certificate["evidence"]
    ]
    phase = collector.one("trying live faults")
    fired = [span.attributes["harness.fired"] for span in collector.tasks() if span.parent == phase.id]
    live = [row["faults_fired"] for row in certificate["evidence"] if not row["persistence_model"]]
    assert sum(fired) == sum(live) > 0


def _require_numbers(certificate: dict[str, Any]) -> None:
    """The file says what the certificate says."""
    found, fired, judged = scraped(Path("m.prom")), Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for row in certificate["evidence"]:
        fired[row["scenario"], "looks"] += row["faults_fired"]
        judged[row["scenario"], "looks"] += row["states_judged"]
    assert found["harness_faults_fired_total"] == dict(fired)
    assert found["harness_states_judged_total"] == dict(judged)
    kinds = Counter((item["claim"], item["kind"], "looks") for item in certificate["findings"])
    assert found["harness_findings_total"] == dict(kinds)
    assert found["harness_verdict"]["looks", "fail"] == found["harness_exit_status"][()] == 1


def test_a_run_that_nobody_observes_imports_nothing_for_it() -> None:
    """Neither OpenTelemetry nor Prometheus, in the harness or in a store that would use them."""
    code = (
        "import sys; from tests.stores.tiny import TINY; from harness.run.options import PROFILES;"
        "from harness import cli;"
        "import store_under_test.metrics_store, store_under_test.structured_log, store_under_test.circuit_breaker;"
        f"PROFILES[TINY.name] = TINY; status = cli.main(['certify', {spec('Sound', 'honest.py')!r}, *{FEW[2:]!r}]);"
        "found = {name.partition('.')[0] for name in sys.modules} & {'opentelemetry', 'prometheus_client'};"
        "sys.exit(f'{status} {found}')"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(root)!r}]; {code}"], capture_output=True, text=True
    )

    assert done.stderr.strip() == "0 set()", done.stdout
