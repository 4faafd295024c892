"""Cycles that a store may go through as often as it likes without anything being left behind."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Cycle(Enum):
    """What is done again and again."""

    REOPEN = "the store is opened, read and closed"
    OVERWRITE = "the store is opened, the same value is written, and the store is closed"


@dataclass(frozen=True, slots=True)
class LeakFault:
    """One kind of cycle. Nothing fails in it.

    `cycles` is how many are made, 0 for as few as it takes to see that nothing grows quickly.
    """

    cycle: Cycle
    cycles: int = 0

    def describe(self) -> str:
        return f"{self.cycle.value}, again and again"
