"""Findings of live faults: as short as they can be, confirmed, and one for each defect."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import Put
from harness.core.workload import Reopen, Workload
from harness.report.story import story_text
from harness.run.campaign import Silent
from harness.run.live.engines import ENGINES
from harness.run.live.telling import FINDINGS_LIMIT, REDUCTIONS, SLOW_REDUCTIONS, LiveCase, LiveTelling, distinct, plain
from harness.run.live.values import Tried
from harness.run.pool import Interrupted
from tests.unit.run.live.fakes import NAME, SITE, Here, Nudge, Quiet, explored, job, kind_of_engine, puts

Broken = Callable[[Workload, Nudge], str]


def needs(*keys: str) -> Broken:
    """Broken by fault 3 where all these keys are put."""

    def broken(workload: Workload, fault: Nudge) -> str:
        present = {step.key for step in workload.steps if isinstance(step, Put)}
        return "lost_acknowledged" if fault.number == 3 and present >= set(keys) else ""

    return broken


def told(
    directory: Path, monkeypatch: pytest.MonkeyPatch, workload: Workload, broken: Broken, **changes: Any
) -> tuple[Any, Here, LiveTelling]:
    outcome = changes.pop("outcome", None)
    monkeypatch.setitem(ENGINES, NAME, kind_of_engine(broken=broken, **changes))
    here = Here(directory, outcome=outcome)
    telling = LiveTelling(here, Quiet, "quiet.py:Quiet", Silent())  # type: ignore[arg-type]
    cases = [LiveCase(found, "nudging", "kept") for found in explored(directory, job(workload)).found]
    return telling.tell(cases, ()), here, telling


@pytest.mark.parametrize(
    ("count", "keys"), [(1, ["k0"]), (3, ["k1"]), (4, ["k0", "k3"]), (12, ["k5"]), (12, ["k1", "k7"])]
)
def test_only_the_operations_that_matter_are_told(
    count: int, keys: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of short workloads and of long ones; reopenings are left out as well."""
    work = puts(count)
    work = Workload("work", (*work.steps, Reopen()))
    (finding,), here, _ = told(tmp_path, monkeypatch, work, needs(*keys))
    assert [line.split("'")[1] for line in finding.operations] == keys
    assert finding.confirmed and finding.call_site == SITE and finding.kind == "lost_acknowledged"
    assert finding.summary == "It was nudged: it broke (call in line 3 of store.py)."
    assert len(here.jobs) <= REDUCTIONS
    assert finding.counterexample["fault"] and finding.counterexample["engine"] == NAME


def test_what_needs_everything_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a limited number of attempts, a smaller one where each is slow."""
    work = puts(30)
    everything = needs(*(step.key for step in work.steps))
    (finding,), here, _ = told(tmp_path, monkeypatch, work, everything)
    assert len(finding.operations) == 30 and len(here.jobs) == REDUCTIONS
    (_,), here, _ = told(tmp_path, monkeypatch, work, everything, deterministic=False)
    assert len(here.jobs) == SLOW_REDUCTIONS


def test_a_hang_is_not_made_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt would take the whole time limit."""
    (finding,), here, _ = told(tmp_path, monkeypatch, puts(4), lambda workload, fault: "hang")
    assert here.jobs == [] and len(finding.operations) == 4


def test_what_does_not_happen_again_is_flaky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,), *_ = told(tmp_path, monkeypatch, puts(1), needs("k0"), outcome=Tried("again"))
    assert not finding.confirmed
    assert finding.summary.startswith("Flaky: ") and "did not happen again" in finding.summary


def test_a_race_may_take_several_attempts_to_show_itself_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = iter([Tried("again"), Tried("again"), None])
    again = Here.try_again
    monkeypatch.setattr(Here, "try_again", lambda here, job: next(shown) or again(here, job))
    (finding,), *_ = told(tmp_path, monkeypatch, puts(1), needs("k0"))
    assert finding.confirmed and next(shown, "tried no more") == "tried no more"


def test_a_worker_that_ends_again_confirms_that_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finding without a story of its own is told in general words."""
    monkeypatch.setitem(ENGINES, NAME, kind_of_engine())
    found = explored(tmp_path, job(puts(1), interrupted=((1, "hang", "too long"),))).found[0]
    outcome = Interrupted(1, "an operation", "hang", "too long", "")
    telling = LiveTelling(Here(tmp_path, outcome=outcome), Quiet, "q", Silent())  # type: ignore[arg-type]
    (finding,) = telling.tell([LiveCase(found, "nudging", "kept")], ())
    assert finding.confirmed and finding.kind == "hang" and finding.call_site is None
    assert finding.story is not None and finding.story.reached == "One of the nudges was tried."


def test_one_defect_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The easiest example of it; not at all if another engine has told it; and not too many in all."""
    findings, _, telling = told(tmp_path, monkeypatch, puts(2), needs("k0"))
    cases = [
        LiveCase(explored(tmp_path, job(puts(count))).found[0], "nudging", "kept") for count in (3, 1)
    ]
    assert len(telling.tell(cases, ())) == 1
    assert telling.tell(cases, findings) == ()
    many = [
        LiveCase(found, "nudging", "kept")
        for number in range(FINDINGS_LIMIT + 1)
        for found in _found(tmp_path, monkeypatch, f"kind{number}")
    ]
    monkeypatch.setitem(ENGINES, NAME, kind_of_engine())
    assert len(telling.tell(many, ())) == FINDINGS_LIMIT
    assert telling.notes == [f"{FINDINGS_LIMIT + 1} findings by live faults; the {FINDINGS_LIMIT} easiest are told"]


def test_what_turns_out_to_be_the_same_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same kind, same line: whichever errno it was. One that was confirmed counts before one that was not."""
    (finding,), *_ = told(tmp_path, monkeypatch, puts(1), needs("k0"))
    flaky = dataclasses.replace(finding, confirmed=False, id="flaky")
    elsewhere = dataclasses.replace(finding, call_site=dataclasses.replace(SITE, line=4))
    other = dataclasses.replace(finding, kind="phantom")

    assert distinct([flaky, finding, elsewhere, finding, other], set()) == (finding, elsewhere, other)
    assert distinct([finding, other], {(finding.kind, str(SITE))}) == (other,)


def test_a_finding_of_a_failing_call_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was not tried, and is not told as if it had been."""
    (finding,), *_ = told(tmp_path, monkeypatch, puts(1), needs("k0"))
    fix = finding.story.fix
    assert fix.sentence.startswith("When the write in line 3 of store.py fails, ") and not fix.works
    assert f"  advice    {fix.sentence}" in story_text(finding)


def _found(directory: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> list[Any]:
    monkeypatch.setitem(ENGINES, NAME, kind_of_engine(count=1, broken=lambda workload, fault: kind))
    return explored(directory, job(puts(1))).found


def test_what_several_faults_did_is_not_told_beside_what_one_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the same defect in a longer story; where no single fault breaks the claim, it is told."""
    monkeypatch.setitem(ENGINES, NAME, kind_of_engine(broken=needs("k0")))
    monkeypatch.setitem(ENGINES, "several", dataclasses.replace(ENGINES[NAME], compound=True))
    (single,) = [LiveCase(found, "one", "kept") for found in explored(tmp_path, job(puts(1))).found]
    several = dataclasses.replace(single, found=dataclasses.replace(single.found, engine="several"))
    claim = single.found.claim

    assert plain([several, single], set()) == [single]
    assert plain([several], {claim}) == []
    assert plain([several], {"another claim"}) == [several]
