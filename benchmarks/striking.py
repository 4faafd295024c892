"""Workers that try live faults as a certification does, with a clock beside it."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.measuring import Spent, now, since
from harness.core.trace import Image, empty_image
from harness.core.workload import Workload
from harness.record.scan import scan
from harness.run.live.bench import Bench, Client
from harness.run.live.engines import ENGINES
from harness.run.live.explorer import TrialExplorer
from harness.run.live.values import TrialsJob
from harness.run.recovering import Board
from harness.run.tasks import Context, prepare

__all__ = ["prepare", "strike"]


@dataclass(frozen=True, slots=True)
class Strikes:
    """What to try: `most` faults of `engine` on each workload, by what is promised about `claim`."""

    engine: str
    claim: str
    promise: str
    made: tuple[Workload, ...]
    most: int


@dataclass(frozen=True, slots=True)
class Struck:
    """What it took to try so many faults. `images` are what a workload without any fault leaves, one for each."""

    trials: int
    images: tuple[Image, ...]
    spent: Spent


def strike(context: Context, job: Strikes, board: Board) -> Struck:
    """Every fault of every workload, judged; the rehearsals are no part of it.

    Raises `RuntimeError` where an engine refuses a workload, or the store breaks its promise: stories take longer.
    """
    images, trials, spent = [], 0, Spent()
    for workload in job.made:
        start = now()
        _explorer(context, job, workload, board, most=1).run()
        rehearsed = since(start)
        images.append(_left_by(context, workload, board))
        start = now()
        tried = _explorer(context, job, workload, board, most=job.most).run()
        if tried.refused or tried.found:
            raise RuntimeError(tried.refused or f"{workload.name}: {tried.found[0].trial.violation}")
        whole = since(start)
        spent += Spent(whole.cpu_s - rehearsed.cpu_s, whole.wall_s - rehearsed.wall_s)
        trials += tried.trials - 1
    return Struck(trials, tuple(images), spent)


def _left_by(context: Context, workload: Workload, board: Board) -> Image:
    """The directory after the workload."""
    context.materializer.place(empty_image())
    Client(Bench(context.adapter, context.directory, context.materializer, board, 0)).run(workload)
    return scan(context.directory)


def _explorer(context: Context, job: Strikes, workload: Workload, board: Board, *, most: int) -> TrialExplorer:
    trials = TrialsJob(
        workload.name, job.engine, job.claim, job.promise, workload, 0, most * ENGINES[job.engine].cost, 600.0
    )
    return TrialExplorer(context.adapter, context.directory, context.materializer, board, trials)
