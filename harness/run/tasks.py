"""What workers do: prepare once, then one job after another.

The recorder is installed before the adapter's module is imported, in workers that record and in
those that recover alike: both look the same to a store. Those that try live faults have more to import, and a module
of their own (`harness.run.live.tasks`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.crash.materialize import Materializer
from harness.record import get_ready, install
from harness.run import measuring
from harness.run.exploring import Explored, ExploreJob, Explorer
from harness.run.judging import Judged, JudgeJob, judge_again
from harness.run.loading import load_adapter
from harness.run.recording import Recorded, RecordJob, record
from harness.run.recovering import Board
from harness.run.worker_main import Setup


@dataclass(slots=True)
class Context:
    """What a worker keeps from job to job. `misuse`: why the adapter can't be loaded here, though the parent could."""

    adapter: Any
    directory: Path
    materializer: Materializer
    misuse: str = ""


def prepare(setup: Setup) -> Context:
    if measured := setup.extra.get("coverage"):
        measuring.begin(measured[0], tuple(measured[1:]))
    install(reading=bool(setup.extra.get("reading")))
    adapter, misuse = _loaded(setup.adapter)
    get_ready()
    directory = Path(setup.directory)
    if setup.extra.get("separate"):  # without a mount of its own each worker needs a directory of its own
        directory = directory / str(os.getpid())
    directory.mkdir(parents=True, exist_ok=True)
    return Context(adapter, directory, Materializer(directory), misuse)


def _loaded(spec: str) -> tuple[Any, str]:
    try:
        return load_adapter(spec), ""
    except UsageError as error:
        return None, str(error)


def record_or_explore(context: Context, job: RecordJob | ExploreJob, board: Board) -> Recorded | Explored:
    """Both in the same workers: starting one takes as long as recording a dozen workloads."""
    if isinstance(job, RecordJob):
        return record_one(context, job, board)
    return explore(context, job, board)


def record_one(context: Context, job: RecordJob, board: Board) -> Recorded:
    if context.misuse:
        return Recorded(job.workload.name, job.trace_file, misuse=context.misuse)
    recorded = record(context.adapter, context.directory, board, job)
    measuring.save()
    return recorded


def explore(context: Context, job: ExploreJob, board: Board) -> Explored:
    explored = Explorer(context.adapter, context.directory, context.materializer, board, job).run()
    measuring.save()
    return explored


def judge_one(context: Context, job: JudgeJob, board: Board) -> Judged:
    return judge_again(context.adapter, context.directory, context.materializer, board, job)
