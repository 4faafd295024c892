"""Processes at one store while somebody sets the clock: one stands still inside its operation, the others work then.

All of them share the clock of their machine, and see at once that it was set. That the promise breaks without that, or
that it does not, is found by doing the same while the clock goes right; which reading of the clock did the harm, by
showing the wrong time to one line alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pickle
from collections.abc import Callable, Iterator
from typing import Any

from harness.core.history import Disturbance
from harness.core.trace import CallSite
from harness.core.workload import Workload
from harness.inject.writers import Jump, Pause, jumps
from harness.record import kernel
from harness.run.live import lanes, timepiece
from harness.run.live.bench import Bench
from harness.run.live.forks import Voice, Word
from harness.run.live.values import Struck, Trial
from harness.run.live.wallclock import READING, MachineClock, ToldTimes
from harness.run.live.writers import Halt, Met, ProcessesEngine

#: Lines that are tried, one by one, as the one whose reading did the harm.
_SUSPECTS = 8
_ANYWAY = "the same happens while the clock goes right"


class WriterClocksEngine(ProcessesEngine):
    """Stops the first of two processes before each of its calls, and sets the clock while it stands still."""

    fault_types = (Jump, Pause)

    def __init__(self, bench: Bench, workload: Workload, claim: str, promise: str) -> None:
        super().__init__(bench, workload, claim, promise)
        self.clock = MachineClock()
        self.causes: dict[str, CallSite] = {}
        self._jump: Jump | None = None
        self._readers: list[tuple[CallSite, str]] = []  # of the last trial, in the order of their first reading
        self._set_ns: list[int] = []

    def rehearse(self) -> str:
        return timepiece.probe() or super().rehearse()

    def faults(self) -> Iterator[Jump]:  # type: ignore[override]
        if len(self.lanes) > 1:
            yield from jumps(self.alone.course, self.inside())

    def attempt(self, fault: Jump) -> Trial:
        """What goes wrong without the fault as well is not its doing."""
        trial, readers = super().attempt(fault), self._readers
        if trial.violation is None:
            return trial
        kind = trial.violation.kind
        if self._kind(dataclasses.replace(fault, seconds=0.0)) == kind:
            return Trial(0, promise=self.promise, idle=_ANYWAY)
        return dataclasses.replace(trial, site=self._cause(fault, kind, readers) or trial.site)

    # --- one trial -------------------------------------------------------------------------------

    def _meet(self, fault: Jump) -> Met:  # type: ignore[override]
        self._jump, self._set_ns = fault, []
        self.clock.begin()
        met = super()._meet(fault.pause)
        self.clock.begin()  # the store is read by a clock that is right
        self._readers = list(dict.fromkeys(reader for _, told in met.told for reader in told.readers))
        if self._set_ns:
            met.disturbances += (Disturbance(fault.action(), self._set_ns[0], self._set_ns[-1]),)
        return met

    def stands(self) -> None:
        assert self._jump is not None
        self.clock.set_by(self._jump.seconds)
        self._set_ns.append(lanes.now_ns())

    def goes_on(self) -> None:
        assert self._jump is not None
        if self._jump.put_right:
            self.clock.set_by(0.0)
        self._set_ns.append(lanes.now_ns())

    @contextlib.contextmanager
    def engaged(self, gate: Halt, voice: Voice) -> Iterator[None]:
        """A client goes by the clock of the machine, and says which of its lines ask for the time."""
        self.clock.tell = _Tell(voice)
        times = ToldTimes(self.clock, str(self.bench.directory))
        with timepiece.engaged(self.clock), kernel.engage(gate), kernel.engage(times):
            yield

    def _struck(self, met: Met, fault: Any) -> tuple[Struck, ...]:
        """The call before which the process stopped, and the lines that asked for the time since then."""
        stood = super()._struck(met, fault.pause)
        return stood and (*stood, *(Struck(site, how, "step") for site, how in self._readers))

    # --- whose reading did the harm --------------------------------------------------------------

    def _cause(self, fault: Jump, kind: str, readers: list[tuple[CallSite, str]]) -> CallSite | None:
        """Where the times of files alone do the harm, the last line that looked at them; else the last line that has to
        see the fault for the same kind of violation; of a hang, the last that asked."""
        reading = [site for site, how in reversed(readers) if how == READING][:_SUSPECTS]
        looked = [site for site, how in reversed(readers) if how != READING]
        known = self.causes.get(kind)
        if known is not None and known in (*reading, *looked):
            return known
        guilty: Iterator[CallSite] = iter(())
        if kind != "hang":
            alone = (site for site in reading if self._kind(fault, site.__eq__) == kind)
            by_time = (site for site in looked[:1] if self._kind(fault, lambda reader: False) == kind)
            guilty = itertools.chain(by_time, alone)
        cause = next(itertools.chain(guilty, reading, looked), None)
        if cause is not None:
            self.causes[kind] = cause
        return cause

    def _kind(self, fault: Jump, sees: Callable[[CallSite | None], bool] | None = None) -> str:
        """What goes wrong where the clock is shown as it was set to some lines only, or nothing."""
        self.clock.sees = sees
        try:
            violation = super().attempt(fault).violation
        finally:
            self.clock.sees = None
        return "" if violation is None else violation.kind


class _Tell:
    """Says each line once."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._said: set[tuple[CallSite, str]] = set()

    def __call__(self, site: CallSite, how: str) -> None:
        if (site, how) not in self._said:
            self._said.add((site, how))
            self._voice.say(Word.READ, payload=pickle.dumps((site, how)))
