"""Clocks, medians, and work done in a worker of the harness."""

from __future__ import annotations

import dataclasses
import math
import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.workload import Workload
from harness.run.campaign import Campaign
from harness.run.options import Options
from harness.run.pool import Done, run_once

TIME_LIMIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of processor and of the clock on the wall."""

    cpu_s: float = 0.0
    wall_s: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.cpu_s + other.cpu_s, self.wall_s + other.wall_s)


def now() -> Spent:
    """The two clocks. Processor time is that of this process and of the children that it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = time.process_time() + children.ru_utime + children.ru_stime
    return Spent(cpu_s, time.perf_counter())


def since(start: Spent) -> Spent:
    """What was spent from `start` until now."""
    end = now()
    return Spent(end.cpu_s - start.cpu_s, end.wall_s - start.wall_s)


def middle(values: Sequence[float]) -> float:
    """The median; NaN of nothing."""
    return statistics.median(values) if values else math.nan


def ratio(upper: float, lower: float) -> float:
    """`upper / lower`; NaN where the clock was too coarse for the lower one."""
    return upper / lower if lower > 0 else math.nan


def slope(sizes: Sequence[float], times: Sequence[float]) -> float:
    """The slope of time over size, both logarithmic, by least squares: 1 is linear, 2 is quadratic."""
    points = [(math.log(size), math.log(spent)) for size, spent in zip(sizes, times, strict=True) if spent > 0]
    if len(points) < 2:
        return math.nan
    return statistics.linear_regression(*zip(*points, strict=True)).slope


# --- in workers ----------------------------------------------------------------------------


def campaign(spec: str) -> Campaign:
    """One worker at a time for the adapter `spec`, in a private directory. A context manager."""
    return Campaign(spec, Options(jobs=1, time_limit_s=TIME_LIMIT_S))


def in_worker(run: Campaign, task: str, job: Any, *, like: str = "") -> Any:
    """The result of `task` ("package.module:function") for `job`, in a fresh worker, patched as those for `like`."""
    setup = dataclasses.replace(run.setup(like), task=task, memory_bytes=0)
    outcome = run_once(setup, job, TIME_LIMIT_S)
    if not isinstance(outcome, Done):
        raise RuntimeError(f"{task}: {outcome.phase} {outcome.how}, {outcome.detail}")
    return outcome.result


def recorded(run: Campaign, workloads: Sequence[Workload]) -> list[str]:
    """The files of the traces of all `workloads`.

    Raises `RuntimeError` if the recorder did not see everything: then there is nothing to measure.
    """
    results = run.record(list(workloads))
    unseen = [reason for result in results for reason in result.unseen]
    if unseen:
        raise RuntimeError(f"{run.spec} can't be recorded here: {unseen[0]}")
    return [result.trace_file for result in results]


def data_folder(directory: Path) -> Path:
    """A new directory below the one that a worker was given."""
    number = sum(1 for _ in directory.iterdir())
    folder = directory / f"part-{number}"
    folder.mkdir()
    return folder
