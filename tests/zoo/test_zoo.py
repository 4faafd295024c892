"""The harness catches every planted defect at the line that holds it, and is quiet about sound stores.

The short tests ask a sample of the rows: of defects the scenarios that found them in the last run over the whole zoo,
of sound stores crashes alone. Those marked `whole` ask everything of all: `tox -e zoo`.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from store_under_test.defective.catalogue import Row, rows
from tests.zoo.detection import CRASHES, alarms, certify, detection, is_sound, revealing
from tests.zoo.publishing import read_results

#: Under xdist the rows run side by side already.
JOBS = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
#: How far the search goes for a defect: the next profile is for what the one before has not found.
PROFILES = ("quick", "standard")
#: A whole certification is one test: on a busy machine it may take minutes.
pytestmark = pytest.mark.timeout(900)
DEFECTIVE = [row for row in rows() if not is_sound(row)]
SOUND = [row for row in rows() if is_sound(row)]


def name(row: Row) -> str:
    return row.id


def sampled(rows: list[Row], every: int) -> list[Any]:
    """All rows, of which one in so many is no matter of the whole zoo."""
    whole = pytest.mark.whole
    return [pytest.param(row, marks=() if n % every == 0 else whole, id=row.id) for n, row in enumerate(rows)]


@pytest.mark.parametrize("row", sampled(DEFECTIVE, 4))
def test_a_planted_defect_is_caught_by_what_caught_it_before(row: Row) -> None:
    """A row that no run has caught yet is missing there."""
    found = read_results()[row.id]
    certificate = certify(row, profile=found.profile, seed=0, jobs=JOBS, scenarios=found.scenarios)

    assert detection(row, certificate).objections == ()


@pytest.mark.parametrize("row", sampled(SOUND, 5))
def test_a_sound_store_raises_no_alarm_when_it_crashes(row: Row) -> None:
    certificate = certify(row, profile="quick", seed=0, jobs=JOBS, scenarios=CRASHES)

    assert alarms(certificate) == [] and sum(evidence.states_judged for evidence in certificate.evidence) > 100


@pytest.mark.whole
@pytest.mark.parametrize("row", DEFECTIVE, ids=name)
def test_a_planted_defect_is_caught(row: Row) -> None:
    """Its claims fail, and a confirmed finding of an expected kind names the line of the defect."""
    for profile in PROFILES:
        result = detection(row, certify(row, profile=profile, seed=0, jobs=JOBS, scenarios=revealing(row)))
        if result.right:
            break

    assert result.objections == ()
    assert result.hit is not None and result.hit.seconds_to_find >= 0


@pytest.mark.whole
@pytest.mark.parametrize("row", SOUND, ids=name)
def test_a_sound_store_raises_no_alarm(row: Row) -> None:
    """Every claim passes under every preset, and there is no finding."""
    assert detection(row, certify(row, profile="quick", seed=0, jobs=JOBS)).objections == ()
