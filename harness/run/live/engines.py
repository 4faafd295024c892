"""The engines that there are, by name, and what each of them has to offer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from harness.core.workload import Workload
from harness.judge.classify import Violation
from harness.run.live.bench import Bench
from harness.run.live.calls import CallsEngine
from harness.run.live.clocks import ClockEngine
from harness.run.live.damage import DamageEngine
from harness.run.live.disks import MOUNT_BYTES, DisksEngine
from harness.run.live.fakes import FakeDisksEngine
from harness.run.live.hunting import MachineEngine, without_hypothesis
from harness.run.live.kills import KillEngine, RandomKillEngine
from harness.run.live.leaks import LeakEngine
from harness.run.live.nemesis import NemesisEngine
from harness.run.live.resources import ResourceEngine
from harness.run.live.syncs import SyncsEngine
from harness.run.live.threads import ThreadsEngine
from harness.run.live.threads_failing import FailingThreadsEngine
from harness.run.live.threads_power import PowerThreadsEngine
from harness.run.live.values import Trial
from harness.run.live.writers import ProcessesEngine, RacesEngine, WriterKillsEngine
from harness.run.live.writers_clocks import WriterClocksEngine
from harness.run.live.writers_disks import WriterDisksEngine
from harness.run.live.writers_stops import TwoStopsEngine


class Engine(Protocol):
    """One workload on one bench. Faults are values that can be pickled, compared and described in words."""

    def rehearse(self) -> str:
        """Run the workload without any fault; why nothing can be tried, in words, or nothing."""

    @property
    def operations(self) -> int:
        """How many operations the rehearsal carried out."""

    def faults(self) -> Iterable[Any]:
        """All faults for this workload, the same ones for the same seed."""

    def attempt(self, fault: Any) -> Trial:
        """Try one of them. Leaves nothing behind: the next trial starts afresh."""

    def ended(self, fault: Any, violation: Violation) -> Trial:
        """What to say of a trial that hung or ended its process; nothing of it may be run again here."""


def _nothing() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class EngineKind:
    """How to make an engine of a kind, and how its workers differ from others.

    `make(bench, workload, claim, promise)`. `fault_types` are the classes of its faults and of the enumerations in
    them. `mount_bytes` is the size of the private file system that it needs, 0 for the usual one. `deterministic` is
    false where real races or a real clock decide. `noun` says what is tried, in the plural. `ordered`: the faults that
    say most come first, so that a budget cuts the tail; else it takes some from all parts of the list. `cost` is how
    many trials of other engines one of this takes; `least` are tried of each workload whatever the
    budget. `needs_power_loss`, `needs_io_error`, `needs_writers`: it judges by what is promised about that. `forks`: it
    needs fork(2). `hunts`: it makes its own workloads, and gets a budget of hunts instead. `missing` says
    what this machine lacks for it, or nothing. `essential`: if it can strike nothing in a store, the claim stays open,
    whatever others do. `compound`: several faults strike in one trial, so that it is hard to say which did the harm.
    `scheduled`: its faults are schedules, and a user may give them.
    `follows`: when its faults have been tried it has more, which it learnt of meanwhile (`afterwards`), of which
    `following_least` are tried whatever the budget. `applies`: it then knows which faults apply to each call
    (`applicable`). `watches`: it has something to say of what is no violation (`notes`), and counts `lock_orders`.
    `promises` are those that it can try, where it can't try every one.
    """

    make: Callable[[Bench, Workload, str, str], Engine]
    fault_types: tuple[type, ...]
    noun: str = "faults"
    mount_bytes: int = 0
    deterministic: bool = True
    ordered: bool = False
    cost: int = 1
    least: int = 1
    needs_power_loss: bool = False
    needs_io_error: bool = False
    needs_writers: bool = False
    forks: bool = False
    hunts: bool = False
    missing: Callable[[], str] = _nothing
    essential: bool = False
    compound: bool = False
    scheduled: bool = False
    follows: bool = False
    following_least: int = 0
    applies: bool = False
    watches: bool = False
    promises: tuple[str, ...] = ()


ENGINES: dict[str, EngineKind] = {
    "damage": EngineKind(DamageEngine, DamageEngine.fault_types, "damages", ordered=True, essential=True),
    "failing-calls": EngineKind(
        CallsEngine,
        CallsEngine.fault_types,
        "failing calls",
        ordered=True,
        cost=2,
        essential=True,
        follows=True,
        applies=True,
    ),
    "failing-syncs": EngineKind(
        SyncsEngine, SyncsEngine.fault_types, "failed syncs", ordered=True, cost=20, needs_power_loss=True
    ),
    "full-disk": EngineKind(
        DisksEngine, DisksEngine.fault_types, "full disks", mount_bytes=MOUNT_BYTES, ordered=True, cost=4
    ),
    "kills": EngineKind(KillEngine, KillEngine.fault_types, "kills", forks=True, essential=True),
    "random-kills": EngineKind(RandomKillEngine, KillEngine.fault_types, "kills", deterministic=False, forks=True),
    "nemesis": EngineKind(
        NemesisEngine, NemesisEngine.fault_types, "schedules", cost=15, forks=True, compound=True, scheduled=True
    ),
    "clocks": EngineKind(ClockEngine, ClockEngine.fault_types, "clock faults", deterministic=False),
    "resources": EngineKind(ResourceEngine, ResourceEngine.fault_types, "shortages"),
    "leaks": EngineKind(LeakEngine, LeakEngine.fault_types, "cycles", deterministic=False, forks=True),
    "machine": EngineKind(
        MachineEngine,
        MachineEngine.fault_types,
        "hunts for a program",
        hunts=True,
        missing=without_hypothesis,
        compound=True,
    ),
    "writers-threads": EngineKind(
        ThreadsEngine,
        ThreadsEngine.fault_types,
        "schedules of threads",
        ordered=True,
        cost=30,
        forks=True,
        follows=True,
        following_least=12,
        watches=True,
        promises=("threads", "processes"),
    ),
    "power-loss-threads": EngineKind(
        PowerThreadsEngine,
        PowerThreadsEngine.fault_types,
        "schedules of threads with a loss of power",
        ordered=True,
        cost=60,
        forks=True,
        needs_power_loss=True,
        needs_writers=True,
    ),
    "failing-threads": EngineKind(
        FailingThreadsEngine,
        FailingThreadsEngine.fault_types,
        "schedules of threads with a call that fails",
        ordered=True,
        cost=30,
        forks=True,
        needs_writers=True,
    ),
    "writers-processes": EngineKind(
        ProcessesEngine,
        ProcessesEngine.fault_types,
        "stopped processes",
        ordered=True,
        cost=60,
        forks=True,
        promises=("processes",),
    ),
    "writers-kills": EngineKind(
        WriterKillsEngine,
        WriterKillsEngine.fault_types,
        "killed processes",
        ordered=True,
        cost=80,
        forks=True,
        promises=("processes",),
    ),
    "writers-clocks": EngineKind(
        WriterClocksEngine,
        WriterClocksEngine.fault_types,
        "steps of a shared clock",
        deterministic=False,
        ordered=True,
        cost=60,
        forks=True,
        promises=("processes",),
    ),
    "writers-full-disk": EngineKind(
        WriterDisksEngine,
        WriterDisksEngine.fault_types,
        "failures of one of several",
        ordered=True,
        cost=60,
        forks=True,
        needs_io_error=True,
        promises=("processes",),
    ),
    "writers-two-stops": EngineKind(
        TwoStopsEngine,
        TwoStopsEngine.fault_types,
        "pairs of stopped processes",
        ordered=True,
        cost=120,
        forks=True,
        promises=("processes",),
    ),
    "writers-races": EngineKind(
        RacesEngine,
        RacesEngine.fault_types,
        "races",
        deterministic=False,
        ordered=True,
        cost=240,
        least=3,
        forks=True,
        essential=True,
        compound=True,
        promises=("processes",),
    ),
    "fake-disk": EngineKind(
        FakeDisksEngine, FakeDisksEngine.fault_types, "full disks in memory", ordered=True, cost=50
    ),
}


def fault_types() -> dict[str, type]:
    """The classes of all faults, and of the enumerations in them, by name."""
    return {kind.__name__: kind for engine in ENGINES.values() for kind in engine.fault_types}
