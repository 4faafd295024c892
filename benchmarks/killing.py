"""Workers that kill writers as a certification does, with a clock beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.measuring import Spent, now, since
from harness.core.trace import Image
from harness.core.workload import Workload
from harness.run.live.bench import Bench
from harness.run.live.forks import Told
from harness.run.live.kills import Aftermath, KillEngine
from harness.run.recovering import Board
from harness.run.tasks import Context, prepare

__all__ = ["kill_writers", "prepare"]


@dataclass(frozen=True, slots=True)
class Killed:
    """What it took to kill a writer so often, and what was left each time. `recovered` are the distinct contents."""

    kills: int
    recovered: int
    findings: int
    images: tuple[Image, ...]
    spent: Spent


class NotingEngine(KillEngine):
    """Keeps what every kill leaves."""

    def __init__(self, bench: Bench, workload: Workload, promise: str) -> None:
        super().__init__(bench, workload, "process_crash", promise)
        self.images: list[Image] = []

    def _aftermath(self, told: Told) -> Aftermath:
        after = super()._aftermath(told)
        self.images.append(after.image)
        return after


def kill_writers(context: Context, made: list[Workload], board: Board) -> Killed:
    """Every kill of every workload, judged."""
    engines = [_engine(context, workload, board) for workload in made]
    for engine in engines:
        if reason := engine.rehearse():
            raise RuntimeError(reason)
    start = now()
    trials = [engine.attempt(fault) for engine in engines for fault in engine.faults()]
    spent = since(start)
    return Killed(
        sum(trial.fired for trial in trials),
        sum(len(engine.recovered) for engine in engines),
        sum(trial.violation is not None for trial in trials),
        tuple(image for engine in engines for image in engine.images),
        spent,
    )


def _engine(context: Context, workload: Workload, board: Any) -> NotingEngine:
    bench = Bench(context.adapter, context.directory, context.materializer, board, seed=0)
    return NotingEngine(bench, workload, context.adapter.contract.process_crash)
