"""How time grows with the length of a trace, for a store that syncs each operation and stays small.

Recording is what comes on top of the same operations without the recorder; exploring is what comes on
top of the calls into the store. Linear is a slope of 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.bare import Steps
from benchmarks.judged import LIMITS
from benchmarks.lengthy import Lengthy
from benchmarks.measuring import Spent, campaign, in_worker, middle, slope
from benchmarks.memory import EVENTS_FOR_ONE
from benchmarks.stores import RECORD_LOG, steady_steps
from benchmarks.table import Column, Table
from harness.core.persistence import STRICT
from harness.core.workload import Workload
from harness.run.campaign import Campaign
from harness.run.exploring import ExploreJob, Plan
from harness.run.recording import RecordJob

STAGES = ("recording", "enumerating", "exploring")


@dataclass(frozen=True, slots=True)
class Size:
    """How long the traces are, in events."""

    events: tuple[int, ...]
    repetitions: int


FULL = Size(events=(500, 1_000, 2_000, 4_000, 8_000), repetitions=3)
QUICK = Size(events=(60, 120), repetitions=1)


def run(size: Size) -> tuple[Table, ...]:
    """All stages for all lengths, in turns."""
    turns: dict[int, list[dict[str, float]]] = {events: [] for events in size.events}
    with campaign(RECORD_LOG.spec) as run_:
        for _ in range(size.repetitions):
            for events in size.events:
                turns[events].append(_times(run_, events))
    columns = (
        Column("stage, without the store"),
        *(Column(f"{events:,} events, ms", ",.0f") for events in size.events),
        Column("last / first, per event", ".2f"),
        Column("slope", ".2f"),
    )
    rows = tuple(_row(stage, turns) for stage in STAGES)
    notes = ("Strict model; processor time. Slope of time over length, both logarithmic (aim: at most 1).",)
    return (Table("growth", "Time against the length of a trace", columns, rows, notes),)


def _times(run_: Campaign, events: int) -> dict[str, float]:
    steps = steady_steps(events // EVENTS_FOR_ONE)
    file = run_.new_file()
    job = RecordJob(Workload(f"steady-{events}", steps), file)
    recorded: Lengthy = in_worker(run_, "benchmarks.lengthy:record_workload", job)
    bare: Spent = in_worker(run_, "benchmarks.bare:operate", Steps(steps))
    enumerated: Lengthy = in_worker(run_, "benchmarks.lengthy:enumerate_states", file)
    plan = Plan(STRICT, "power_loss", ("acknowledged",))
    exploring = ExploreJob("steady", file, (plan,), 0, 0, LIMITS)
    total, store = in_worker(run_, "benchmarks.exploring:timed_calls", exploring)
    times = (recorded.spent.cpu_s - bare.cpu_s, enumerated.spent.cpu_s, total.cpu_s - store.cpu_s)
    return dict(zip(STAGES, times, strict=True))


def _row(stage: str, turns: dict[int, list[dict[str, float]]]) -> tuple[Any, ...]:
    times = {events: middle([turn[stage] for turn in found]) for events, found in turns.items()}
    per_event = [spent / events for events, spent in times.items()]
    return (
        stage,
        *(1e3 * spent for spent in times.values()),
        per_event[-1] / per_event[0],
        slope(list(times), list(times.values())),
    )
