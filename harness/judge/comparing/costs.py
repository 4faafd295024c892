"""Deterministic costs, held against each other: exactly, because they are the same in every run."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.comparison import Change, CostChange, Weight
from harness.core.costs import BLOCKS, BLOCKS_SLACK, OF_PYTHON, SYSTEM_CALLS, Costs
from harness.judge.comparing.pair import Pair


def cost_changes(pair: Pair) -> tuple[tuple[CostChange, ...], list[Change]]:
    """Every cost before and now, and what that means."""
    old, new = pair.old.costs, pair.new.costs
    if old is None:
        return (), []
    reason = "they were not counted now" if new is None else _incomparable(old, new)
    if new is None or reason:
        return (), [Change("costs", Weight.UNDECIDED, "costs", f"Costs can't be compared: {reason}.")]
    untold = dict(_not_compared(old, new))
    table = tuple(_rows(old, new, set(untold), pair.tolerance.cost_percent))
    undecided = [Change("costs", Weight.UNDECIDED, unit, f"{unit}: {why}.") for unit, why in untold.items() if why]
    return table, [*map(_change, (row for row in table if row.weight is not Weight.NOTE)), *undecided]


def _incomparable(old: Costs, new: Costs) -> str:
    """Why nothing of the two can be compared; empty if it can."""
    if old.costing != new.costing:
        return "this version of the harness counts them in another way"
    if old.workload != new.workload:
        return "the workload is another one: the model, its operations, or how the harness draws them have changed"
    if old.operations != new.operations:
        return "the store takes other operations of the workload than before"
    return ""


def _not_compared(old: Costs, new: Costs) -> Iterator[tuple[str, str]]:
    """Units that can't be compared, and why; without a reason where there was nothing to compare with before."""
    if _feature(old.python) != _feature(new.python):
        for unit in OF_PYTHON:
            yield unit, f"counted under Python {old.python} before, and under {new.python} now"
    before = {item.unit: "" for item in old.left_out}
    yield from before.items()
    for item in new.left_out:
        if item.unit not in before:
            yield item.unit, f"left out now, because {item.reason}"


def _feature(version: str) -> list[str]:
    return version.split(".")[:2]


def _rows(old: Costs, new: Costs, left_out: set[str], percent: float) -> Iterator[CostChange]:
    before = {(item.operation, item.unit): item.amount for item in old.amounts}
    now = {(item.operation, item.unit): item.amount for item in new.amounts}
    for operation, unit in dict.fromkeys([*before, *now]):
        if unit not in left_out and (unit in OF_PYTHON or SYSTEM_CALLS not in left_out):
            had, has = before.get((operation, unit), 0), now.get((operation, unit), 0)
            slack = BLOCKS_SLACK if unit == BLOCKS else 0
            yield CostChange(operation, unit, had, has, _weight(had, has, percent, slack))


def _weight(had: int, has: int, percent: float, slack: int) -> Weight:
    """Any cost that was none before is a regression, and nothing below `slack` is a change."""
    if abs(has - had) <= slack:
        return Weight.NOTE
    if has < had:
        return Weight.IMPROVEMENT
    return Weight.REGRESSION if has > had * (1 + percent / 100) else Weight.NOTE


def _change(row: CostChange) -> Change:
    told = f"{row.old:,} before, {row.new:,} now"
    percent = "" if row.percent is None else f" ({row.percent:+.1f} %)"
    subject = f"{row.unit} of {row.operation}"
    return Change("costs", row.weight, subject, f"{subject}: {told}{percent}.", f"{row.old:,}", f"{row.new:,}")
