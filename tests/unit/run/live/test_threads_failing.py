"""Threads that share a handle, and a call of one of them that fails: what the others are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import Append, Put
from harness.core.verdict import Verdict
from harness.core.workload import By, Workload
from harness.inject.writers import Failure
from harness.run.live import turnstile
from harness.run.live.threads_failing import FailingThreadsEngine
from store_under_test.defective import d44_unlocked_shared_table
from tests.stores import grouped
from tests.stores.conduct import certified, happens_again, small_runs, spec, verdicts
from tests.unit.run.live import writing
from tests.unit.run.live.benches import bench

APPENDS = Workload("appends", (By(0, Append("0")), By(1, Append("one")), By(2, Append("2"))))
PUTS = Workload("puts", (By(0, Put("a", "0")), By(1, Put("a", "1")), By(2, Put("b", "2"))))


def engine(adapter: Any, folder: Path, workload: Workload = APPENDS) -> FailingThreadsEngine:
    made = FailingThreadsEngine(bench(adapter, folder), workload, "io_error", "fails_cleanly")
    assert made.rehearse() == ""
    return made


def test_who_is_answered_though_the_sync_of_another_failed_loses_what_he_wrote(tmp_path: Path) -> None:
    made = engine(grouped.AnswersTheOthers, tmp_path)
    trials = [made.attempt(fault) for fault in made.faults()]
    broken = [trial for trial in trials if trial.violation is not None]

    assert {trial.violation.kind for trial in broken if trial.violation} == {"lost_acknowledged"}
    assert all(trial.site is not None and writing.line_of(trial.site) == "os.fsync(self.file)" for trial in broken)
    assert {struck.fault for trial in broken for struck in trial.struck} == {"EIO"}
    assert trials.index(broken[0]) < 6, "what is near the failure comes first"


def test_who_waits_for_ever_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turnstile, "PATIENCE_S", 0.5)
    made = engine(grouped.LetsThemWait, tmp_path)
    assert "hang" in {trial.violation.kind for fault in made.faults() if (trial := made.attempt(fault)).violation}


def test_who_tells_everybody_is_left_alone(tmp_path: Path) -> None:
    made = engine(grouped.TakesBack, tmp_path)
    trials = [made.attempt(fault) for fault in made.faults()]

    assert {trial.violation for trial in trials} == {None} and {trial.unknown for trial in trials} == {""}
    assert sum(trial.fired for trial in trials) > 3


def test_what_goes_wrong_without_a_failure_is_left_to_the_claim_of_writers(tmp_path: Path) -> None:
    made = engine(d44_unlocked_shared_table.Adapter, tmp_path, PUTS)
    trials = [made.attempt(fault) for fault in made.faults()]

    assert {trial.violation for trial in trials} == {None}
    assert "what goes wrong goes wrong without a failure as well" in {trial.idle for trial in trials}


def test_a_call_that_is_not_made_proves_nothing(tmp_path: Path) -> None:
    trial = engine(grouped.TakesBack, tmp_path).attempt(Failure((1,), 999))
    assert (trial.fired, trial.idle) == (0, "the call that was to fail was not made")


def test_one_client_alone_meets_nobody(tmp_path: Path) -> None:
    alone = Workload("alone", (By(1, Append("1")),))
    assert list(engine(grouped.TakesBack, tmp_path, alone).faults()) == []


def test_on_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Confirmed, and done again; the sound twin keeps its promise."""
    small_runs(monkeypatch)
    certificate = certified(spec("AnswersTheOthers", "grouped.py"), "failing-threads")
    [finding] = certificate.findings
    assert verdicts(certificate) == {"io_error": Verdict.FAIL}
    assert (finding.kind, finding.confirmed) == ("lost_acknowledged", True)
    assert happens_again(certificate, tmp_path)

    assert verdicts(certified(spec("TakesBack", "grouped.py"), "failing-threads")) == {"io_error": Verdict.PASS}
