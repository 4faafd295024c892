"""Threads that share one handle take turns, and a write or a sync of the first one fails.

Whoever was answered well has to find what he wrote, also if it was to be written, or made durable, by the thread whose
call failed. The thread itself may raise, and then its operation may have happened or not; so may all others. What goes
wrong on the same schedule without the failure is left to the claim "writers", and what a loss of power takes to the
scenarios about that. Answers to reads are left out (ADR 0010).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import Any

from harness.core.history import History
from harness.core.trace import CallSite
from harness.core.workload import Workload
from harness.history.values import LOST_UPDATE
from harness.inject.calls import os_error
from harness.inject.kills import Called
from harness.inject.writers import Failure, failures
from harness.record import kernel
from harness.record.kernel import Call
from harness.run.live import lanes
from harness.run.live.bench import Bench
from harness.run.live.concurrent import Judgement
from harness.run.live.crossings import Scene
from harness.run.live.gates import concerns
from harness.run.live.threads import Shared, ThreadsEngine, Witness
from harness.run.live.threads_power import gone
from harness.run.live.turnstile import Turnstile
from harness.run.live.values import Struck, Trial
from harness.run.live.writers import Met

_FAILING = (kernel.WRITE, kernel.SYNC)


@dataclasses.dataclass(frozen=True, slots=True)
class Targets:
    """The calls of the first thread that can fail, from 1, with the step at which each was made; whether one did."""

    steps: dict[int, int]
    failed: bool


class Failing(Witness):
    """Lets one call of the first thread fail, none if its number is 0, and notes which could."""

    def __init__(self, directory: Any, turnstile: Turnstile, number: int) -> None:
        self._within = os.path.realpath(directory)
        self._turnstile = turnstile
        self._number = number
        self._steps: dict[int, int] = {}
        self._failed = False

    def watching(self) -> contextlib.AbstractContextManager[None]:
        return kernel.engage(self)

    def __call__(self, call: Call, make: Callable[..., Any]) -> Any:
        """A gate behind the turnstile, which has noted the call."""
        member = self._turnstile.me()
        if member is None or member.place or call.group not in _FAILING or not concerns(self._within, call):
            return make()
        number = len(member.course)
        self._steps[number] = member.steps[-1]
        if number != self._number:
            return make()
        self._failed = True
        raise os_error("EIO")

    def end(self) -> Targets:
        return Targets(self._steps, self._failed)


class FailingThreadsEngine(ThreadsEngine):
    """Lets threads take turns, and a call fail, for the claim "io_error"."""

    fault_types: tuple[type, ...] = (Failure,)

    def __init__(self, bench: Bench, workload: Workload, claim: str, promise: str) -> None:
        super().__init__(bench, workload, claim, promise)
        self.lanes = [lane for lane in map(lanes.changes, self.lanes) if lane.numbered]
        self.failing = 0  # the number of the call that fails in this trial
        self.sound: dict[tuple[int, ...], bool] = {}  # whether a schedule is right if nothing fails

    def faults(self) -> Iterator[Failure]:  # type: ignore[override]
        if len(self.lanes) > 1:
            yield from failures(self.usual.seen.steps)

    def afterwards(self) -> Iterator[Any]:
        yield from ()

    def witness(self, turnstile: Turnstile, scene: Scene) -> Witness:
        return Failing(self.bench.directory, turnstile, scene.failing)

    def _scene(self, fault: Any) -> Scene:
        self.failing = getattr(fault, "call", 0)
        return dataclasses.replace(super()._scene(fault), failing=self.failing)

    def attempt(self, fault: Failure) -> Trial:  # type: ignore[override]
        if not self._is_sound(fault.switches):
            return Trial(0, promise=self.promise, idle="what goes wrong goes wrong without a failure as well")
        return super().attempt(fault)

    def _is_sound(self, switches: tuple[int, ...]) -> bool:
        if switches not in self.sound:
            self.sound[switches] = super().attempt(Failure(switches, 0)).violation is None
        return self.sound[switches]

    def _unstruck(self, shared: Shared) -> str:
        seen: Targets | None = shared.seen
        missed = self.failing and seen is not None and not seen.failed
        return "the call that was to fail was not made" if missed else super()._unstruck(shared)

    # --- what came of it ---------------------------------------------------------------------------

    def judge(self, met: Met, made: History) -> Judgement:
        judgement = super().judge(met, made)
        violation = judgement.violation
        if violation is None or violation.kind != LOST_UPDATE:
            return judgement
        return dataclasses.replace(judgement, violation=gone(violation, made))

    def _site(self, met: Met, judgement: Judgement) -> CallSite | None:
        """That of the call which failed."""
        return None if judgement.violation is None else self._failed(met).site

    def _struck(self, met: Met, fault: Any) -> tuple[Struck, ...]:
        return (Struck(self._failed(met).site, self._failed(met).name, "EIO"),)

    def _failed(self, met: Met) -> Called:
        """The call of the first client that was to fail; its last one, if it came to no such call."""
        _, told = met.told[1]
        calls = [item for item in told.course if isinstance(item, Called)]
        return calls[min(self.failing, len(calls)) - 1] if calls else Called("", None)
