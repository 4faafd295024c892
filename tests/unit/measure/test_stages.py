"""The decision: slow versions are found, equal ones pass, unfit machines and too much noise decide nothing."""

from __future__ import annotations

import math

import pytest

from harness.core.verdict import Verdict
from harness.measure.stages import ACCEPTED, NEGLIGIBLE, STAGES, Course, Decision, Stage, Step, decide, unlike
from tests.unit.measure.comparisons import CPU_DEVIATION, DISK_DEVIATION, compared, job, jumpy, shares, steady

CPU = steady(CPU_DEVIATION)
DISK = jumpy(DISK_DEVIATION)
FAST = Stage(12, 3, 0.05, 0.05)


def exact(*log_ratios: float) -> tuple[tuple[float, ...], ...]:
    """Pairs that hardly differ, four for each pair of processes."""
    return tuple(tuple(ratio + 1e-4 * number for number in range(4)) for ratio in log_ratios)


def test_the_errors_are_spent_in_advance() -> None:
    """All stages together err no more often than is said, and each has more of everything than the one before."""
    assert sum(stage.pass_level for stage in STAGES) == pytest.approx(0.05)
    assert sum(stage.alarm_level for stage in STAGES) == pytest.approx(0.02)
    assert [stage.pairs for stage in STAGES] == [40, 100, 400]
    assert all(stage.processes >= 5 and stage.pairs >= 2 * stage.processes for stage in STAGES)


# --- power and false alarms, simulated ------------------------------------------------------


@pytest.mark.parametrize(("noise", "jobs"), [(CPU, 150), (DISK, 60)], ids=["computing", "disk"])
def test_a_version_that_is_five_per_cent_slower_is_found(noise: object, jobs: int) -> None:
    """In nine of ten jobs, with the noise that was measured; it passes in one of twenty at most."""
    ends = shares(jobs, {"Put": 0.05}, noise)  # type: ignore[arg-type]

    assert ends[Decision.REGRESSION] >= 0.9 - 2 * math.sqrt(0.9 * 0.1 / jobs)
    assert ends[Decision.NO_REGRESSION] <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / jobs)


@pytest.mark.parametrize("slower", [0.1, 0.2])
def test_larger_slow_downs_are_found_always(slower: float) -> None:
    """Early, too."""
    courses = [job(seed, {"Put": slower}, CPU) for seed in range(60)]

    assert sum(course.decision is Decision.REGRESSION for course in courses) >= 59
    assert sum(len(course.steps["Put"]) < len(STAGES) for course in courses) >= 58


@pytest.mark.parametrize("noise", [CPU, steady(DISK_DEVIATION), DISK], ids=["computing", "very noisy", "disk"])
def test_an_equally_fast_version_is_not_flagged(noise: object) -> None:
    """No alarm in a hundred jobs, however noisy it is; where noise is too much, the end is open."""
    ends = shares(100, {"Put": 0.0}, noise)  # type: ignore[arg-type]

    assert ends[Decision.REGRESSION] <= 0.01
    assert ends[Decision.UNFIT] <= 0.03


def test_equally_fast_versions_pass_where_only_the_layout_differs() -> None:
    """Processes that are 2 % faster or slower by luck alarm nobody."""
    ends = shares(80, {"Put": 0.0}, CPU, luck=0.02)

    assert ends[Decision.REGRESSION] <= 0.02
    assert ends[Decision.NO_REGRESSION] >= 0.9


def test_a_faster_version_passes_at_once() -> None:
    """There is nothing to find out further."""
    assert all(len(job(seed, {"Put": -0.2}, CPU).steps["Put"]) == 1 for seed in range(10))


def test_many_equal_metrics_alarm_no_more_often_than_one() -> None:
    """Holm's procedure over eight of them."""
    names = [f"Kind{number}" for number in range(8)]

    assert shares(40, dict.fromkeys(names, 0.0), CPU)[Decision.REGRESSION] <= 0.025


def test_a_machine_on_which_a_version_differs_from_itself_is_unfit() -> None:
    """Slower or faster: then even a version that is twice as slow is not said to be."""
    for bias in (0.3, -0.3):
        course = job(1, {"Put": 1.0, "Delete": 0.0}, steady(0.1), unlike=bias)

        assert course.decision is Decision.UNFIT
        assert all(step.versions is None for steps in course.steps.values() for step in steps)
        assert compared(course).verdict is Verdict.UNKNOWN


def test_between_the_margins_with_much_noise_the_end_is_open() -> None:
    """Nothing is guessed after the last stage."""
    course = job(3, {"Put": 0.03}, steady(1.0))

    assert course.decision is Decision.OPEN
    assert [step.decision for step in course.steps["Put"]] == [Decision.OPEN] * len(STAGES)
    assert compared(course).verdict is Verdict.UNKNOWN


# --- the rules, one by one ------------------------------------------------------------------


def test_no_regression_is_tested_first() -> None:
    """Slower by 2 % for sure is between the margins, and accepted."""
    family = {"Put": exact(0.02, 0.02, 0.02)}

    assert decide(family, FAST, {}) == {"Put": Decision.NO_REGRESSION}


def test_a_bound_at_a_margin_is_not_beyond_it() -> None:
    """Both margins have to be excluded, not touched."""
    assert decide({"Put": ((NEGLIGIBLE,) * 12,)}, FAST, {"Put": Decision.OPEN}) == {"Put": Decision.NO_REGRESSION}
    assert decide({"Put": ((ACCEPTED,) * 12,)}, FAST, {}) == {"Put": Decision.REGRESSION}
    wide = {"Put": ((0.0,) * 6 + (0.1,) * 6,)}
    assert decide(wide, FAST, {}) == {"Put": Decision.OPEN}


def test_what_was_decided_stays() -> None:
    """A metric that passed is not tested again with the pairs that others needed."""
    family = {"Put": exact(0.5, 0.5, 0.5), "Delete": exact(0.5, 0.5, 0.5)}
    decided = decide(family, FAST, {"Put": Decision.NO_REGRESSION, "Delete": Decision.OPEN})

    assert decided == {"Put": Decision.NO_REGRESSION, "Delete": Decision.REGRESSION}


def test_holm_shares_the_level_among_all_that_are_tested() -> None:
    """Six pairs are enough for one metric at a level of 5 %, not for one of four; where all four are slower, none is
    left out.
    """
    six = ((0.2, 0.21, 0.22), (0.2, 0.21, 0.22))
    slow = (six[0] * 2, six[1] * 2, six[0] * 2)

    assert decide({"Put": six}, FAST, {})["Put"] is Decision.REGRESSION
    others = {name: exact(0.0, 0.0, 0.0) for name in ("A", "B", "C")}
    assert decide({"Put": six, **others}, FAST, {})["Put"] is Decision.OPEN
    assert set(decide(dict.fromkeys("ABCD", slow), FAST, {}).values()) == {Decision.REGRESSION}


def test_holm_stops_at_the_first_that_is_not_sure() -> None:
    """The last metric is tested at the whole level only if all before it were rejected."""
    six = ((0.2, 0.21, 0.22), (0.2, 0.21, 0.22))
    slow = (six[0] * 2, six[1] * 2, six[0] * 2)

    five = ((0.2, 0.21, 0.22, 0.23, 0.24),)

    assert decide({"Put": five, "Delete": slow}, FAST, {}) == dict.fromkeys(("Put", "Delete"), Decision.REGRESSION)
    assert decide({"Put": five, "Delete": five}, FAST, {}) == dict.fromkeys(("Put", "Delete"), Decision.OPEN)


def test_a_metric_without_pairs_is_open() -> None:
    """Nothing measured is nothing known, of the version as of the machine."""
    assert decide({"Put": ()}, FAST, {}) == {"Put": Decision.OPEN}
    assert unlike({"Put": ()}, 0.5) == frozenset()
    assert Course({}).decision is Decision.OPEN


def test_the_worst_metric_decides_for_the_job() -> None:
    """Unfit before regression before open before no regression."""
    order = [Decision.NO_REGRESSION, Decision.OPEN, Decision.REGRESSION, Decision.UNFIT]
    for worst, decision in enumerate(order):
        steps = {str(n): (Step(FAST, (), (), other),) for n, other in enumerate(order[: worst + 1])}
        assert Course(steps).decision is decision


def test_each_stage_adds_pairs_and_tests_all_of_them() -> None:
    """The first pairs are not thrown away, and the machine is tested again, as sharply as the version."""
    course = job(3, {"Put": 0.03}, steady(1.0))

    for stage, step in zip(STAGES, course.steps["Put"], strict=True):
        same, versions = step.intervals(tests=1)
        assert versions is not None
        assert (same.pairs, versions.pairs, versions.groups) == (stage.pairs, stage.pairs, stage.processes)
        assert (versions.lower_level, versions.upper_level) == (stage.alarm_level, stage.pass_level)
        assert (same.lower_level, same.upper_level) == (stage.alarm_level, stage.alarm_level)
