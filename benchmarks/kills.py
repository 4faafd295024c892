"""How many writers are killed in a second, beside what it takes the store to open what is left.

A kill is a process forked for the workload, killed, and a second one in which the store is recovered and judged, unless
the same contents were judged before. The bare reopen is open, snapshot and close, in a process without the harness.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.bare import StoreCosts
from benchmarks.exploring import Recovery
from benchmarks.killing import Killed
from benchmarks.measuring import campaign, in_worker, middle, ratio
from benchmarks.stores import SUBJECTS, Subject
from benchmarks.table import Column, Table
from harness.core.workload import Workload
from harness.explore.workloads import Extent, workloads
from harness.run.campaign import Campaign
from harness.run.live.campaign import chosen_workloads
from harness.run.loading import load_adapter
from harness.run.options import PROFILES


@dataclass(frozen=True, slots=True)
class Size:
    """How much to measure."""

    short: int
    repetitions: int
    subjects: tuple[Subject, ...] = SUBJECTS


FULL = Size(short=16, repetitions=3)
QUICK = Size(short=1, repetitions=1, subjects=SUBJECTS[:1])


@dataclass(frozen=True, slots=True)
class Turn:
    """In turns: the kills, and the store alone."""

    killed: Killed
    store: StoreCosts

    @property
    def kill_s(self) -> float:
        """Processor time of one kill, its recovery included."""
        return self.killed.spent.cpu_s / self.killed.kills

    @property
    def reopening_s(self) -> float:
        return self.store.reopening.cpu_s / len(self.killed.images)


def run(size: Size) -> tuple[Table, ...]:
    """The figures of all stores of `size`."""
    columns = (
        Column("store"),
        Column("kills", ",d"),
        Column("contents recovered", ",d"),
        Column("kills per second", ",.0f"),
        Column("ms of processor per kill", ",.2f"),
        Column("kill / bare reopen", ",.1f"),
    )
    rows = tuple(_row(subject, _turns(subject, size)) for subject in size.subjects)
    notes = ("One worker. Most of a kill is forking: a bare reopen is a fraction of a millisecond.",)
    return (Table("kills", "Killing writers", columns, rows, notes),)


def _turns(subject: Subject, size: Size) -> list[Turn]:
    made = workloads(load_adapter(subject.spec), seed=0, extent=Extent(size.short, (), large=False))
    chosen = chosen_workloads(made, PROFILES["quick"].live)
    with campaign(subject.spec) as run_:
        return [_turn(run_, chosen) for _ in range(size.repetitions)]


def _turn(run_: Campaign, made: list[Workload]) -> Turn:
    killed: Killed = in_worker(run_, "benchmarks.killing:kill_writers", made, like="try_faults")
    recoveries = [Recovery(image, "", ()) for image in killed.images]
    return Turn(killed, in_worker(run_, "benchmarks.bare:store_costs", recoveries))


def _row(subject: Subject, turns: list[Turn]) -> tuple[object, ...]:
    first = turns[0].killed
    return (
        subject.name,
        first.kills,
        first.recovered,
        middle([turn.killed.kills / turn.killed.spent.wall_s for turn in turns]),
        1e3 * middle([turn.kill_s for turn in turns]),
        middle([ratio(turn.kill_s, turn.reopening_s) for turn in turns]),
    )
