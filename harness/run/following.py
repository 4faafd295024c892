"""A follower: another client that reads while an operation of the recorded one is in progress.

What a completed read has answered must survive a crash as well, whether or not the operation that it shows
was acknowledged (durable linearizability: Izraelevitz, Mendes and Scott, DISC 2016). For who follows a log this
is what makes its records final. So, where the adapter lets threads share a handle and declares `Read`, a second
thread reads right before each sync of an operation, which is the last moment at which an answer can show too
much. An answer that shows the operation becomes a marker of the trace; one that does not leaves no mark.

A store that holds a lock until its record is durable keeps the follower waiting, and goes on: who waits has been
told nothing. `Get` and `Load` are not followed: atomically replaced files are commonly read without a lock,
and nobody documents that such a read waits for the directory to be synced.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.adapter import supported_operations
from harness.core.operations import Read
from harness.core.trace import IoEvent, Marker, MarkerKind, Trace
from harness.judge.oracle import Oracle

#: What a follower asks: all records.
QUESTION = Read(0)
_STEP_S = 0.001
#: A reader that sleeps through so many steps in a row waits for a lock; one that is not scheduled does not sleep.
_STEPS_ASLEEP = 10
_LONGEST_S = 1.0
#: Where this many reads in a row had to wait, the store makes readers wait.
PATIENCE = 4


def follows(adapter: Any) -> bool:
    """Whether another thread may read from a handle of `adapter` while an operation runs."""
    return adapter.contract.writers != "one" and Read in (supported_operations(adapter) or ())


@dataclass(slots=True)
class Follower:
    """Calls `read` in a thread of its own; `told` is called, with the answer kept, as soon as there is one."""

    read: Callable[[], Any]
    told: Callable[[], None]
    answers: list[Any] = field(default_factory=list)
    _patience: int = PATIENCE
    _reading: _Reading | None = None
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> None:
        """Read, and come back when the answer is there or the reader waits for something."""
        if self._is_reader() or not self._turn.acquire(blocking=False):
            return
        try:
            if self._patience and self._settled() and self._begin() and self._settled():
                self._patience = PATIENCE
        finally:
            self._turn.release()

    def rest(self) -> None:
        """After an operation: a reader that had to wait may finish; its answer says nothing any more."""
        with self._turn:
            if self._reading is not None and self._reading.finished():
                self._reading = None

    def _is_reader(self) -> bool:
        """A read may sync as well, to show nothing that is not durable."""
        reading = self._reading
        return reading is not None and reading.thread is threading.current_thread()

    def _begin(self) -> bool:
        self._reading = _Reading(self.read)
        self._reading.thread.start()
        return True

    def _settled(self) -> bool:
        """Whether no read is under way any more; what the last one answered is told."""
        reading = self._reading
        if reading is None:
            return True
        if not reading.finished():
            self._patience -= 1
            return False
        self._reading = None
        if reading.error is not None:  # of concurrent reads, which is another claim
            self._patience = 0
            return False
        self.answers.append(reading.answer)
        self.told()
        return True


class _Reading:
    """One read in its own thread."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self.answer: Any = None
        self.error: BaseException | None = None
        self._read = read
        self.thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def _run(self) -> None:
        try:
            answer = self._read()
            self.answer = list(answer) if isinstance(answer, list | tuple) else answer
        except BaseException as error:
            self.error = error

    def finished(self) -> bool:
        """Waits for the thread, but not for one that waits for others."""
        asleep, until = 0, time.monotonic() + _LONGEST_S
        while self.thread.is_alive() and asleep < _STEPS_ASLEEP and time.monotonic() < until:
            self.thread.join(_STEP_S)
            asleep = asleep + 1 if _sleeps(self.thread.native_id) else 0
        return not self.thread.is_alive()


def _sleeps(thread: int | None) -> bool:
    """Whether the kernel has the thread wait for something (proc_pid_stat(5)); where that is unknown, yes."""
    try:
        status = Path(f"/proc/self/task/{thread}/stat").read_text()
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] == "S"


# --- what the answers show -----------------------------------------------------------------


def with_observations(trace: Trace, oracle: Oracle, answers: list[Any]) -> Trace:
    """`trace`, in which `OBSERVE` markers stand for `answers` in turn, with those that show more than was known.

    The others are removed: the trace of a store that shows nothing too early does not depend on the follower.
    """
    events = tuple(_events(trace, oracle, iter(answers)))
    seen = any(event.marker is not None and event.marker.kind is MarkerKind.OBSERVE for event in events)
    return dataclasses.replace(trace, events=events, threads=max(trace.threads, 2) if seen else trace.threads)


def _events(trace: Trace, oracle: Oracle, answers: Iterator[Any]) -> Iterator[IoEvent]:
    known, begun = 0, 0
    for event in trace.events:
        if event.marker is None:
            yield event
            continue
        operation = event.marker.operation
        match event.marker.kind:
            case MarkerKind.BEGIN:
                begun = operation + 1
            case MarkerKind.ACKNOWLEDGE | MarkerKind.FAIL:
                known = operation + 1
            case MarkerKind.OBSERVE:
                shown = _fewest(oracle, next(answers), known, begun)
                if shown == known:
                    continue
                known = shown
                marker = Marker(MarkerKind.OBSERVE, shown - 1)
                event = dataclasses.replace(event, operation=shown - 1, marker=marker)
        yield event


def _fewest(oracle: Oracle, answer: Any, known: int, begun: int) -> int:
    """The fewest operations after which `QUESTION` is answered like that; `known` where nothing explains it."""
    for count in range(known, begun + 1):
        if any(_answers(oracle, state, answer) for state in oracle.states[count]):
            return count
    return known


def _answers(oracle: Oracle, state: Any, answer: Any) -> bool:
    try:
        expected = oracle.model.step(state, QUESTION)[1]
        return bool(answer == expected)
    except Exception:  # a model of the user's own need not know the operation
        return False
