"""Recording and exploring: jobs for workers, and what became of them."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import itertools
import operator
import pickle
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from harness.core.errors import UsageError
from harness.core.trace import Trace
from harness.core.workload import Workload
from harness.observe.spans import Steps, variables
from harness.run import namespaces
from harness.run.directories import run_directory, sweep
from harness.run.exploring import Explored, ExploreJob
from harness.run.journal import Journal
from harness.run.judging import Judged, JudgeJob
from harness.run.live.engines import ENGINES
from harness.run.live.values import TrialsJob, Tried
from harness.run.options import Options
from harness.run.pool import Done, Interrupted, Pool
from harness.run.recording import Recorded, RecordJob
from harness.run.recovering import kind_of_failure
from harness.run.tracing import task_span
from harness.run.worker_main import Setup

#: The task that has a module of its own.
TRY_FAULTS = "try_faults"
MEMORY_BYTES = 4 * 2**30
MOUNT_BYTES = 1 * 2**30


class Progress(Protocol):
    """Who is told how far a run is."""

    def phase(self, title: str, total: int) -> None: ...

    def begin(self, part: str, total: int) -> None:
        """Part of a phase: so many of its steps, whose details begin with its name."""

    def advance(self, detail: str) -> None: ...


class Silent:
    """Nobody is told."""

    def phase(self, title: str, total: int) -> None:
        return None

    def begin(self, part: str, total: int) -> None:
        return None

    def advance(self, detail: str) -> None:
        return None


class Stepped:
    """Passes on what it is told, and makes a span of each phase."""

    def __init__(self, told: Progress, steps: Steps) -> None:
        self._told = told
        self._steps = steps

    def phase(self, title: str, total: int) -> None:
        self._steps.begin(title)
        self._told.phase(title, total)

    def begin(self, part: str, total: int) -> None:
        self._told.begin(part, total)

    def advance(self, detail: str) -> None:
        self._told.advance(detail)


@dataclass(slots=True)
class Campaign:
    """The processes and files of one run over one adapter. A context manager: afterwards nothing is left."""

    spec: str
    options: Options
    progress: Progress = field(default_factory=Silent)
    journal: Journal | None = None
    steps: Steps = field(default_factory=Steps)
    directory: Path = field(init=False)
    private: bool = field(init=False, default=False)
    refusal: str | None = field(init=False, default=None)
    started: float = field(init=False, default=0.0)
    _stack: contextlib.ExitStack = field(init=False, default_factory=contextlib.ExitStack)
    _pools: dict[tuple[str, str, int], Pool] = field(init=False, default_factory=dict)
    _traces: dict[str, Trace] = field(init=False, default_factory=dict)
    _count: int = field(init=False, default=0)

    def __enter__(self) -> Self:
        sweep()
        self.directory = self._stack.enter_context(run_directory())
        self.data.mkdir()
        self.refusal = namespaces.refusal(self.data, MOUNT_BYTES)
        self.private = self.refusal is None
        self.started = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def data(self) -> Path:
        """The directory that the store sees."""
        return self.directory / "data"

    @property
    def out_of_time(self) -> bool:
        return time.monotonic() - self.started > self.options.budget.seconds

    # --- workers -------------------------------------------------------------------------

    def setup(self, task: str, isolation: Any = "warm", mount_bytes: int = 0) -> Setup:
        return Setup(
            task=f"harness.run.{'live.' if task == TRY_FAULTS else ''}tasks:{task}",
            adapter=self.spec,
            directory=str(self.data),
            private_mount=self.private,
            memory_bytes=MEMORY_BYTES,
            isolation=isolation,
            mount_bytes=mount_bytes or MOUNT_BYTES,
            extra={
                "separate": not self.private,
                "reading": task == TRY_FAULTS,
                "coverage": self.options.coverage,
            },
        )

    def _pool(self, task: str, isolation: str, mount_bytes: int = 0) -> Pool:
        key = (task, isolation, mount_bytes)
        if key not in self._pools:
            setup = self.setup(task, isolation, mount_bytes)
            pool = Pool(
                setup,
                self.options.jobs,
                self.options.time_limit_s,
                variables=variables(self.steps.whole),
                begin=lambda job: task_span(self.steps.current, job),
            )
            self._pools[key] = self._stack.enter_context(pool)
        return self._pools[key]

    # --- recording -----------------------------------------------------------------------

    def record(self, workloads: list[Workload]) -> list[Recorded]:
        """Record all workloads. Raises `UsageError` if the adapter can't run even without any fault."""
        jobs = [RecordJob(workload, self.new_file()) for workload in workloads]
        recorded: dict[int, Recorded] = {}
        for _, job, outcome in self._pool("record_or_explore", "fork").run(jobs):
            if isinstance(outcome, Interrupted):
                what = "did not return" if outcome.how == "hang" else "ended its process"
                raise UsageError(
                    f"the adapter can't run: {outcome.phase} {what} without any fault ({outcome.detail})."
                )
            result: Recorded = outcome.result
            if result.misuse:
                raise UsageError(result.misuse)
            recorded[jobs.index(job)] = result
            self.progress.advance(job.workload.name)
        return [recorded[index] for index in range(len(jobs))]

    def new_file(self) -> str:
        self._count += 1
        return str(self.directory / f"{self._count}.trace")

    def keep_trace(self, trace: Trace) -> str:
        """Write a trace for the workers; its file."""
        name = self.new_file()
        with open(name, "wb") as stream:
            pickle.dump(trace, stream, protocol=pickle.HIGHEST_PROTOCOL)
        return name

    def trace(self, file: str) -> Trace:
        if file not in self._traces:
            with open(file, "rb") as stream:
                self._traces[file] = pickle.load(stream)
        return self._traces[file]

    # --- exploring -----------------------------------------------------------------------

    def explore(self, jobs: list[ExploreJob], *, resumable: bool = False) -> list[Explored]:
        """Run all jobs; those that a journal has already are not run again."""
        return self._run_all(self._pool("record_or_explore", "fork"), jobs, resumable)

    def try_faults(self, jobs: Iterable[TrialsJob], *, resumable: bool = False) -> list[Tried]:
        """Run all jobs, of engines that need the same file system; those that a journal has already are not run again.

        Jobs are asked for when a worker is free; the results are in their order.
        """
        rest = iter(jobs)
        first = next(rest, None)
        if first is None:
            return []
        pool = self._pool(TRY_FAULTS, "warm", ENGINES[first.engine].mount_bytes)
        return self._run_all(pool, itertools.chain((first,), rest), resumable)

    def _run_all(self, pool: Pool, jobs: Iterable[Any], resumable: bool) -> list[Any]:
        known = self._known() if resumable else {}
        names: list[str] = []
        done: dict[str, Any] = {}
        waiting: Iterable[Any] = self._not_known(jobs, known, names, done)
        while waiting:
            again: list[Any] = []
            for _, job, outcome in pool.run(waiting):
                if isinstance(outcome, Done):
                    done[job.name] = outcome.result
                    self._note(job, outcome.result, resumable)
                else:
                    again.append(_without(job, outcome))
            waiting = again
        return [done[name] for name in names]

    def _known(self) -> dict[str, str]:
        return {} if self.journal is None else self.journal.load()

    def _not_known(
        self, jobs: Iterable[Any], known: dict[str, str], names: list[str], done: dict[str, Any]
    ) -> Iterator[Any]:
        """The jobs that have to be run; of the others the results go to `done`. The names of all go to `names`."""
        for job in jobs:
            names.append(job.name)
            if job.name in known:
                self.progress.advance(job.name)
                done[job.name] = pickle.loads(base64.b85decode(known[job.name]))
            else:
                yield job

    def _note(self, job: Any, result: Any, resumable: bool) -> None:
        if resumable:
            self.progress.advance(f"{job.name}: {result.effort}")
            if self.journal is not None:
                self.journal.append(job.name, base64.b85encode(pickle.dumps(result)).decode())

    # --- judging once more ---------------------------------------------------------------

    def try_again(self, job: TrialsJob) -> Tried | Interrupted:
        """Try one fault in a fresh process, where no code of the store ran before."""
        tried: Tried | Interrupted
        [tried] = self._once(TRY_FAULTS, [job], ENGINES[job.engine].mount_bytes)
        return tried

    def judge_again(self, jobs: Sequence[JudgeJob]) -> list[Judged | Interrupted]:
        """Judge contents of the disk, each in a fresh process, where no code of the store ran before."""
        return self._once("judge_one", jobs)

    def _once(self, task: str, jobs: Sequence[Any], mount_bytes: int = 0) -> list[Any]:
        ended = sorted(self._pool(task, "fresh", mount_bytes).run(jobs), key=operator.itemgetter(0))
        return [outcome.result if isinstance(outcome, Done) else outcome for _, _, outcome in ended]


def _without(job: Any, outcome: Interrupted) -> Any:
    """The job again, with what is known of the recovery, or the trial, that ended the worker."""
    assert all(unit != outcome.unit for unit, _, _ in job.interrupted), "it would never end"
    kind = "hang" if outcome.how == "hang" else kind_of_failure(outcome.phase)
    what = "did not return" if outcome.how == "hang" else "ended its process"
    known = (*job.interrupted, (outcome.unit, kind, f"{outcome.phase} {what} ({outcome.detail})"))
    return dataclasses.replace(job, interrupted=known)
