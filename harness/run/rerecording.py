"""Record a recovery, and the first operation after it, so that both can be crashed in turn.

A child process does it and is gone before any of the crash states is recovered, as after a real crash: a
store may look whether the process that left a lock behind is still alive.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from harness.core.trace import Image, MarkerKind, Trace
from harness.crash.materialize import Materializer
from harness.judge.oracle import Oracle
from harness.record import Recorder, get_ready
from harness.run.descriptors import close_leaked, descriptors
from harness.run.recovering import Board, Recoverer, Step, StoreFailed


@dataclass(frozen=True, slots=True)
class Rerecorder:
    """Records recoveries in the recoverer's directory; `file` is where the child puts the traces."""

    recoverer: Recoverer
    materializer: Materializer
    board: Board
    oracle: Oracle
    file: str
    restore: Callable[[], None]

    def record(self, recoveries: Sequence[tuple[Image, int]]) -> list[Trace | None]:
        """The recovery of each image, and the operation after the first operations that are counted beside it.

        One child records several, because a fork costs as much as a recording. `None` where the store failed,
        or ended the child.
        """
        traces: list[Trace | None] = []
        while len(traces) < len(recoveries):
            done = self._in_child(recoveries[len(traces) :])
            traces.extend(done or [None])
        return traces

    def _in_child(self, recoveries: Sequence[tuple[Image, int]]) -> list[Trace | None]:
        """As many of them as one child has recorded; none if the first one has ended it."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.file)
        get_ready()
        child = os.fork()
        if child == 0:
            self._record_and_exit(recoveries)
        os.waitpid(child, 0)
        self.board.adopt()
        self.materializer.forget()
        return list(_written(self.file))

    def _record_and_exit(self, recoveries: Sequence[tuple[Image, int]]) -> NoReturn:
        try:
            self.board.adopt()
            threads = threading.active_count()
            with open(self.file, "wb") as stream:
                for image, count in recoveries:
                    self.materializer.place(image)
                    pickle.dump(self._recorded(image, count), stream, protocol=pickle.HIGHEST_PROTOCOL)
                    stream.flush()
                    if threading.active_count() > threads:  # what it left running would write into the next one
                        break
        finally:
            os._exit(0)

    def _recorded(self, image: Image, count: int) -> Trace | None:
        recorder = Recorder(self.recoverer.directory, base=image)
        before = descriptors(self.recoverer.directory)
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
            close_leaked(self.recoverer.directory, before)  # the process is gone after the operation, and its locks
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


def _written(file: str) -> Iterator[Trace | None]:
    """The traces in `file`, up to where its writer ended."""
    try:
        with open(file, "rb") as stream:
            while True:
                yield pickle.load(stream)
    except (OSError, EOFError, pickle.UnpicklingError):
        return
