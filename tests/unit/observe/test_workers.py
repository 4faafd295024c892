"""The trace of a run goes on in its workers, and a job is a span whatever becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.errors import HarnessFault
from harness.core.workload import Workload
from harness.observe.spans import variables
from harness.run.pool import Done, Pool
from harness.run.recording import Recorded, RecordJob
from harness.run.tracing import result_attributes, task_span
from harness.run.worker_main import Setup
from tests.unit.observe.noted import Noted

AMPLE_S = 30.0


def pool_for(run: Noted, isolation: Any = "warm", size: int = 1) -> Pool:
    setup = Setup("tests.unit.observe.tasks:look", isolation=isolation)
    return Pool(setup, size, AMPLE_S, variables=variables(run), begin=lambda job: run.child(f"job {job}"))


@pytest.mark.parametrize("isolation", ["warm", "fork", "fresh"])
def test_a_store_finds_the_span_of_its_job(isolation: str) -> None:
    """Of the run while its module is imported (that of the job in a fresh process), of the job in it, and so does what
    the store starts."""
    run = Noted()
    with pool_for(run, isolation) as pool:
        found = [outcome.result for _, _, outcome in pool.run(["a", "child"]) if isinstance(outcome, Done)]

    jobs = [part.traceparent for part in run.parts]
    prepared = jobs if isolation == "fresh" else [run.traceparent] * 2
    assert found == [[prepared[0], jobs[0], None], [prepared[1], jobs[1], jobs[1]]]
    assert [part.ends for part in run.parts] == [[""], [""]]
    assert all(part.attributes["harness.outcome"] == "done" for part in run.parts)


def test_without_a_span_the_callers_variable_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As any other variable that names no test tool."""
    monkeypatch.setenv("TRACEPARENT", "the caller's")
    with Pool(Setup("tests.unit.observe.tasks:look"), 1, AMPLE_S) as pool:
        [(_, _, outcome)] = pool.run(["a"])

    assert isinstance(outcome, Done) and outcome.result[:2] == ["the caller's"] * 2


def test_a_job_whose_process_died_is_a_span_that_failed() -> None:
    """It says how."""
    run = Noted()
    with pool_for(run) as pool:
        list(pool.run(["die"]))

    assert run.parts[0].ends == ["open: exit status 7"]
    assert run.parts[0].attributes["harness.outcome"] == "died"


def test_what_is_our_own_fault_fails_its_span() -> None:
    """The others that were at work are given up."""
    run = Noted()
    with pool_for(run) as pool, pytest.raises(HarnessFault):
        list(pool.run(["raise"]))

    assert "ValueError: raise" in run.parts[0].ends[0]


def test_jobs_that_nobody_waits_for_are_given_up() -> None:
    """Their spans end."""
    run = Noted()
    with pool_for(run, size=2) as pool:
        running = pool.run(["a", "b", "c", "d"])
        next(running)
        running.close()  # type: ignore[attr-defined]

    assert all(part.ends for part in run.parts)
    assert any(part.ends == ["given up"] for part in run.parts)


def test_a_job_is_named_by_what_it_does() -> None:
    """The kind is in the name of the span, and what is of many kinds in its attributes."""
    run = Noted()
    task_span(run, RecordJob(Workload("short 1", ()), "/somewhere/1.trace"))

    assert (run.parts[0].name, run.parts[0].attributes) == ("task record", {"harness.job": "short 1"})
    told = result_attributes(Recorded("short 1", "file", operations=3))
    assert told == {"harness.operations": 3}
