"""Costs arranged for the page: units in rows, kinds of operations in columns."""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.costs import Costs


@dataclass(frozen=True, slots=True)
class CostTable:
    """`columns` are kinds of operations and how many there are, 0 for what is counted once for everything."""

    operations: int
    columns: tuple[tuple[str, int], ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def table(costs: Costs) -> CostTable:
    """The mean of one operation in each cell; empty where there is none."""
    amounts = {(item.operation, item.unit): item.amount for item in costs.amounts}
    kinds = list(dict.fromkeys([*costs.operations, *(item.operation for item in costs.amounts)]))
    columns = tuple((kind, costs.operations.get(kind, 0)) for kind in kinds)
    rows = tuple(
        (unit, tuple(_cell(amounts.get((kind, unit)), number) for kind, number in columns))
        for unit in sorted({item.unit for item in costs.amounts}, key=lambda unit: (unit[0].isupper(), unit))
    )
    return CostTable(sum(costs.operations.values()), columns, rows)


def _cell(amount: int | None, number: int) -> str:
    if amount is None:
        return ""
    mean = amount / (number or 1)
    return f"{mean:,.0f}" if mean == int(mean) else f"{mean:,.2f}"
