"""How many faults are tried in a second, beside what it takes the store to open what is there.

A failing call is a run of the workload in which it fails, with a recovery after it; a failed sync is a recording, and
the crash states after it; a damaged state is opened and read. The bare reopen is open, snapshot and close, in a process
without the harness, of what the workload leaves.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.bare import StoreCosts
from benchmarks.exploring import Recovery
from benchmarks.measuring import campaign, in_worker, middle, ratio
from benchmarks.stores import METRICS_STORE, Subject
from benchmarks.striking import Strikes, Struck
from benchmarks.table import Column, Table
from harness.core.workload import Workload
from harness.explore.workloads import Extent, workloads
from harness.run.campaign import Campaign
from harness.run.live.campaign import chosen_workloads
from harness.run.loading import load_adapter
from harness.run.options import PROFILES
from store_under_test.defective.catalogue import PACKAGE

SUBJECTS = (
    METRICS_STORE,
    Subject("zoo N1, atomic replace", f"{PACKAGE}.n1_atomic_replace:Adapter"),
    Subject("zoo S2, write-ahead log", f"{PACKAGE}.s2_write_ahead_log:Adapter"),
)
DAMAGED = (
    METRICS_STORE,
    Subject("zoo N6, backup with signal", f"{PACKAGE}.n6_backup_with_signal:Adapter"),
    Subject("zoo N7, damage is an exception", f"{PACKAGE}.n7_damage_is_an_exception:Adapter"),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault, the engine that tries it, and how many are tried on each workload."""

    name: str
    engine: str
    claim: str
    promise: str
    most: int


CALLS = Kind("failing call", "failing-calls", "io_error", "fails_cleanly", 80)
SYNCS = Kind("failed sync", "failing-syncs", "io_error", "fails_cleanly", 12)
DAMAGE = Kind("damaged state", "damage", "corruption", "detected", 240)


@dataclass(frozen=True, slots=True)
class Size:
    """How much to measure: how often each store is reopened for comparison, and what part of the faults is tried."""

    kinds: tuple[Kind, ...]
    reopenings: int
    repetitions: int
    part: float = 1.0
    subjects: tuple[Subject, ...] = SUBJECTS

    def most(self, kind: Kind) -> int:
        """Faults of a kind on each workload."""
        return max(int(kind.most * self.part), 1)


FULL = Size((CALLS, SYNCS), reopenings=200, repetitions=3)
FULL_DAMAGE = Size((DAMAGE,), reopenings=200, repetitions=3, subjects=DAMAGED)
QUICK = Size((CALLS, SYNCS), reopenings=10, repetitions=1, part=0.05, subjects=SUBJECTS[:1])
QUICK_DAMAGE = Size((DAMAGE,), reopenings=10, repetitions=1, part=0.05, subjects=SUBJECTS[:1])


@dataclass(frozen=True, slots=True)
class Turn:
    """In turns: the faults, and the store alone."""

    struck: Struck
    store: StoreCosts
    reopenings: int

    @property
    def fault_s(self) -> float:
        """Processor time of one fault, with all that it takes to judge it."""
        return self.struck.spent.cpu_s / self.struck.trials

    @property
    def reopening_s(self) -> float:
        return self.store.reopening.cpu_s / self.reopenings


def run(name: str, title: str, size: Size) -> tuple[Table, ...]:
    """The figures of all stores and kinds of `size`."""
    columns = (
        Column("store and fault"),
        Column("tried", ",d"),
        Column("per second", ",.0f"),
        Column("ms of processor each", ",.2f"),
        Column("each / bare reopen", ",.0f"),
    )
    rows = [row for subject in size.subjects for row in _rows(subject, size)]
    notes = ("One worker; without the rehearsal of each workload.",)
    return (Table(name, title, columns, tuple(rows), notes),)


def run_calls(size: Size) -> tuple[Table, ...]:
    """Failing calls and failed syncs."""
    return run("faults", "Failing calls, and failed syncs with the crash states after them", size)


def run_damage(size: Size) -> tuple[Table, ...]:
    """Damaged states."""
    return run("damage", "Damaged states", size)


def _rows(subject: Subject, size: Size) -> list[tuple[object, ...]]:
    adapter = load_adapter(subject.spec)
    made = workloads(adapter, seed=0, extent=Extent(16, (), large=False))
    chosen = tuple(chosen_workloads(made, PROFILES["quick"].live))
    with campaign(subject.spec) as run_:
        return [_row(subject, kind, _turns(run_, kind, chosen, size)) for kind in size.kinds]


def _turns(run_: Campaign, kind: Kind, chosen: tuple[Workload, ...], size: Size) -> list[Turn]:
    job = Strikes(kind.engine, kind.claim, kind.promise, chosen, size.most(kind))
    return [_turn(run_, job, size.reopenings) for _ in range(size.repetitions)]


def _turn(run_: Campaign, job: Strikes, reopenings: int) -> Turn:
    struck: Struck = in_worker(run_, "benchmarks.striking:strike", job, like="try_faults")
    images = [struck.images[number % len(struck.images)] for number in range(reopenings)]
    recoveries = [Recovery(image, "", ()) for image in images]
    return Turn(struck, in_worker(run_, "benchmarks.bare:store_costs", recoveries), reopenings)


def _row(subject: Subject, kind: Kind, turns: list[Turn]) -> tuple[object, ...]:
    return (
        f"{subject.name}: {kind.name}",
        turns[0].struck.trials,
        middle([ratio(turn.struck.trials, turn.struck.spent.wall_s) for turn in turns]),
        1e3 * middle([turn.fault_s for turn in turns]),
        middle([ratio(turn.fault_s, turn.reopening_s) for turn in turns]),
    )
