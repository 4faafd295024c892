"""Workers that try live faults as a certification does, with a clock beside it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from benchmarks.measuring import Spent, now, since
from harness.core.trace import Image, empty_image
from harness.core.workload import Workload
from harness.record.scan import scan
from harness.run.live.bench import Bench, Client
from harness.run.live.engines import ENGINES
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
        bench = Bench(context.adapter, context.directory, context.materializer, board, seed=0)
        engine = ENGINES[job.engine].make(bench, workload, job.claim, job.promise)
        if reason := engine.rehearse():
            raise RuntimeError(reason)
        images.append(_left_by(bench, workload))
        faults = list(itertools.islice(engine.faults(), job.most))
        start = now()
        made = [engine.attempt(fault) for fault in faults]
        spent += since(start)
        trials += len(made)
        if broken := next((trial.violation for trial in made if trial.violation), None):
            raise RuntimeError(f"{workload.name}: {broken.sentence}")
    return Struck(trials, tuple(images), spent)


def _left_by(bench: Bench, workload: Workload) -> Image:
    """The directory after the workload."""
    bench.materializer.place(empty_image())
    Client(bench).run(workload)
    return scan(bench.directory)
