"""What a scenario is: a named experiment that tries to break one claim."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenario:
    """Which claim an experiment tries to break, with which workloads and faults.

    `family` names the workloads ("short", "long", "large"). `during_recovery` says that the
    crash happens while the store recovers from another one. `minimum_operations` is what a
    workload must acknowledge for its evidence to mean anything.
    """

    name: str
    claim: str
    tries: str
    faults: tuple[str, ...]
    family: str
    during_recovery: bool = False
    minimum_operations: int = 1
