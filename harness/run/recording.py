"""The job that records a workload on a store, in a process where nothing ran before."""

from __future__ import annotations

import os
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import Unsupported, UsageError
from harness.core.operations import describe, for_store
from harness.core.trace import MarkerKind, Trace
from harness.core.workload import Reopen, Workload
from harness.record import Recorder
from harness.run.following import QUESTION, Follower, follows, with_observations
from harness.run.recovering import Board, Step, oracle_of, place_of_error, text_of_error
from harness.run.rehearsing import cannot, rehearse


@dataclass(frozen=True, slots=True)
class RecordJob:
    """Record `workload`; the trace goes to `trace_file`."""

    workload: Workload
    trace_file: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a recording was like, without the trace itself.

    `misuse` is a sentence for the user, or empty. `cut` is one too, where the store could not be opened again
    without any fault, and the rest of the workload was left out: crash states tell whether it is to blame.
    """

    workload: str
    trace_file: str
    events: int = 0
    operations: int = 0
    unsupported: int = 0
    raised: int = 0
    first_error: str = ""
    unseen: tuple[tuple[str, str, str], ...] = ()
    outside: tuple[str, ...] = ()
    threads: int = 1
    misuse: str = ""
    cut: str = ""


def record(adapter: Any, directory: Path, board: Board, job: RecordJob) -> Recorded:
    """Run the workload and keep its trace."""
    try:
        trace, cut = record_workload(adapter, directory, board, job.workload)
        _require_model(adapter, trace)
        empty(directory)
        rehearse(adapter, directory, board, trace)
    except UsageError as error:
        return Recorded(job.workload.name, job.trace_file, misuse=str(error))
    with open(job.trace_file, "wb") as stream:
        pickle.dump(trace, stream, protocol=pickle.HIGHEST_PROTOCOL)
    return Recorded(
        job.workload.name,
        job.trace_file,
        len(trace.events),
        len(trace.operations),
        trace.unsupported,
        len(trace.errors),
        next(iter(trace.errors.values()), ""),
        tuple((unseen.what.value, unseen.detail, unseen.remedy) for unseen in trace.unseen),
        trace.outside,
        trace.threads,
        cut=cut,
    )


def record_workload(
    adapter: Any, directory: Path, board: Board, workload: Workload
) -> tuple[Trace, str]:
    """Run `workload` on a new store, without the operations that the store can't take.

    The second value is a sentence if the store could not be opened again; the workload ends there.
    Raises `UsageError` if the store can't open an empty directory.
    """
    unsupported: set[int] = set()
    while True:
        empty(directory)
        session = _Session(adapter, directory, board, workload, unsupported)
        trace = session.run()
        if trace is not None:
            return trace, session.cut
        unsupported = session.unsupported  # once more, without them


def _require_model(adapter: Any, trace: Trace) -> None:
    try:
        oracle_of(adapter, trace)
    except Exception as error:
        raise UsageError(
            f"the adapter's model can't follow its own operations{place_of_error(error)}: {text_of_error(error)}."
        ) from None


def empty(directory: Path) -> None:
    """Remove everything in `directory`."""
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


class _Session:
    """One run of a workload."""

    def __init__(
        self, adapter: Any, directory: Path, board: Board, workload: Workload, unsupported: set[int]
    ) -> None:
        self.adapter_class = adapter
        self.directory = directory
        self.board = board
        self.workload = workload
        self.unsupported = set(unsupported)
        self.skipped = len(unsupported)
        self.follower = Follower(self._read, self._observed) if follows(adapter) else None
        before_sync = None if self.follower is None else self.follower.look
        self.recorder = Recorder(directory, before_sync=before_sync)
        self.operations: list[Any] = []
        self.errors: dict[int, str] = {}
        self.cut = ""

    def run(self) -> Trace | None:
        """The trace, or `None` if an operation turned out to be unsupported."""
        self.recorder.start()
        try:
            self._open()
            for number, step in enumerate(self.workload.steps):
                if number not in self.unsupported and not self.cut:
                    self._step(number, step)
            if not self.cut:
                self._close()
        finally:
            self.recorder.stop()
        if len(self.unsupported) > self.skipped:
            return None
        trace = self.recorder.finish(tuple(self.operations), len(self.unsupported), self.errors)
        if self.follower is None or not self.follower.answers:
            return trace
        return with_observations(trace, oracle_of(self.adapter_class, trace), self.follower.answers)

    def _read(self) -> Any:
        return self.adapter.apply(self.store, QUESTION)

    def _observed(self) -> None:
        self.recorder.mark(MarkerKind.OBSERVE)

    def _open(self) -> None:
        self.recorder.mark(MarkerKind.OPEN_BEGIN)
        self.board.enter(0, Step.OPEN)
        try:
            self.adapter = self.adapter_class()
            self.store = self.adapter.open(self.directory)
        except BaseException as error:  # SystemExit too
            raise cannot(
                error, "open", "a new store" if not self.operations else "the store again"
            ) from None
        finally:
            self.board.leave()
        self.recorder.mark(MarkerKind.OPEN_END)

    def _reopen(self) -> None:
        self._close()
        try:
            self._open()
        except UsageError as error:
            self.cut = str(error)

    def _close(self) -> None:
        self.recorder.mark(MarkerKind.CLOSE_BEGIN)
        self.board.enter(0, Step.CLOSE)
        try:
            self.adapter.close(self.store)
        except BaseException as error:
            raise cannot(error, "close", "the store") from None
        finally:
            self.board.leave()
        self.recorder.mark(MarkerKind.CLOSE_END)

    def _step(self, number: int, step: Any) -> None:
        if isinstance(step, Reopen):
            self._reopen()
            return
        index = len(self.operations)
        self.recorder.mark(MarkerKind.BEGIN, index)
        self.board.enter(number, Step.OPERATION)
        try:
            self.adapter.apply(self.store, for_store(step))
        except Unsupported:
            self.unsupported.add(number)
        except BaseException as error:
            self.errors[index] = f"{describe(step)} raised {text_of_error(error)}"
            self.operations.append(step)
            self.recorder.mark(MarkerKind.FAIL, index)
        else:
            self.operations.append(step)
            self.recorder.mark(MarkerKind.ACKNOWLEDGE, index)
        finally:
            self.board.leave()
            if self.follower is not None:
                self.follower.rest()
