"""Coverage and costs of two certificates: what was lost, what costs more, and what can't be compared."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from harness.core.comparison import Weight
from harness.core.costs import BLOCKS, COSTING, PYTHON_CALLS, SYSTEM_CALLS, WRITTEN, Cost, Costs, LeftOut
from harness.core.coverage import FaultCoverage, SiteCoverage, SourceFile
from harness.judge.comparing.coverage import struck_percent
from tests.unit.judge.compared import (
    COSTS,
    COVERED,
    IMPROVEMENT,
    LINES,
    NOTE,
    REGRESSION,
    UNDECIDED,
    compared,
    costing,
    full,
    only,
    site,
    told,
    with_cost,
)

# --- coverage -----------------------------------------------------------------------------------


def covered(struck: tuple[SiteCoverage, ...], blind: tuple[SiteCoverage, ...] = (), **more: Any) -> FaultCoverage:
    given: dict[str, Any] = {"sources": (SourceFile("src/store.py", LINES),), "call_sites": 4, "struck_by_all": 3}
    return FaultCoverage(struck, blind, **{**given, **more})


def test_a_call_site_that_is_struck_no_longer() -> None:
    """It is told once, although it is a blind spot now, too."""
    lost = covered((site(2), site(4)), (site(3), site(5)))
    change = only(compared(fault_coverage=lost), REGRESSION)
    assert change.subject == "`file.write(b'')` in save of store.py" and change.new == "not struck"


def test_call_sites_move_and_go() -> None:
    """Further down in the file they are the same; where the line is gone, nothing is lost."""
    below = ("import os", "", *LINES)
    moved_down = FaultCoverage(
        (site(4), site(5), site(6)), (site(7),), (SourceFile("lib/store.py", below),), 4, 3
    )
    moved_down = dataclasses.replace(
        moved_down,
        sites=tuple(site(n, file="lib/store.py") for n in (4, 5, 6)),
        blind=(site(7, file="lib/store.py"),),
    )
    assert compared(fault_coverage=moved_down).changes == ()

    shorter = covered((site(2), site(3)), (site(4),), sources=(SourceFile("src/store.py", LINES[:3] + LINES[4:]),))
    assert compared(fault_coverage=shorter).of(REGRESSION) == ()


def test_a_site_that_chance_struck_is_undecided() -> None:
    """Where evidence depends on races, one strike may have been luck; without such evidence it was none."""
    old = dataclasses.replace(full(), fault_coverage=covered((site(2), site(3, struck=1), site(4)), (site(5),)))
    lost = covered((site(2), site(4)), (site(3), site(5)))
    assert "chance" in only(compared(old, fault_coverage=lost), UNDECIDED).sentence

    sure = tuple(dataclasses.replace(row, deterministic=True) for row in full().evidence)
    old = dataclasses.replace(old, evidence=sure)
    assert only(compared(old, fault_coverage=lost, evidence=sure), REGRESSION).area == "fault coverage"


def test_a_new_blind_spot() -> None:
    """A line of I/O that is new and that no fault struck; a second one of the same text counts."""
    longer = (*LINES, "    os.unlink(path)", "    file.close()")
    blind = covered(
        COVERED.sites, (site(5), site(6), site(7)), sources=(SourceFile("src/store.py", longer),), call_sites=6
    )
    comparison = compared(fault_coverage=blind)
    assert [change.subject for change in comparison.of(REGRESSION)] == [
        "`file.close()` in save of store.py",
        "`os.unlink(path)` in save of store.py",
    ]
    assert "3 of 6 call sites, before 3 of 4" in told(comparison, NOTE)[0]


def test_without_the_text_of_a_file_less_is_undecided() -> None:
    """Long files are not on the certificate."""
    old = dataclasses.replace(full(), fault_coverage=covered((site(2), site(3)), (), sources=()))
    change = only(compared(old, fault_coverage=covered((site(2),), (site(3),), sources=())), UNDECIDED)
    assert "2 call sites of store.py" in change.sentence


def test_fault_coverage_that_is_missing() -> None:
    """On the new side it can't be decided; on the old one there is nothing to lose."""
    assert only(compared(fault_coverage=None), UNDECIDED).area == "fault coverage"
    assert compared(dataclasses.replace(full(), fault_coverage=None)).changes == ()


@pytest.mark.parametrize(
    ("now", "weight"),
    [(90.4, REGRESSION), (90.6, NOTE), (95.0, IMPROVEMENT), (None, UNDECIDED)],
)
def test_branch_coverage(now: float | None, weight: Weight) -> None:
    """Half a point is let pass; not measured is undecided."""
    change = only(compared(coverage={} if now is None else {"percent": now}), weight)
    assert change.area == "branch coverage"


def test_branch_coverage_that_was_never_measured_is_no_subject() -> None:
    assert compared(dataclasses.replace(full(), coverage={})).changes == ()


def test_struck_percent_counts_lines() -> None:
    assert struck_percent(COVERED) == 75.0
    assert struck_percent(None) is None and struck_percent(FaultCoverage((), (), ())) is None


# --- costs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "amount", "weight"),
    [
        ("sync calls", 110, REGRESSION),
        ("sync calls", 103, REGRESSION),
        (PYTHON_CALLS, 1_050, REGRESSION),
        (WRITTEN, 5_101, REGRESSION),
        ("sync calls", 90, IMPROVEMENT),
        (BLOCKS, 600, REGRESSION),
        (BLOCKS, 200, IMPROVEMENT),
    ],
)
def test_costs_that_are_others(unit: str, amount: int, weight: Weight) -> None:
    """2 % more of any of them is a regression, fewer an improvement."""
    change = only(compared(costs=with_cost(unit, amount)), weight)
    assert change.area == "costs" and change.subject.startswith(unit) and f"{amount:,} now" in change.sentence


@pytest.mark.parametrize(("unit", "amount"), [("sync calls", 102), (PYTHON_CALLS, 1_020), (BLOCKS, 500), (BLOCKS, 300)])
def test_costs_within_the_gate(unit: str, amount: int) -> None:
    """2 % and no more; of blocks, what the interpreter itself keeps."""
    assert compared(costs=with_cost(unit, amount)).changes == ()


def test_a_cost_that_is_new() -> None:
    """From none to some is a regression, with no percentage to tell."""
    more = costing(amounts=(*COSTS.amounts, Cost("Put", "name calls", 1)))
    change = only(compared(costs=more), REGRESSION)
    assert change.sentence == "name calls of Put: 0 before, 1 now."


@pytest.mark.parametrize(
    ("costs", "reason"),
    [
        (None, "not counted now"),
        (costing(costing=COSTING + 1), "counts them in another way"),
        (costing(workload="other"), "the workload is another one"),
        (costing(operations={"Put": 9}), "takes other operations"),
    ],
)
def test_costs_that_cannot_be_compared(costs: Costs | None, reason: str) -> None:
    """They are undecided as a whole, with the reason."""
    comparison = compared(costs=costs)
    assert reason in only(comparison, UNDECIDED).sentence and comparison.costs == ()


def test_costs_of_another_python_and_costs_that_are_left_out() -> None:
    """Calls and blocks belong to a version of Python; system calls don't. What was left out before is no loss."""
    other = compared(costs=dataclasses.replace(with_cost("sync calls", 110), python="3.12.1"))
    assert [change.subject for change in other.of(UNDECIDED)] == [PYTHON_CALLS, BLOCKS]
    assert only(other, REGRESSION).subject == "sync calls of Put"
    assert compared(costs=costing(python="3.11.9")).changes == ()

    threads = costing(amounts=COSTS.amounts[2:], left_out=(LeftOut(SYSTEM_CALLS, "the store starts threads"),))
    change = only(compared(costs=threads), UNDECIDED)
    assert change.subject == SYSTEM_CALLS and "starts threads" in change.sentence
    assert compared(dataclasses.replace(full(), costs=threads), costs=threads).changes == ()
    assert compared(dataclasses.replace(full(), costs=threads)).changes == ()


def test_costs_that_nobody_counted_before_are_no_subject() -> None:
    assert compared(dataclasses.replace(full(), costs=None)).changes == ()
