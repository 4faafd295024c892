"""Two processes, one operation each, at the same time: do their results look as if one came after the other?"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.models import SequentialModel, equals
from harness.core.operations import describe
from harness.judge.classify import Violation


@dataclass(frozen=True, slots=True)
class Attempted:
    """An operation that one of several processes began, and whether it returned."""

    operation: Any
    acknowledged: bool


def judge_contended(
    model: SequentialModel, before: Any, attempted: Sequence[Attempted], recovered: Any
) -> Violation | None:
    """The broken promise, or `None`: every acknowledged operation has happened, in whatever order; one that raised
    may have. `before` is the state in which all of them began."""
    optional = [item for item in attempted if not item.acknowledged]
    owed = [item for item in attempted if item.acknowledged]
    for kept in _subsets(optional):
        if _reached(model, before, (*owed, *kept), recovered):
            return None
    shown = f"reading gives {describe(recovered)}"
    for lost in _subsets(owed):
        rest = [item for item in owed if item not in lost]
        if lost and any(_reached(model, before, (*rest, *kept), recovered) for kept in _subsets(optional)):
            names = " and ".join(describe(item.operation) for item in lost)
            return Violation("lost_update", f"{names} returned in one process and is gone: {shown}")
    names = " and ".join(describe(item.operation) for item in attempted)
    return Violation("torn_operation", f"no order of {names} explains what is there: {shown}")


def _subsets(items: Sequence[Attempted]) -> list[tuple[Attempted, ...]]:
    return [chosen for size in range(len(items) + 1) for chosen in itertools.combinations(items, size)]


def _reached(model: SequentialModel, before: Any, items: Sequence[Attempted], recovered: Any) -> bool:
    for order in itertools.permutations(items):
        state = before
        for item in order:
            state = model.step(state, item.operation)[0]
        if equals(model, recovered, state):
            return True
    return False
