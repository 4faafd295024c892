"""Findings in full, from the cases of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import Delete, Put
from harness.core.persistence import MAX_LOSS, PROCESS_CRASH, STRICT
from harness.core.workload import Reopen, Workload
from harness.record import uninstall
from harness.run import telling
from harness.run.campaign import Silent
from harness.run.exploring import Plan
from harness.run.options import Options
from harness.run.telling import Telling
from tests.stores.conduct import small_runs
from tests.stores.honest import InPlace, NoSync
from tests.stores.local import Local
from tests.stores.tiny import TINY

KILL = Plan(PROCESS_CRASH, "process_crash", ("acknowledged",))
MAXIMUM = Plan(MAX_LOSS, "power_loss", ("acknowledged",))


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    small_runs(monkeypatch)
    yield
    uninstall()


def told(adapter: Any, folder: Path, plan: Plan, *steps: Any, **more: Any) -> tuple[Telling, Any]:
    local: Any = Local(adapter, folder, **more)
    cases = local.cases(Workload("short-0", steps or (Put("a", "1"),)), plan)
    teller = Telling(local, adapter, "store.py:Store", Silent())
    return teller, teller.tell(cases, [plan.model.name])


def test_a_finding_has_everything_that_a_report_needs(tmp_path: Path) -> None:
    """Kind, line, program, models, story, fix, and a counterexample as JSON."""
    _, [finding] = told(InPlace, tmp_path, KILL)

    assert (finding.kind, finding.claim, finding.confirmed) == ("cannot_open", "process_crash", True)
    assert finding.operations == ("Put('a', '1')", "<crash>")
    assert finding.summary.startswith("When the process dies, reading the store raised JSONDecodeError")
    assert "process-crash" in finding.persistence_models and "strict" in finding.persistence_models
    assert finding.story is not None and finding.story.fix is not None
    assert finding.replay == f"harness replay CERTIFICATE {finding.id}"
    assert json.loads(json.dumps(finding.counterexample))["adapter"] == "store.py:Store"


def test_what_loses_nothing_is_told_as_that(tmp_path: Path) -> None:
    """Where nothing is promised about kills, the order of the calls is at fault all the same, and no lost write."""
    plan = Plan(STRICT, "power_loss", ("acknowledged",))
    _, found = told(InPlace, tmp_path, plan)

    summaries = [finding.summary for finding in found]
    assert any(text.startswith("When the power fails, though nothing that was written is lost, ") for text in summaries)
    folder = tmp_path / "another"
    folder.mkdir()
    _, lost = told(NoSync, folder, MAXIMUM, Put("a", "1"))
    assert lost and not any("though nothing" in finding.summary for finding in lost)


def test_the_same_defect_has_the_same_name(tmp_path: Path) -> None:
    """Between runs, and in whatever folder."""
    names = set()
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        names.add(told(InPlace, folder, KILL)[1][0].id)

    assert len(names) == 1 and names.pop().startswith("cannot-open-")


def test_the_certificate_to_replay_is_named_if_it_is_known(tmp_path: Path) -> None:
    """It will lie in the report directory."""
    options = Options(profile=TINY.name, jobs=1, reports=Path("reports"))
    _, [finding] = told(InPlace, tmp_path, KILL, options=options)

    assert finding.replay == f"harness replay reports/in-place.json {finding.id}"


def test_what_does_not_happen_again_is_flaky(tmp_path: Path) -> None:
    """It is told as such, without a fix, and never dropped."""
    local: Any = Local(InPlace, tmp_path)
    cases = local.cases(Workload("short-0", (Put("a", "1"),)), KILL)
    mended = type("Mended", (InPlace,), {"read": lambda self, path: {}})
    local.adapter = mended

    [finding] = Telling(local, mended, "store.py:Store", Silent()).tell(cases, ["process-crash"])

    assert not finding.confirmed and finding.summary.startswith("Flaky: When the process dies")
    assert finding.story is not None and finding.story.fix is None


def test_a_program_ends_where_the_crash_is(tmp_path: Path) -> None:
    """With the reopenings up to there."""
    steps = (Put("a", "1"), Reopen(), Delete("a"), Reopen(), Put("b", "2"))
    _, found = told(NoSync, tmp_path, MAXIMUM, *steps)

    assert found
    for finding in found:
        assert finding.operations[-1] == "<crash>" and finding.operations[0] == "Put('a', '1')"
        assert "When the power fails, " in finding.summary


def test_too_many_findings_are_one_broken_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are easiest to understand are told, and a note says how many there were."""
    monkeypatch.setattr(telling, "FINDINGS_LIMIT", 0)

    teller, found = told(InPlace, tmp_path, KILL)

    assert found == ()
    assert teller.notes == ["1 findings; the 0 easiest to understand are told"]


def test_a_long_workload_is_reduced_first(tmp_path: Path) -> None:
    """The program that is told is short."""
    local: Any = Local(InPlace, tmp_path)
    steps = tuple(Put(f"k{number}", "v") for number in range(5))
    cases = local.cases(Workload("long-0", steps), KILL)

    [finding] = Telling(local, InPlace, "s.py:S", Silent()).tell(cases, ["process-crash"])

    assert len(finding.operations) == 2
