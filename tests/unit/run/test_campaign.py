"""The processes and files of one run."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import Put, UsageError
from harness.core.persistence import PROCESS_CRASH
from harness.core.workload import Workload
from harness.crash.states import Limits
from harness.run import namespaces
from harness.run.campaign import Campaign, Silent, _without
from harness.run.exploring import ExploreJob, Plan
from harness.run.journal import Journal
from harness.run.judging import Judged, JudgeJob
from harness.run.options import Options
from harness.run.pool import Interrupted
from tests.stores.conduct import LIMIT_S, spec

KILL = Plan(PROCESS_CRASH, "process_crash", ("acknowledged",))
WORKLOAD = Workload("short-0", (Put("a", "1"),))
OPTIONS = Options(profile="quick", jobs=1, time_limit_s=LIMIT_S)


def job(file: str, name: str = "short-0", **more: object) -> ExploreJob:
    return ExploreJob(name, file, (KILL,), 0, 0, Limits(), **more)  # type: ignore[arg-type]


def test_an_adapter_that_dies_without_any_fault_cannot_run() -> None:
    """The sentence says in which call."""
    with Campaign(spec("DiesInApply"), OPTIONS) as campaign:
        with pytest.raises(UsageError, match="an operation ended its process without any fault"):
            campaign.record([WORKLOAD])


def test_an_adapter_that_only_we_can_load_cannot_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker imports it once more, with other arguments and without the variables of test tools."""
    (tmp_path / "store.py").write_text("import os\nos.environ['PYTEST_ONLY']\n")

    with Campaign(f"{tmp_path}/store.py:Store", OPTIONS) as campaign:
        with pytest.raises(UsageError, match=r"can't be imported .*KeyError: 'PYTEST_ONLY'"):
            campaign.record([WORKLOAD])


@pytest.mark.parametrize("refusal", [None, "not today"])
def test_recorded_explored_judged_and_nothing_left(
    refusal: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the machine allows no private mounts; what a journal has is not explored again."""
    if refusal:
        monkeypatch.setattr(namespaces, "refusal", lambda *arguments: refusal)
    with Campaign(spec("InPlace", "honest.py"), OPTIONS, journal=Journal(tmp_path / "j", "f")) as campaign:
        assert campaign.journal is not None
        directory = campaign.directory
        [recorded] = campaign.record([WORKLOAD])
        [explored] = campaign.explore([job(recorded.trace_file)], resumable=True)
        [found] = explored.defects
        [judged] = campaign.judge_again([JudgeJob(found.image, recorded.trace_file)])
        assert isinstance(judged, Judged) and judged.recovery.problem == "cannot_open"
        trace = campaign.trace(recorded.trace_file)
        assert campaign.trace(recorded.trace_file) is trace
        assert campaign.trace(campaign.keep_trace(trace)) == trace
        [resumed] = campaign.explore([job("nowhere.trace")], resumable=True)
        assert resumed.found == explored.found
        campaign.journal.close()
        assert not campaign.out_of_time

    assert not directory.exists()


def test_a_recovery_that_ended_its_worker_is_not_run_again() -> None:
    """It is told to the next one, by number."""
    died = Interrupted(4, "opening the store", "died", "SIGKILL", "")
    hung = Interrupted(6, "the next operation after the recovery", "hang", "no return", "")

    again = _without(_without(job("0.trace"), died), hung)

    assert again.interrupted == (
        (4, "cannot_open", "opening the store ended its process (SIGKILL)"),
        (6, "hang", "the next operation after the recovery did not return (no return)"),
    )
    with pytest.raises(AssertionError):
        _without(again, hung)


def test_nobody_need_be_told() -> None:
    """Progress is for those who ask."""
    silent = Silent()
    silent.phase("recording", 3)
    silent.advance("short-0")
