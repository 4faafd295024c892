"""The job that judges one content of the disk once more, in a fresh interpreter."""

from __future__ import annotations

import contextlib
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.trace import Image, Trace
from harness.crash.materialize import Materializer
from harness.judge.recovery import Recovery
from harness.record.scan import scan
from harness.run.exploring import spare_operations
from harness.run.recovering import Board, Recoverer, StoreFailed, oracle_of


@dataclass(frozen=True, slots=True)
class Judged:
    """What recovery showed, and what it left in the directory after the first opening."""

    recovery: Recovery
    after: Image


@dataclass(frozen=True, slots=True)
class JudgeJob:
    """Recover what `image` holds, with the workload of `trace_file` as the truth."""

    image: Image
    trace_file: str


def judge_again(
    adapter: Any, directory: Path, materializer: Materializer, board: Board, job: JudgeJob
) -> Judged:
    with open(job.trace_file, "rb") as stream:
        trace: Trace = pickle.load(stream)
    oracle = oracle_of(adapter, trace)
    materializer.place(job.image)
    recoverer = Recoverer(adapter, directory, board, materializer.changed)
    with contextlib.suppress(StoreFailed):
        recoverer.read()
    after = scan(directory)
    materializer.place(job.image)
    return Judged(recoverer.recover(oracle, spare_operations(adapter.model, trace)), after)
