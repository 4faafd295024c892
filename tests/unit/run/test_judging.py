"""One content of the disk, judged once more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Put
from harness.core.persistence import PROCESS_CRASH
from harness.core.workload import Workload
from harness.record import uninstall
from harness.run.exploring import Plan
from harness.run.judging import Judged, JudgeJob
from tests.stores.conduct import small_runs
from tests.stores.honest import InPlace, Tidy
from tests.stores.local import Local

KILL = Plan(PROCESS_CRASH, "process_crash", ("acknowledged",))


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    small_runs(monkeypatch)
    yield
    uninstall()


def test_a_violation_happens_again(tmp_path: Path) -> None:
    """From the image alone; what the first opening left in the directory is told too."""
    local = Local(InPlace, tmp_path)
    [case] = local.cases(Workload("short-0", (Put("a", "1"),)), KILL)

    [judged] = local.judge_again([JudgeJob(case.found.image, case.trace_file)])

    assert isinstance(judged, Judged)
    assert judged.recovery.problem == "cannot_open"
    assert set(judged.after.paths()) == {"pairs.json"}


def test_a_sound_state_stays_sound(tmp_path: Path) -> None:
    """And what recovery removed is gone."""
    local = Local(Tidy, tmp_path)
    job = local.job(Workload("short-0", (Put("a", "1"), Put("b", "2"))), KILL, samples=50)
    samples = local.explorer(job).run().samples
    left_over = next(sample for sample in samples if "pairs.new" in sample.image.paths())

    [judged] = local.judge_again([JudgeJob(left_over.image, job.trace_file)])

    assert isinstance(judged, Judged)
    assert (judged.recovery.problem, judged.recovery.matches) == ("", left_over.matches)
    assert judged.recovery.wrote and "pairs.new" not in judged.after.paths()
