"""Workloads: what a client does with a store while it is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.core.operations import describe


@dataclass(frozen=True, slots=True)
class Reopen:
    """Close the store and open it again: a step of a workload, no operation of a model."""


@dataclass(frozen=True, slots=True)
class By:
    """An operation of one of several clients: 0 comes before all others, those from 1 on work at the same time."""

    client: int
    operation: Any


@dataclass(frozen=True, slots=True)
class Workload:
    """Named steps for one store: operations of its model, and `Reopen`."""

    name: str
    steps: tuple[Any, ...]

    @property
    def operations(self) -> tuple[Any, ...]:
        return tuple(step for step in self.steps if not isinstance(step, Reopen))

    def describe(self) -> list[str]:
        """One line of program for each step."""
        return [describe(step) for step in self.steps]
