"""How much memory a long trace takes: recording, enumerating crash states, knowing what is admissible."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.lengthy import Lengthy
from benchmarks.measuring import campaign, in_worker, ratio
from benchmarks.stores import RECORD_LOG, steady_steps
from benchmarks.table import Column, Table
from harness.core.workload import Workload
from harness.run.recording import RecordJob

AIM_BYTES = 500 * 2**20


@dataclass(frozen=True, slots=True)
class Size:
    """How long the trace is, at least."""

    events: int


FULL = Size(events=100_000)
QUICK = Size(events=600)
#: Events of a workload of `steady_steps` for one of its operations, rounded down.
EVENTS_FOR_ONE = 3


def run(size: Size) -> tuple[Table, ...]:
    """Each stage in a process of its own, because a peak never goes down."""
    with campaign(RECORD_LOG.spec) as run_:
        file = run_.new_file()
        workload = Workload("steady", steady_steps(size.events // EVENTS_FOR_ONE + 1))
        stages: list[tuple[str, Lengthy]] = [
            (
                "recording; operations",
                in_worker(run_, "benchmarks.lengthy:record_workload", RecordJob(workload, file)),
            ),
            ("enumerating, strict; states", in_worker(run_, "benchmarks.lengthy:enumerate_states", file)),
            ("oracle; admissible states", in_worker(run_, "benchmarks.lengthy:admit", file)),
        ]
    columns = (
        Column("stage; what it counts"),
        Column("events", ",d"),
        Column("count", ",d"),
        Column("process before, MiB", ",.0f"),
        Column("peak, MiB", ",.0f"),
        Column("peak / aim", ".2f"),
        Column("bytes per event", ",.0f"),
        Column("cpu, s", ",.2f"),
    )
    notes = ("The aim is 500 MiB. Resident memory, all of the process: interpreter and libraries too.",)
    rows = tuple(_row(name, stage) for name, stage in stages)
    return (Table("memory", "Memory for a long trace", columns, rows, notes),)


def _row(name: str, stage: Lengthy) -> tuple[object, ...]:
    return (
        name,
        stage.events,
        stage.items,
        stage.before_bytes / 2**20,
        stage.peak_bytes / 2**20,
        ratio(stage.peak_bytes, AIM_BYTES),
        ratio(stage.peak_bytes - stage.before_bytes, stage.events),
        stage.spent.cpu_s,
    )
