"""How fast crash states are judged, beside the calls of the store that this takes.

The store's share is measured in turns with the harness: the same calls, in the same order, on
prepared directories, in a process without the harness. Everything else is the harness's: enumerating,
materializing, recovering, comparing, watching the clock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.bare import StoreCosts
from benchmarks.exploring import Explorations, Recovery, interpreter_for_each
from benchmarks.measuring import Spent, campaign, in_worker, middle, ratio, recorded
from benchmarks.stores import SUBJECTS, Subject
from benchmarks.table import Column, Table
from harness.core.persistence import PROCESS_CRASH
from harness.core.workload import Workload
from harness.crash.states import Limits
from harness.explore.workloads import Extent, workloads
from harness.run.campaign import Campaign
from harness.run.exploring import ExploreJob, Plan
from harness.run.loading import load_adapter

LIMITS = Limits(states_per_point=2_000, bounded_per_point=120)


@dataclass(frozen=True, slots=True)
class Size:
    """How much to measure: workloads, repetitions, and contents given a process of their own."""

    short: int
    long_steps: tuple[int, ...]
    repetitions: int
    forks: int
    interpreters: int
    subjects: tuple[Subject, ...] = SUBJECTS


FULL = Size(short=24, long_steps=(12, 28), repetitions=3, forks=200, interpreters=5)
QUICK = Size(short=2, long_steps=(), repetitions=1, forks=4, interpreters=1, subjects=SUBJECTS[:1])


@dataclass(frozen=True, slots=True)
class Turn:
    """In turns: the harness, the store alone, a process for each state, and crashes during recovery."""

    harness: Explorations
    store: StoreCosts
    forking: Spent
    starting: Spent
    nested: Explorations

    @property
    def reopening_s(self) -> float:
        return self.store.reopening.cpu_s / self.harness.recoveries

    @property
    def calls_s(self) -> float:
        return self.store.all_calls.cpu_s / self.harness.recoveries


@dataclass(frozen=True, slots=True)
class Measured:
    """All turns of one store."""

    subject: Subject
    size: Size
    turns: tuple[Turn, ...]


def run(size: Size) -> tuple[Table, ...]:
    """The figures of all stores of `size`."""
    measured = [_measure(subject, size) for subject in size.subjects]
    return (_first_table(measured), _process_table(measured), _nested_table(measured))


def explore_jobs(run_: Campaign, made: Sequence[Workload]) -> list[ExploreJob]:
    """What a certification would explore: recorded workloads under every model of the contract."""
    contract = load_adapter(run_.spec).contract
    plans = (
        Plan(PROCESS_CRASH, "process_crash", (contract.process_crash,)),
        *(Plan(model, "power_loss", (contract.power_loss,)) for model in contract.models()),
    )
    return [
        ExploreJob(workload.name, file, plans, 0, 0, LIMITS, samples=1)
        for workload, file in zip(made, recorded(run_, made), strict=True)
    ]


def nested(jobs: list[ExploreJob]) -> list[ExploreJob]:
    """The same with crashes during recovery."""
    return [dataclasses.replace(job, depth=1) for job in jobs]


def _measure(subject: Subject, size: Size) -> Measured:
    extent = Extent(size.short, size.long_steps, large=False)
    made = workloads(load_adapter(subject.spec), seed=0, extent=extent)
    with campaign(subject.spec) as run_:
        jobs = explore_jobs(run_, [*made.short, *made.long])
        recoveries: list[Recovery] = in_worker(run_, "benchmarks.exploring:store_calls", jobs)
        turns = [_turn(run_, jobs, recoveries, size, number) for number in range(size.repetitions)]
    return Measured(subject, size, tuple(turns))


def _turn(run_: Campaign, jobs: list[ExploreJob], recoveries: list[Recovery], size: Size, number: int) -> Turn:
    folder = run_.directory / f"interpreters-{number}"
    folder.mkdir()
    forked, started = _spread(recoveries, size.forks), _spread(recoveries, size.interpreters)
    return Turn(
        in_worker(run_, "benchmarks.exploring:explore", jobs),
        in_worker(run_, "benchmarks.bare:store_costs", recoveries),
        in_worker(run_, "benchmarks.exploring:fork_for_each", forked),
        interpreter_for_each(run_.spec, folder, started),
        in_worker(run_, "benchmarks.exploring:explore", nested(jobs)),
    )


def _spread(recoveries: list[Recovery], count: int) -> list[Recovery]:
    """`count` of them, evenly."""
    return [recoveries[number * len(recoveries) // count] for number in range(count)]


# --- the tables ----------------------------------------------------------------------------


def _first_table(measured: list[Measured]) -> Table:
    columns = (
        Column("store"),
        Column("states", ",d"),
        Column("recoveries", ",d"),
        Column("states/s/core", ",.0f"),
        Column("reopening, us", ",.0f"),
        Column("state / reopening", ".2f"),
        Column("state / its calls", ".2f"),
        Column("recovery / reopening", ".2f"),
        Column("all / store calls", ".2f"),
        Column("all / store calls, wall", ".2f"),
    )
    notes = (
        "states: judged, each with a verdict; recoveries: run, each for all states that look the same to it.",
        "reopening: open, snapshot, close of the bare store; its calls: all those that one recovery makes.",
        "all / store calls: everything that judging took, over the calls made (aim: at most 2).",
    )
    title = "Judging crash states, against the store's own calls"
    return Table("judged", title, columns, tuple(map(_first_row, measured)), notes)


def _first_row(measured: Measured) -> tuple[Any, ...]:
    turns, first = measured.turns, measured.turns[0].harness
    states, recoveries = first.states, first.recoveries
    return (
        measured.subject.name,
        states,
        recoveries,
        ratio(states, middle([turn.harness.spent.cpu_s for turn in turns])),
        1e6 * middle([turn.store.reopening.cpu_s for turn in turns]) / recoveries,
        middle([ratio(turn.harness.spent.cpu_s / states, turn.reopening_s) for turn in turns]),
        middle([ratio(turn.harness.spent.cpu_s / states, turn.calls_s) for turn in turns]),
        middle([ratio(turn.harness.spent.cpu_s / recoveries, turn.reopening_s) for turn in turns]),
        middle([ratio(turn.harness.spent.cpu_s, turn.store.all_calls.cpu_s) for turn in turns]),
        middle([ratio(turn.harness.spent.wall_s, turn.store.all_calls.wall_s) for turn in turns]),
    )


def _process_table(measured: list[Measured]) -> Table:
    columns = (
        Column("store"),
        Column("warm worker, us", ",.0f"),
        Column("a fork for each, us", ",.0f"),
        Column("an interpreter for each, us", ",.0f"),
        Column("fork / warm", ",.1f"),
        Column("interpreter / warm", ",.0f"),
    )
    notes = ("Processor time for one recovery with its verdict; the clock on the wall gives more.",)
    title = "A warm worker, against a process for each state"
    return Table("judged-processes", title, columns, tuple(map(_process_row, measured)), notes)


def _process_row(measured: Measured) -> tuple[Any, ...]:
    turns = measured.turns
    warm = [turn.harness.spent.cpu_s / turn.harness.recoveries for turn in turns]
    forking = [turn.forking.cpu_s / measured.size.forks for turn in turns]
    starting = [turn.starting.cpu_s / measured.size.interpreters for turn in turns]
    return (
        measured.subject.name,
        *(1e6 * middle(times) for times in (warm, forking, starting)),
        middle([ratio(*pair) for pair in zip(forking, warm, strict=True)]),
        middle([ratio(*pair) for pair in zip(starting, warm, strict=True)]),
    )


def _nested_table(measured: list[Measured]) -> Table:
    columns = (
        Column("store"),
        Column("recoveries crashed", ",d"),
        Column("further states", ",d"),
        Column("further recoveries", ",d"),
        Column("one of them, us", ",.0f"),
        Column("one / first-crash recovery", ".2f"),
        Column("all / first crashes only", ".2f"),
    )
    notes = (
        "A recovery that wrote something is recorded, once for all models, and crashed at each of its calls.",
        "One of them: recorded, enumerated under one model, and judged, spread over all.",
    )
    title = "Crashes during recovery"
    return Table("judged-nested", title, columns, tuple(map(_nested_row, measured)), notes)


def _nested_row(measured: Measured) -> tuple[Any, ...]:
    turns, deep = measured.turns, measured.turns[0].nested
    recoveries = turns[0].harness.recoveries
    more = [turn.nested.spent.cpu_s - turn.harness.spent.cpu_s for turn in turns]
    one = [spent / max(1, deep.recordings) for spent in more]
    warm = [turn.harness.spent.cpu_s / recoveries for turn in turns]
    return (
        measured.subject.name,
        deep.recordings,
        deep.nested_states,
        deep.recoveries - recoveries,
        1e6 * middle(one),
        middle([ratio(*pair) for pair in zip(one, warm, strict=True)]),
        middle([ratio(turn.nested.spent.cpu_s, turn.harness.spent.cpu_s) for turn in turns]),
    )
