"""What a scenario is: a named experiment that tries to break one claim."""

from __future__ import annotations

from dataclasses import dataclass

#: The engine of scenarios that crash recorded traces, and that of those that measure; all others inject live faults.
CRASH_ENGINE = "crash"
MEASURE_ENGINE = "measure"
#: Families of workloads of several clients.
SHARED_FAMILIES = ("pairs", "crowds")
#: The family of the workload with so many operations that not each of them is crashed (`harness.crash.places`).
SPARSE_FAMILY = "many"


@dataclass(frozen=True, slots=True)
class Scenario:
    """Which claim an experiment tries to break, with which workloads and faults.

    `family` names the workloads ("short", "long", "large", "many"; "pairs" and "crowds" are
    those of several clients). `during_recovery` says that the
    crash happens while the store recovers from another one. `minimum_operations` is what a
    workload must acknowledge for its evidence to mean anything. `engine` is what injects the faults: "crash" for the
    crash states of recorded traces, "measure" for none (a load and a clock), else the name of an engine of live faults.
    `instead` are claims to try, in turn, where `claim` is not promised. Live faults are tried on at most
    `most_workloads`, 0 for as many as the profile says. What is `thorough` is no part of a profile that has no time for
    it, unless it is asked for by name.
    """

    name: str
    claim: str
    tries: str
    faults: tuple[str, ...]
    family: str
    during_recovery: bool = False
    minimum_operations: int = 1
    engine: str = CRASH_ENGINE
    instead: tuple[str, ...] = ()
    most_workloads: int = 0
    thorough: bool = False
