"""Openings of a store whose files were damaged: what it shows, what it says, and which line read the damage."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.core.models import alike
from harness.core.operations import describe, for_store
from harness.core.trace import CallSite
from harness.judge.damage import Opening
from harness.judge.oracle import Oracle
from harness.record import kernel
from harness.record.callsite import CallSites, call_site
from harness.record.kernel import Call
from harness.run.descriptors import close_leaked, descriptors
from harness.run.live.bench import Bench, listening
from harness.run.recovering import Step, read_state, text_of_error


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens what is in the directory, reads it in every way, and closes it. `probes` are operations that only read."""

    bench: Bench
    oracle: Oracle
    probes: tuple[Any, ...] = ()

    def opened(self, opening: Step, reading: Step, closing: Step) -> Opening:
        """Open, read in every way, and close, listening for signals."""
        step, adapter, store = opening, None, None
        before = descriptors(self.bench.directory)
        with listening() as signals:
            try:
                adapter = self.bench.call(opening, self.bench.adapter)
                store = self.bench.call(opening, adapter.open, self.bench.directory)
                step = reading
                state = self.bench.call(reading, read_state, adapter, store)
                matches = self.oracle.matches(state)
                answer = self._contradiction(adapter, store, max(matches, default=-1))
                signal = signals.count > 0  # who has read by now must know by now
                step = closing
                self.bench.call(closing, adapter.close, store)
            except BaseException as error:
                raised = self.raised(step, error, signals.count > 0)
                self.let_go(closing, adapter, None if step is closing else store, before)
                return raised
        return Opening(state, matches, signal, answer=answer)

    def let_go(self, closing: Step, adapter: Any, store: Any, before: set[int]) -> None:
        """What a client does after an exception: it closes, and starts anew. Locks held on would lock out itself."""
        if store is not None:
            with contextlib.suppress(BaseException):
                self.bench.call(closing, adapter.close, store)
        close_leaked(self.bench.directory, before)

    def raised(self, step: Step, error: BaseException, signal: bool) -> Opening:
        declared = isinstance(error, self.bench.contract.errors)
        return Opening(error=text_of_error(error), declared=declared, during=str(step), signal=signal)

    def _contradiction(self, adapter: Any, store: Any, count: int) -> str:
        """What a read answers that the snapshot contradicts, in words. Raises what the store raises."""
        if count < 0:
            return ""
        state = self.oracle.states[count][0]
        for probe in self.probes:
            answer = self.bench.call(Step.OPERATION, adapter.apply, store, for_store(probe))
            expected = self.oracle.model.step(state, probe)[1]
            if not _same_answer(answer, expected):
                shown = f"{describe(probe)} answers {describe(answer)}"
                return f"{shown} without exception or signal, and the snapshot says {describe(expected)}"
        return ""


@dataclass(slots=True)
class ReadWatch:
    """A gate that lets everything through and remembers the last read of bytes [start, end) of one file.

    Where none of them is read, the last read of the file counts, or else the last look at it.
    """

    path: str
    start: int
    end: int
    call: str = ""
    _best: int = 0
    _where: Any = None

    def __call__(self, call: Call, make: Callable[..., Any]) -> Any:
        if call.group not in (kernel.READ, kernel.OPEN, kernel.STATUS) or call.path() != self.path:
            return make()
        position = self._position(call)
        result = make()
        self._note(call, position, result)
        return result

    def _position(self, call: Call) -> int:
        if call.group != kernel.READ or call.position >= 0:
            return call.position
        try:
            return os.lseek(call.descriptor, 0, os.SEEK_CUR)
        except OSError:
            return -1

    def _note(self, call: Call, position: int, result: Any) -> None:
        count = result if isinstance(result, int) else len(result) if isinstance(result, bytes) else 0
        reaches = position < self.end and position + count > self.start
        rank = 1 if call.group != kernel.READ else 3 if reaches else 2
        if rank >= self._best:
            self._best, self._where = rank, call_site(2)
            self.call = call.name.removeprefix("file_")

    def site(self) -> CallSite | None:
        return CallSites().resolve(*self._where) if self._where else None


def _same_answer(answer: Any, expected: Any) -> bool:
    if isinstance(expected, list | tuple) and isinstance(answer, list | tuple):
        return alike(list(answer), list(expected))
    return alike(answer, expected)
