"""Certificates to compare: one with everything on it, and later ones that differ in one thing."""

from __future__ import annotations

import dataclasses
from typing import Any

from harness.core.comparison import Change, Comparison, Weight
from harness.core.costs import BLOCKS, COSTING, PYTHON_CALLS, WRITTEN, Cost, Costs
from harness.core.coverage import FaultCount, FaultCoverage, SiteCoverage, SourceFile
from harness.core.evidence import Certificate
from harness.core.trace import CallSite
from harness.judge.comparing import compare
from tests.golden.sample import passing

REGRESSION, UNDECIDED, IMPROVEMENT, NOTE = Weight
CONTRACT = {
    "process_crash": "acknowledged",
    "power_loss": "acknowledged",
    "power_loss_models": ["strict", "ext4"],
    "io_error": "fails_cleanly",
    "corruption": "detected",
    "rollback": None,
    "writers": "threads",
    "errors": ["OSError"],
}
LINES = ("def save(path):", "    file = open(path)", "    file.write(b'')", "    os.fsync(file)", "    file.close()")
COSTS = Costs(
    COSTING,
    "abc",
    "3.11.7",
    3,
    {"Put": 10},
    (
        *(Cost("Put", "sync calls", 100), Cost("Put", WRITTEN, 5_000), Cost("Put", PYTHON_CALLS, 1_000)),
        Cost("everything", BLOCKS, 400),
    ),
)


def site(line: int, struck: int = 9, file: str = "src/store.py", function: str = "save") -> SiteCoverage:
    return SiteCoverage(CallSite(file, line, function), ("write",), (FaultCount("eio", struck, 0),))


COVERED = FaultCoverage((site(2), site(3), site(4)), (site(5),), (SourceFile("src/store.py", LINES),), 4, 3)


def full() -> Certificate:
    """A certificate with everything that can be compared on it."""
    return dataclasses.replace(
        passing(), contract=CONTRACT, costs=COSTS, fault_coverage=COVERED, coverage={"percent": 91.0}
    )


def later(**changes: Any) -> Certificate:
    return dataclasses.replace(full(), issued_at="2027-01-01T00:00:00Z", seconds=1.0, **changes)


def compared(old: Certificate | None = None, **changes: Any) -> Comparison:
    return compare(old or full(), later(**changes))


def told(comparison: Comparison, weight: Weight, area: str = "") -> list[str]:
    return [change.sentence for change in comparison.of(weight) if area in ("", change.area)]


def only(comparison: Comparison, weight: Weight) -> Change:
    """The one change of this weight."""
    [change] = comparison.of(weight)
    return change


def with_claim(name: str, **changes: Any) -> tuple[Any, ...]:
    return tuple(dataclasses.replace(claim, **changes) if claim.claim == name else claim for claim in full().claims)


def with_evidence(scenario: str, model: str = "", **changes: Any) -> tuple[Any, ...]:
    return tuple(
        dataclasses.replace(row, **changes)
        if row.scenario == scenario and model in ("", row.persistence_model)
        else row
        for row in full().evidence
    )


def costing(**changes: Any) -> Costs:
    return dataclasses.replace(COSTS, **changes)


def with_cost(unit: str, amount: int) -> Costs:
    return costing(amounts=tuple(dataclasses.replace(c, amount=amount) if c.unit == unit else c for c in COSTS.amounts))
