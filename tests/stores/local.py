"""What a campaign does in workers, done in this process: for tests of what is made of the results."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.trace import Trace
from harness.core.workload import Workload
from harness.crash.materialize import Materializer
from harness.crash.states import Limits
from harness.run.exploring import Explored, ExploreJob, Explorer, Plan
from harness.run.findings import Case
from harness.run.judging import Judged, JudgeJob, judge_again
from harness.run.options import Options
from harness.run.pool import Interrupted
from harness.run.recording import Recorded, RecordJob, empty, record
from tests.stores.tiny import TINY


class Diary:
    """A board that remembers the calls that were announced."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, str]] = []

    def enter(self, unit: int, phase: str) -> None:
        self.calls.append((unit, str(phase)))

    def leave(self) -> None:
        return None

    def adopt(self) -> None:
        return None


@dataclass(slots=True)
class Local:
    """Stands in for `Campaign`; `judged` replaces what a fresh interpreter would say."""

    adapter: Any
    folder: Path
    options: Options = field(default_factory=lambda: Options(profile=TINY.name, jobs=1))
    judged: Judged | Interrupted | None = None
    files: int = 0

    def __post_init__(self) -> None:
        self.data.mkdir()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def new_file(self) -> str:
        self.files += 1
        return str(self.folder / f"{self.files}.trace")

    def record(self, workloads: list[Workload]) -> list[Recorded]:
        return [record(self.adapter, self.data, Diary(), RecordJob(item, self.new_file())) for item in workloads]

    def keep_trace(self, trace: Trace) -> str:
        name = self.new_file()
        Path(name).write_bytes(pickle.dumps(trace))
        return name

    def trace(self, file: str) -> Trace:
        trace: Trace = pickle.loads(Path(file).read_bytes())
        return trace

    def explorer(self, job: ExploreJob) -> Explorer:
        empty(self.data)
        return Explorer(self.adapter, self.data, Materializer(self.data), Diary(), job)

    def explore(self, jobs: list[ExploreJob], *, resumable: bool = False) -> list[Explored]:
        return [self.explorer(job).run() for job in jobs]

    def judge_again(self, jobs: Sequence[JudgeJob]) -> list[Judged | Interrupted]:
        return [self.judged or self._judge(job) for job in jobs]

    def _judge(self, job: JudgeJob) -> Judged:
        empty(self.data)
        return judge_again(self.adapter, self.data, Materializer(self.data), Diary(), job)

    # --- for tests ---------------------------------------------------------------------------

    def job(self, workload: Workload, plan: Plan, **more: Any) -> ExploreJob:
        """The job of exploring `workload` under one model."""
        [recorded] = self.record([workload])
        assert not recorded.misuse, recorded.misuse
        given = {"depth": 0, "seed": 0, "limits": Limits(), **more}
        return ExploreJob("short-0", recorded.trace_file, (plan,), **given)

    def cases(self, workload: Workload, plan: Plan, **more: Any) -> list[Case]:
        """Every defect that exploring `workload` shows."""
        job = self.job(workload, plan, **more)
        [explored] = self.explore([job])
        return [
            Case(found, workload, job.trace_file, plan, 1, plan.claim.replace("_", "-")) for found in explored.defects
        ]
