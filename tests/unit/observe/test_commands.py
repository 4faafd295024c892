"""`survey`, `endure` and `pace` with `--otlp` and `--metrics`: real runs, a real exporter, a real file."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from pathlib import Path

import pytest

from harness import Contract, cli
from harness.run.pace.values import PaceOptions
from tests.stores.conduct import small_runs, spec
from tests.stores.tiny import TINY
from tests.unit.observe.collector import Collector, Seen, nobody_listens
from tests.unit.observe.test_metrics import scraped
from tests.unit.run.pace.versions import FEW, adapter_in, store_in

#: A sound log that writes down, beside itself, what its process finds in the environment.
LOG = f"""
import os
from pathlib import Path
import sys
sys.path[:0] = [{str(Path(__file__).parents[3])!r}]
from tests.unit.run.enduring_stores import SoundLog

class Looks(SoundLog):
    def open(self, directory):
        with open(Path(__file__).with_name("seen"), "a") as file:
            file.write(os.environ.get("TRACEPARENT", "none") + chr(10))
        return super().open(directory)
"""


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small_runs(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


def observed(collector: Collector, *arguments: str) -> int:
    return cli.main([*arguments, "--otlp", collector.url, "--metrics", "m.prom"])


def parts_of(collector: Collector, whole: Seen) -> list[Seen]:
    """In the order of their beginnings; each lies within the whole, and none overlaps another."""
    found = sorted((span for span in collector.spans() if span.parent == whole.id), key=lambda span: span.start_ns)
    assert all(whole.start_ns <= span.start_ns <= span.end_ns <= whole.end_ns for span in found)
    assert all(one.end_ns <= other.start_ns for one, other in itertools.pairwise(found))
    return found


def told(span: Seen, name: str) -> list[dict[str, object]]:
    return [attributes for event, attributes in span.events if event == name]


def test_a_survey_tells_what_it_tried_and_what_is_kept(
    collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every promise of the contract that is printed; counts add up to those of its scenarios."""
    assert observed(collector, "survey", spec("InPlace", "honest.py"), "--profile", TINY.name, "--jobs", "2") == 0

    root, whole = collector.one("harness survey"), collector.one("survey")
    assert (whole.parent, root.attributes["harness.exit_status"]) == (root.id, 0)
    assert {"recording", "trying crash states", "trying live faults"} <= {s.name for s in parts_of(collector, whole)}
    assert collector.tasks()
    line = str(whole.attributes["harness.contract"])
    assert line in capsys.readouterr().out
    contract = eval(line, {"Contract": Contract})
    promises = {row["harness.claim"]: row for row in told(whole, "promise") if not row["harness.persistence_model"]}
    assert promises["corruption"]["harness.promise"] == "nothing" and contract.corruption is None
    assert str(promises["corruption"]["harness.refuted_by"]).startswith("silent_corruption")
    assert promises["writers"]["harness.promise"] == contract.writers == "one"
    numbers, fired = scraped(Path("m.prom")), Counter[tuple[str, ...]]()
    for row in told(whole, "scenario"):
        fired[str(row["harness.scenario"]), "in-place"] += int(str(row["harness.faults_fired"]))
    assert numbers["harness_faults_fired_total"] == dict(fired) and sum(fired.values()) > 0
    assert numbers["harness_promise_kept"]["writers", "", "one", "in-place"] == 1
    assert len(numbers["harness_promise_kept"]) == len(told(whole, "promise"))
    assert numbers["harness_exit_status"] == {(): 0} and "harness_verdict" not in numbers


def test_an_endurance_run_is_seen_from_outside(collector: Collector) -> None:
    """What is told is its certificate; the store, which is measured, finds nothing of it in its environment."""
    Path("looking.py").write_text(LOG)
    load = ("--duration", "1s", "--rate", "50", "--arrivals", "uniform")
    assert observed(collector, "endure", "looking.py:Looks", *load) == 0

    certificate = json.loads(Path("reports/sound-log-endurance.json").read_text())
    root, whole = collector.one("harness endure"), collector.one("endurance")
    assert (whole.parent, whole.attributes["harness.digest"]) == (root.id, certificate["digest"])
    [load_span] = parts_of(collector, whole)
    assert load_span.name == "keeping it under load" and load_span.attributes["harness.outcome"] == "done"
    [row] = certificate["evidence"]
    assert load_span.attributes["harness.operations"] == row["bounds"]["operations"] > 0
    assert set(Path("seen").read_text().split()) == {"none"}
    numbers = scraped(Path("m.prom"))
    assert numbers["harness_states_judged_total"] == {("endurance", "sound-log"): row["states_judged"]}
    assert numbers["harness_verdict"]["sound-log", "pass"] == 1 and numbers["harness_exit_status"] == {(): 0}


def test_a_comparison_tells_its_stages_and_what_each_operation_came_to(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that is slower by a tenth, by its own clock."""
    old, new = store_in(tmp_path / "old"), store_in(tmp_path / "new", put_ns=22_000)
    few = PaceOptions(directory=tmp_path / "reports", stages=FEW, sample_ms=0.5, warm_up=1)
    monkeypatch.setattr("harness.cli.PaceOptions", lambda **given: few)

    assert observed(collector, "pace", str(old), str(new), "--adapter", adapter_in(tmp_path / "adapter.py")) == 1

    root, whole = collector.one("harness pace"), collector.one("comparison")
    assert (whole.parent, whole.attributes["harness.decision"]) == (root.id, "regression")
    names = [span.name for span in parts_of(collector, whole)]
    assert names[:3] == ["rehearsal", "old against itself, 6 pairs", "new against old, 6 pairs"]
    decided = {row["harness.operation"]: row for row in told(whole, "operation")}
    assert decided["Put"]["harness.decision"] == "regression"
    assert decided["Put"]["harness.slower_percent"] == pytest.approx(10.0)
    numbers = scraped(Path("m.prom"))
    ratios = numbers["harness_pace_time_ratio"]
    assert ratios["estimate", "Put", "dictionary"] == pytest.approx(1.1)
    assert ratios["lower", "Put", "dictionary"] <= 1.1 + 1e-9
    assert not math.isnan(ratios["upper", "Delete", "dictionary"])
    assert numbers["harness_verdict"]["dictionary", "fail"] == numbers["harness_exit_status"][()] == 1
    assert numbers["harness_pace_pairs"] == {("dictionary",): whole.attributes["harness.pairs"]}


@pytest.mark.parametrize(
    "command",
    [
        ("survey", "missing.py:Store"),
        ("endure", "missing.py:Store", "--duration", "1s", "--rate", "1"),
        ("pace", "missing", "missing", "--adapter", "missing.py:Store"),
    ],
    ids=lambda command: str(command[0]),
)
def test_a_run_that_cannot_be_is_a_span_that_failed(
    command: tuple[str, ...], collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its sentence on stderr and its status are as ever; the status is told in numbers, too."""
    assert cli.main(list(command)) == 2
    alone = capsys.readouterr().err

    assert observed(collector, *command) == 2

    assert capsys.readouterr().err == alone and alone.count("\n") == 1
    root = collector.one(f"harness {command[0]}")
    [part] = parts_of(collector, root)
    assert part.failed and part.error.startswith("UsageError: ") and not root.failed
    assert scraped(Path("m.prom")) == {"harness_exit_status": {(): 2}}


def test_nobody_there_and_no_address(capsys: pytest.CaptureFixture[str]) -> None:
    """The former changes nothing; the latter is told before anything is run."""
    assert cli.main(["survey", "missing.py:Store", "--otlp", nobody_listens()]) == 2
    assert "the spans did not get to" in capsys.readouterr().err
    for command in (["survey", "a.py:B"], ["endure", "a.py:B", "--duration", "1s", "--rate", "1"]):
        assert cli.main([*command, "--otlp", "nowhere"]) == 2
        assert "--otlp 'nowhere' is no address of a collector" in capsys.readouterr().err
