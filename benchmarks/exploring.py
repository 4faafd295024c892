"""Workers that explore traces as a certification does, with a clock or a pencil beside it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measuring import Spent, now, since
from harness.core.trace import Image, Trace
from harness.crash.materialize import Materializer
from harness.judge.oracle import Oracle, Window
from harness.judge.recovery import judge
from harness.run.containment import fresh_interpreter, neutral_environment
from harness.run.exploring import Explored, ExploreJob, Explorer, spare_operations
from harness.run.judging import JudgeJob, judge_again
from harness.run.loading import load_adapter
from harness.run.recovering import Board, Recoverer
from harness.run.tasks import Context, prepare

__all__ = ["explore", "fork_for_each", "interpreter_for_each", "prepare", "store_calls", "timed_calls"]


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a recovery of a state of `trace_file` started from, and the operations applied in each session."""

    image: Image
    trace_file: str
    sessions: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Explorations:
    """What came of exploring all jobs, and what it took."""

    states: int
    recoveries: int
    nested_states: int
    recordings: int
    findings: int
    spent: Spent


def explore(context: Context, jobs: list[ExploreJob], board: Board) -> Explorations:
    """Exactly the work of a certification, timed."""
    start = now()
    explored = [_explorer(context, job, board).run() for job in jobs]
    return _explorations(explored, since(start))


def _explorer(context: Context, job: ExploreJob, board: Board) -> Explorer:
    return Explorer(context.adapter, context.directory, context.materializer, board, job)


def _explorations(explored: list[Explored], spent: Spent) -> Explorations:
    tallies = [tally for result in explored for tally in result.tallies.values()]
    return Explorations(
        sum(tally.first.distinct for tally in tallies),
        sum(result.recoveries for result in explored),
        sum(tally.nested.distinct for tally in tallies),
        sum(tally.recoveries_recorded for tally in tallies),
        sum(len(result.found) for result in explored),
        spent,
    )


# --- which calls a store gets ---------------------------------------------------------------


class Noting:
    """Stands for an adapter class, and notes the operations that are applied in each session."""

    def __init__(self, adapter: Any) -> None:
        self.adapter = adapter
        self.model = adapter.model
        self.contract = adapter.contract
        self.sessions: list[list[Any]] = []

    def __call__(self) -> _NotingAdapter:
        return _NotingAdapter(self.adapter(), self.sessions)

    def take(self) -> tuple[tuple[Any, ...], ...]:
        """The sessions since the last time."""
        taken = tuple(map(tuple, self.sessions))
        self.sessions.clear()
        return taken


class _NotingAdapter:
    def __init__(self, adapter: Any, sessions: list[list[Any]]) -> None:
        self._adapter = adapter
        self._sessions = sessions
        self.snapshot = adapter.snapshot
        self.close = adapter.close

    def open(self, directory: Path) -> Any:
        self._sessions.append([])
        return self._adapter.open(directory)

    def apply(self, store: Any, operation: Any) -> Any:
        self._sessions[-1].append(operation)
        return self._adapter.apply(store, operation)


class NotingMaterializer(Materializer):
    """Notes what it places, with the sessions in it."""

    def __init__(self, root: Path, noting: Noting, trace_file: str) -> None:
        super().__init__(root)
        self._noting = noting
        self._trace_file = trace_file
        self._images: list[Image] = []
        self._recoveries: list[Recovery] = []

    def place(self, image: Image) -> None:
        self._end_recovery()
        self._images.append(image)
        super().place(image)

    def recoveries(self) -> list[Recovery]:
        """All of them, when the last is over."""
        self._end_recovery()
        return self._recoveries

    def _end_recovery(self) -> None:
        if self._images:
            self._recoveries.append(Recovery(self._images.pop(), self._trace_file, self._noting.take()))


def store_calls(context: Context, jobs: list[ExploreJob], board: Board) -> list[Recovery]:
    """Every recovery that exploring `jobs` runs, with its calls into the store."""
    noting, found = Noting(context.adapter), list[Recovery]()
    for job in jobs:
        materializer = NotingMaterializer(context.directory, noting, job.trace_file)
        Explorer(noting, context.directory, materializer, board, job).run()
        found.extend(materializer.recoveries())
    return found


# --- what it takes besides the store's calls -------------------------------------------------


@dataclass(slots=True)
class Clocked:
    """Stands for an adapter class, and adds up the time of all calls into the store."""

    adapter: Any
    spent: Spent = field(default_factory=Spent)

    @property
    def model(self) -> Any:
        return self.adapter.model

    @property
    def contract(self) -> Any:
        return self.adapter.contract

    def __call__(self) -> _ClockedAdapter:
        return _ClockedAdapter(self, self.adapter())

    def timed(self, function: Callable[..., Any], *arguments: Any) -> Any:
        start = now()
        try:
            return function(*arguments)
        finally:
            self.spent = self.spent + since(start)


class _ClockedAdapter:
    def __init__(self, clock: Clocked, adapter: Any) -> None:
        self._clock = clock
        self._adapter = adapter

    def open(self, directory: Path) -> Any:
        return self._clock.timed(self._adapter.open, directory)

    def apply(self, store: Any, operation: Any) -> Any:
        return self._clock.timed(self._adapter.apply, store, operation)

    def snapshot(self, store: Any) -> Any:
        return self._clock.timed(self._adapter.snapshot, store)

    def close(self, store: Any) -> None:
        self._clock.timed(self._adapter.close, store)


def timed_calls(context: Context, job: ExploreJob, board: Board) -> tuple[Spent, Spent]:
    """Explore `job`: what it took in all, and what of it was the store's."""
    clocked, start = Clocked(context.adapter), now()
    Explorer(clocked, context.directory, context.materializer, board, job).run()
    return since(start), clocked.spent


# --- instead of a warm worker ----------------------------------------------------------------


class Nobody:
    """A board that nobody looks at."""

    def enter(self, unit: int, phase: str) -> None:
        return None

    def leave(self) -> None:
        return None

    def adopt(self) -> None:
        return None


def fork_for_each(context: Context, recoveries: list[Recovery], board: Board) -> Spent:
    """Recover and judge every content in a child forked for it."""
    known = {file: _truth(context, file) for file in {recovery.trace_file for recovery in recoveries}}
    start = now()
    for recovery in recoveries:
        child = os.fork()
        if child == 0:
            _recover(context, recovery.image, *known[recovery.trace_file])
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            raise RuntimeError("a child that should have recovered a store died")
    return since(start)


def _truth(context: Context, file: str) -> tuple[Oracle, tuple[Any, ...]]:
    with open(file, "rb") as stream:
        trace: Trace = pickle.load(stream)
    model = context.adapter.model
    return Oracle(model, trace.operations, trace.errors), spare_operations(model, trace)


def _recover(context: Context, image: Image, oracle: Oracle, spare: tuple[Any, ...]) -> None:
    context.materializer.place(image)
    recoverer = Recoverer(context.adapter, context.directory, Nobody(), context.materializer.changed)
    judge(oracle, recoverer.recover(oracle, spare), Window(0, len(oracle.operations)))


def interpreter_for_each(spec: str, folder: Path, recoveries: list[Recovery]) -> Spent:
    """Recover and judge every content in an interpreter started for it; `folder` is for their files."""
    total = Spent()
    for number, recovery in enumerate(recoveries):
        file, directory = folder / f"{number}.job", folder / str(number)
        file.write_bytes(pickle.dumps(JudgeJob(recovery.image, recovery.trace_file)))
        directory.mkdir()
        code = "from benchmarks.exploring import judge_single; judge_single()"
        command = [*fresh_interpreter(code), spec, str(directory), str(file)]
        start = now()
        subprocess.run(command, check=True, env=neutral_environment("benchmark"))
        total = total + since(start)
    return total


def judge_single() -> None:
    """What such an interpreter does; its arguments say what to judge."""
    spec, directory, file = sys.argv[1:]
    with open(file, "rb") as stream:
        job: JudgeJob = pickle.load(stream)
    place = Path(directory)
    judge_again(load_adapter(spec), place, Materializer(place), Nobody(), job)
