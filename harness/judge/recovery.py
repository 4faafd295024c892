"""What one recovery showed, and the verdict on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.judge.classify import Violation, classify
from harness.judge.oracle import Oracle, Window


@dataclass(frozen=True, slots=True)
class Recovery:
    """Everything that was seen when a store was opened after a crash.

    `problem` is the kind of a finding that does not depend on what was promised ("" if none).
    `recovered` is what the first reading gave, `matches` the numbers of operations after which
    a correct store could show it. `wrote` tells whether recovery changed the directory, `raised` whether the problem is
    an exception.
    """

    problem: str = ""
    detail: str = ""
    recovered: Any = None
    matches: tuple[int, ...] = ()
    wrote: bool = False
    raised: bool = False


def judge(oracle: Oracle, recovery: Recovery, admissible: Window) -> Violation | None:
    """The broken promise that `recovery` shows, or `None`."""
    if recovery.problem:
        return Violation(recovery.problem, recovery.detail)
    if any(admissible.lowest <= count <= admissible.highest for count in recovery.matches):
        return None
    return classify(oracle, recovery.recovered, admissible)
