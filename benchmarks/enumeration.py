"""What it takes to enumerate crash states, without recovering any: per state, for each preset."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.bare import StoreCosts
from benchmarks.exploring import Recovery
from benchmarks.judged import LIMITS, explore_jobs
from benchmarks.measuring import Spent, campaign, in_worker, middle, now, ratio, since
from benchmarks.stores import METRICS_STORE, RECORD_LOG, Subject
from benchmarks.table import Column, Table
from harness.core.persistence import PRESETS, PersistenceModel
from harness.core.trace import Trace
from harness.crash.states import Counts, Enumerator
from harness.explore.workloads import Extent, workloads
from harness.run.loading import load_adapter


@dataclass(frozen=True, slots=True)
class Size:
    """How much to measure."""

    short: int
    long_steps: tuple[int, ...]
    repetitions: int
    subjects: tuple[Subject, ...]


FULL = Size(short=12, long_steps=(12, 28), repetitions=3, subjects=(RECORD_LOG, METRICS_STORE))
QUICK = Size(short=1, long_steps=(), repetitions=1, subjects=(RECORD_LOG,))


@dataclass(frozen=True, slots=True)
class Enumerated:
    """One model, all traces, once."""

    generated: int
    distinct: int
    spent: Spent


def run(size: Size) -> tuple[Table, ...]:
    """The figures of all stores of `size` under all presets."""
    columns = (
        Column("store, model"),
        Column("generated", ",d"),
        Column("distinct", ",d"),
        Column("us per generated", ",.1f"),
        Column("us per distinct", ",.1f"),
        Column("distinct / reopening", ".2f"),
    )
    rows = tuple(row for subject in size.subjects for row in _rows(subject, size))
    notes = ("reopening: open, snapshot and close of the bare store, measured in turns with the enumeration.",)
    return (Table("enumeration", "Enumerating crash states", columns, rows, notes),)


def _rows(subject: Subject, size: Size) -> Iterable[tuple[object, ...]]:
    extent = Extent(size.short, size.long_steps, large=False)
    made = workloads(load_adapter(subject.spec), seed=0, extent=extent)
    turns: dict[str, list[tuple[Enumerated, float]]] = {name: [] for name in PRESETS}
    with campaign(subject.spec) as run_:
        jobs = explore_jobs(run_, [*made.short, *made.long])
        traces = [_load(job.trace_file) for job in jobs]
        recoveries: list[Recovery] = in_worker(run_, "benchmarks.exploring:store_calls", jobs)
        for _ in range(size.repetitions):
            costs: StoreCosts = in_worker(run_, "benchmarks.bare:store_costs", recoveries)
            for name, model in PRESETS.items():
                turns[name].append((enumerate_all(traces, model), costs.reopening.cpu_s / len(recoveries)))
    return [_row(f"{subject.name}, {name}", found) for name, found in turns.items()]


def _load(file: str) -> Trace:
    with open(file, "rb") as stream:
        trace: Trace = pickle.load(stream)
    return trace


def enumerate_all(traces: Iterable[Trace], model: PersistenceModel) -> Enumerated:
    """Go through all states of all traces."""
    counts: list[Counts] = []
    start = now()
    for trace in traces:
        enumerator = Enumerator(trace, model, limits=LIMITS)
        for _ in enumerator:
            pass
        counts.append(enumerator.counts)
    spent = since(start)
    return Enumerated(sum(one.generated for one in counts), sum(one.distinct for one in counts), spent)


def _row(label: str, turns: list[tuple[Enumerated, float]]) -> tuple[object, ...]:
    first = turns[0][0]
    spent = middle([enumerated.spent.cpu_s for enumerated, _ in turns])
    return (
        label,
        first.generated,
        first.distinct,
        1e6 * spent / first.generated,
        1e6 * spent / first.distinct,
        middle([ratio(found.spent.cpu_s / found.distinct, reopening) for found, reopening in turns]),
    )
