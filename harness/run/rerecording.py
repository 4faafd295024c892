"""Record a recovery, and the first operation after it, so that both can be crashed in turn.

A child process does it and is gone before any of its crash states is recovered, as after a real crash: a
store may look whether the process that left a lock behind is still alive.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from harness.core.trace import Image, MarkerKind, Trace
from harness.judge.oracle import Oracle
from harness.record import Recorder, get_ready
from harness.run.recovering import Board, Recoverer, Step, StoreFailed


@dataclass(frozen=True, slots=True)
class Rerecorder:
    """Records recoveries of what is in the recoverer's directory; `file` is where the child puts the trace."""

    recoverer: Recoverer
    board: Board
    oracle: Oracle
    file: str
    restore: Callable[[], None]

    def record(self, image: Image, count: int) -> Trace | None:
        """The recovery of `image`, which the directory holds, and the operation after the first `count`.

        `None` if the store failed, or ended the child.
        """
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.file)
        get_ready()
        child = os.fork()
        if child == 0:
            self._record_and_exit(image, count)
        os.waitpid(child, 0)
        self.board.adopt()
        try:
            with open(self.file, "rb") as stream:
                trace: Trace | None = pickle.load(stream)
        except (OSError, EOFError):
            return None
        return trace

    def _record_and_exit(self, image: Image, count: int) -> NoReturn:
        try:
            self.board.adopt()
            trace = self._recorded(image, count)
            with open(self.file, "wb") as stream:
                pickle.dump(trace, stream, protocol=pickle.HIGHEST_PROTOCOL)
        finally:
            os._exit(0)

    def _recorded(self, image: Image, count: int) -> Trace | None:
        recorder = Recorder(self.recoverer.directory, base=image)
        self.board.enter(self.recoverer.unit, Step.RECORD)
        recorder.start()
        try:
            self.recoverer.read()
            self._proceed(recorder, count)
        except StoreFailed:
            return None
        finally:
            recorder.stop()
            self.board.leave()
            self.restore()
        trace = recorder.finish(self.oracle.operations, 0, {})
        return trace if self._worked(count) else _without_operation(trace)

    def _worked(self, count: int) -> bool:
        """Whether the operation did what it should without any crash; otherwise a crash in it says nothing."""
        try:
            return count + 1 in self.oracle.matches(self.recoverer.read())
        except StoreFailed:
            return False

    def _proceed(self, recorder: Recorder, count: int) -> None:
        """The next operation; one that fails here did not fail in the recorded run, and is judged elsewhere."""
        if count >= len(self.oracle.operations) or count in self.oracle.failed:
            return
        self.recoverer.proceed(self.oracle.operations[count], lambda: recorder.mark(MarkerKind.BEGIN, count))
        recorder.mark(MarkerKind.ACKNOWLEDGE, count)


def _without_operation(trace: Trace) -> Trace:
    """The trace up to the operation."""
    events = trace.events
    begins = (n for n, event in enumerate(events) if event.marker and event.marker.kind is MarkerKind.BEGIN)
    return dataclasses.replace(trace, events=events[: next(begins, len(events))])
