"""All faults of a job: which are tried, when it ends, and what is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.core.workload import Workload
from harness.run.live.engines import ENGINES, fault_types
from harness.run.live.explorer import INTERRUPTIONS_IN_ALL
from tests.unit.run.live.fakes import NAME, SITE, Nudge, explored, job, kind_of_engine, puts


def register(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    monkeypatch.setitem(ENGINES, NAME, kind_of_engine(**changes))


def breaks_at(*numbers: int, kind: str = "lost_acknowledged") -> Any:
    return lambda workload, fault: kind if fault.number in numbers else ""


def test_every_fault_is_tried_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that never struck are counted apart, and say why."""
    register(monkeypatch, idle=(2, 3), unknown="it was not there")
    tried = explored(tmp_path, job(puts(3)))
    assert (tried.planned, tried.trials, tried.fired, tried.idle, tried.operations) == (10, 10, 8, 2, 3)
    assert tried.exhausted and tried.found == [] and tried.unknown == ["it was not there"]
    assert tried.struck == {
        (SITE.file, SITE.line, SITE.function, "write", "nudge", "held"): 8,
        ("", 0, "", "sync", "nudge", "held"): 8,
    }
    assert tried.effort == "10 faults"


def test_one_defect_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first fault that shows it is kept; what struck there broke something."""
    register(monkeypatch, broken=breaks_at(4, 6))
    tried = explored(tmp_path, job(puts(1)))
    assert [(found.fault, found.key) for found in tried.found] == [(Nudge(4), ("lost_acknowledged", str(SITE)))]
    assert tried.struck[(SITE.file, SITE.line, SITE.function, "write", "nudge", "broke")] == 2


def test_the_least_is_tried_whatever_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, cost=100, least=3)
    assert [explored(tmp_path, job(puts(1), most=most)).trials for most in (0, 100, 500)] == [0, 3, 5]


def test_quick_has_several_races() -> None:
    """One alone, in which nobody is killed, would say nothing about the others."""
    assert ENGINES["writers-races"].least >= 3


def test_a_violation_by_a_fault_that_never_struck_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, idle=(4,), broken=breaks_at(4))
    assert explored(tmp_path, job(puts(1))).found == []


def test_a_job_ends_where_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many trials, at what was looked for, soon after a violation, or when the time is over."""
    register(monkeypatch, broken=breaks_at(1, 8))
    assert explored(tmp_path, job(puts(1), most=4)).trials == 4
    found = explored(tmp_path, job(puts(1), stop_at_first=("lost_acknowledged", str(SITE))))
    assert found.trials == 2 and not found.exhausted
    assert explored(tmp_path, job(puts(1), after_violation=3)).trials == 5
    assert explored(tmp_path, job(puts(1), seconds=-1.0)).trials == 0
    assert explored(tmp_path, job(puts(1), only=Nudge(8))).found[0].fault == Nudge(8)


def test_too_many_faults_are_taken_from_all_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the best come first, those are tried."""
    seen: list[int] = []

    def noted(workload: Workload, fault: Nudge) -> str:
        seen.append(fault.number)
        return ""

    register(monkeypatch, count=100, broken=noted)
    assert not explored(tmp_path, job(puts(1), most=10)).exhausted
    assert seen == list(range(0, 100, 10))
    seen.clear()
    register(monkeypatch, count=100, broken=noted, ordered=True)
    explored(tmp_path, job(puts(1), most=10))
    assert seen == list(range(10))


def test_what_is_learnt_of_meanwhile_is_tried_after_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An eighth of the budget, or as many as the engine wants at least; not when what was looked for is found."""
    register(monkeypatch, count=16, more=9, follows=True)
    assert explored(tmp_path, job(puts(1), most=16)).trials == 16 + 2
    register(monkeypatch, count=16, more=9, follows=True, following_least=5, watches=True, said=("so", "and so"))
    tried = explored(tmp_path, job(puts(1), most=16))
    assert (tried.trials, tried.notes, tried.lock_orders) == (16 + 5, ["so", "and so"], 2) and not tried.exhausted
    register(monkeypatch, count=3, more=9, follows=True, broken=breaks_at(2), watches=True, said=("so",))
    tried = explored(tmp_path, job(puts(1), most=16, stop_at_first=("lost_acknowledged", str(SITE))))
    assert (tried.trials, tried.notes) == (3, [])
    assert explored(tmp_path, job(puts(1), only=Nudge(0))).trials == 1


def test_a_refused_workload_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, refused="no")
    tried = explored(tmp_path, job(puts(1)))
    assert (tried.refused, tried.trials, tried.planned) == ("no", 0, 0)


def test_a_trial_that_ended_its_worker_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a finding of its own, and after some of them the rest is left out."""

    def fatal(workload: Workload, fault: Nudge) -> str:
        assert fault.number != 1, "run again"
        return ""

    register(monkeypatch, broken=fatal)
    tried = explored(tmp_path, job(puts(1), interrupted=((2, "hang", "too long"),)))
    assert tried.trials == 10 and [found.key for found in tried.found] == [("hang", "None")]
    register(monkeypatch)
    ended = tuple((unit, "hang", "too long") for unit in range(1, INTERRUPTIONS_IN_ALL + 1))
    assert explored(tmp_path, job(puts(1), interrupted=ended)).trials == INTERRUPTIONS_IN_ALL


def test_the_types_of_faults_are_known_by_name() -> None:
    """As a counterexample names them."""
    assert {"Damage", "DamageKind"} <= fault_types().keys()
