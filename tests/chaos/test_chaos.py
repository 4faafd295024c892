"""The endurance check sees what it is for: findings, leftovers, faults that never struck."""

from __future__ import annotations

import dataclasses

import pytest

from harness.core.verdict import Verdict
from tests.chaos import run_chaos
from tests.chaos.run_chaos import Surroundings, problems
from tests.golden.sample import SAMPLES
from tests.stores.conduct import spec

CLEAN = Surroundings(0, 8, 20, 3)


def passing(**changes: object):
    certificate = SAMPLES["passing"]()
    rows = tuple(
        dataclasses.replace(row, faults_fired=5, workloads=100, bounds={"smallest_workload_operations": 3})
        for row in certificate.evidence
    )
    return dataclasses.replace(certificate, evidence=rows, findings=(), **changes)


def test_a_clean_run_has_no_problem() -> None:
    certificate = passing()
    assert all(claim.verdict is Verdict.PASS for claim in certificate.claims)
    assert problems(certificate, CLEAN, CLEAN) == []


@pytest.mark.parametrize("what", ["processes", "descriptors", "mounts", "directories"])
def test_what_is_left_behind_is_a_problem(what: str) -> None:
    after = dataclasses.replace(CLEAN, **{what: getattr(CLEAN, what) + 1})
    assert len(problems(passing(), CLEAN, after)) == 1


def test_findings_and_idle_scenarios_are_problems() -> None:
    failing = SAMPLES["failing"]()
    assert any("a finding" in problem for problem in problems(failing, CLEAN, CLEAN))
    idle = tuple(dataclasses.replace(row, faults_fired=0) for row in passing().evidence)
    found = problems(dataclasses.replace(passing(), evidence=idle), CLEAN, CLEAN)
    assert len([problem for problem in found if "never struck" in problem]) == len(idle)


def test_too_few_operations_are_a_problem() -> None:
    few = tuple(dataclasses.replace(row, workloads=1) for row in passing().evidence)
    found = problems(dataclasses.replace(passing(), evidence=few), CLEAN, CLEAN)
    assert any("operations" in problem for problem in found)


@pytest.mark.whole
def test_a_store_that_loses_data_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each problem, and a summary."""
    assert run_chaos.main(["--runs", "1", "--store", spec("InPlace", "honest.py")]) == 1
    out = capsys.readouterr().out
    assert "seed 1: process_crash is fail" in out and "1 runs, 1 with a problem" in out
