"""Processes at one store while the disk is full, or a call fails, for one of them: that may cost nobody else anything.

One process stops inside its operation, the other one carries out its own, and then a call of the first fails. When its
operation has ended there is room again; it stays as it is, open and idle, while the other one writes once more, and
writes last. Whoever fails then may reopen the store and try again, the other one when the first has done so: an
exception may be the answer until whoever met the failure has closed the store. Nobody may wait for that. The operation
in which a call failed may have happened or not; if it returned, it is owed like any other.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.core.history import Disturbance, History, Outcome
from harness.core.models import KEY_VALUE
from harness.core.operations import Put, describe
from harness.core.trace import CallSite
from harness.core.workload import Workload
from harness.explore.clients import SHORT, workload_source
from harness.inject.writers import Pause, Shortage, shortages
from harness.judge.classify import Violation
from harness.record import kernel
from harness.record import originals as real
from harness.record.kernel import Call
from harness.record.scan import scan
from harness.run.live import lanes, writers
from harness.run.live.bench import Bench
from harness.run.live.concurrent import Judgement
from harness.run.live.forks import Child, Told, Voice, Word
from harness.run.live.gates import Narrator, Strike
from harness.run.live.lanes import Lane, LaneClient
from harness.run.live.saboteur import GROUPS, Saboteur, needs_room
from harness.run.live.values import Struck, Trial
from harness.run.live.writers import Halt, Met, ProcessesEngine

_ANYWAY = "the same happens where no call fails"
_STOP = "stop"


class Failing(Halt):
    """Stops the process before one call, and fails another; `idle` is called when that operation has ended."""

    def __init__(self, directory: Path, voice: Voice, fault: Shortage, idle: Callable[[], None]) -> None:
        super().__init__(directory, voice, fault.pause.call)
        self._fault = fault
        self._idle = idle
        self._saboteur = Saboteur(str(directory))
        self._reached = False

    def at(self, number: int, call: Call, make: Callable[..., Any]) -> Any:
        return super().at(number, call, functools.partial(self._made, number, call, make))

    def _made(self, number: int, call: Call, make: Callable[..., Any]) -> Any:
        if number == self._fault.call:
            self._begin(call)
        try:
            return self._saboteur(call, make)
        finally:
            for hit in self._saboteur.take():
                self._voice.say(Word.STRUCK, number, pickle.dumps(Strike(hit.call, hit.site, hit.fault)))

    def _begin(self, call: Call) -> None:
        self._reached = True
        if self._fault.error == "ENOSPC":
            self._saboteur.fill(call.size_bytes // 2 if self._fault.part else 0)
        elif self._fault.error:
            self._saboteur.arm(self._fault.error, 1)

    def operation_ended(self) -> None:
        """There is room again."""
        if self._reached:
            self._reached = False
            self._saboteur.fill(None)
            self._saboteur.disarm()
            self._idle()


class Candidates(Narrator):
    """Notes which calls can fail how."""

    def __init__(self, directory: Path, voice: Voice) -> None:
        super().__init__(directory, voice)
        self.numbers: dict[str, list[int]] = {"ENOSPC": [], "EIO": [], "part": []}

    def at(self, number: int, call: Call, make: Callable[..., Any]) -> Any:
        if needs_room(call):
            self.numbers["ENOSPC"].append(number)
            if call.group == kernel.WRITE and call.size_bytes > 1:
                self.numbers["part"].append(number)
        if call.group in GROUPS["EIO"]:
            self.numbers["EIO"].append(number)
        return super().at(number, call, make)


class WriterDisksEngine(ProcessesEngine):
    """Fails each call of the operations of one process that can fail, while another one works."""

    fault_types = (Shortage, Pause)

    def __init__(self, bench: Bench, workload: Workload, claim: str, promise: str) -> None:
        super().__init__(bench, workload, claim, promise)
        self.targets: dict[str, list[int]] = {}
        source = workload_source(bench.adapter, f"room {bench.seed}")
        count = len(workload.steps)
        changes = [source.change(n + 1, n, SHORT) for n in range(2)]
        if bench.adapter.model is KEY_VALUE:  # the last operations must not hide what was lost before
            changes = [Put("k5", "by one process"), Put("k6", "by another process")]
        self.last: list[tuple[int, Any]] = [(count + 2 * n, change) for n, change in enumerate(changes)]
        self.reads = tuple(enumerate((*source.reads(0), *source.reads(1)), count + 4))

    # --- without a fault -------------------------------------------------------------------------

    def rehearse(self) -> str:
        refused = super().rehearse()
        if not refused and self.lanes:
            self.bench.materializer.place(self.started)
            told = self._child(self._candidates).listen(kill_after_s=writers.PATIENCE_S)
            inside = self.inside()
            self.targets = {key: [n for n in found if n in inside] for key, found in (told.answer or {}).items()}
        return refused

    def _candidates(self, voice: Voice) -> None:
        gate = Candidates(self.bench.directory, voice)
        with kernel.engage(gate):
            LaneClient(self.bench, voice).perform(self.lanes[0])
        voice.say(Word.ANSWER, payload=pickle.dumps(gate.numbers))

    def faults(self) -> Iterator[Shortage]:  # type: ignore[override]
        count = len(self.alone.course)
        operations = [(part.since + 1, min(part.to, count)) for part in self.alone.parts.values()]
        if len(self.lanes) > 1:
            yield from shortages(self.targets, operations)

    # --- one trial -------------------------------------------------------------------------------

    def attempt(self, fault: Shortage) -> Trial:
        """What goes wrong without the failure as well is not its doing."""
        trial = super().attempt(fault)
        if trial.violation is not None:
            calm = super().attempt(dataclasses.replace(fault, error=""))
            if calm.violation is not None and calm.violation.kind == trial.violation.kind:
                return Trial(0, promise=self.promise, idle=_ANYWAY)
        return trial

    def _meet(self, fault: Shortage) -> Met:  # type: ignore[override]
        """The first stops, the second works; a call of the first fails; the second writes once more, then the first; if
        the second could not, again."""
        self.bench.materializer.place(self.started)
        mine, theirs = os.pipe(), os.pipe()
        seconds: list[Child] = [self._second(theirs)] if fault.pause.early else []
        stood = list[int]()

        def meanwhile() -> None:
            stood.append(lanes.now_ns())
            if not seconds:
                seconds.append(self._second(theirs))
            writers.let_go(theirs)
            seconds[0].hear_until_it_waits(writers.HEAD_START_S)
            stood.append(lanes.now_ns())

        try:
            first = self._child(functools.partial(self._first, fault, mine))
            first.hear_until_ready(writers.PATIENCE_S, meanwhile)
            writers.let_go(theirs)
            others = [child.listen(kill_after_s=0.0) for child in seconds if _waits_in_vain(child)]
            writers.let_go(mine)
            told = [first.listen(kill_after_s=first.seconds + writers.PATIENCE_S)]
            writers.let_go(theirs)
            told += others or [child.listen(kill_after_s=child.seconds + writers.PATIENCE_S) for child in seconds]
        finally:
            writers.close_all((mine, theirs))
        known = [self._longer(place) for place in range(len(told))]
        disturbances = (Disturbance("client 1 stood still", *stood),) if len(stood) == 2 else ()
        return Met(list(zip(known, told, strict=True)), scan(self.bench.directory), disturbances)

    def _longer(self, place: int) -> Lane:
        """All that a client may do: with its last operation, and the same again."""
        lane, (number, operation) = self.lanes[place], self.last[place]
        reads = self.reads if place else ()
        return Lane(lane.client, (*lane.numbered, *reads, (number, operation), (number + 1, operation)))

    def _first(self, fault: Shortage, pipe: tuple[int, int], voice: Voice) -> None:
        gate = Failing(self.bench.directory, voice, fault, functools.partial(_wait, voice, pipe))
        with kernel.engage(gate):
            client = LaneClient(self.bench, voice, gate.operation_ended)
            client.open()
            client.go_through(self.lanes[0])
            client.last(*self.last[0])
            client.close()

    def _second(self, pipe: tuple[int, int]) -> Child:
        """It has opened the store; it works when it is let go, and does its last operation when it is again."""

        def work(voice: Voice) -> None:
            with kernel.engage(Narrator(self.bench.directory, voice)):
                client = LaneClient(self.bench, voice)
                client.open()
                _wait(voice, pipe)
                client.go_through(self.lanes[1])
                real.read(pipe[0], 1)
                client.go_through(Lane(0, self.reads))
                client.last(*self.last[1], functools.partial(_wait, voice, pipe))
                client.close()

        child = self._child(work)
        child.hear_until_ready(writers.HEAD_START_S)
        return child

    # --- what came of it -------------------------------------------------------------------------

    def _struck(self, met: Met, fault: Any) -> tuple[Struck, ...]:
        """It fired if a call failed, and the other one did something."""
        rows = super()._struck(met, fault.pause)
        return rows if not fault.error or any(row.fault != _STOP for row in rows) else ()

    def _judged(self, fault: Any, met: Met) -> Trial:
        for place, (lane, told) in enumerate(met.told):
            if refusal := self._refusal_of(told, *self.last[place]):
                self.hangs += 1  # whoever waits in vain for a lock does so for seconds
                sentence = f"client {lane.client} can't write any more, though no call fails: {refusal}"
                judgement = Judgement(Violation("not_writable", sentence))
                return self._trial(fault, met, self._history(met), judgement, self._site(met, judgement))
        return super()._judged(fault, met)

    def _refusal_of(self, told: Told, number: int, operation: Any) -> str:
        """Why a client could not do its last operation, even when it had reopened the store; or nothing."""
        ends = [told.parts[n].completion for n in (number, number + 1) if n in told.parts]
        if any(end is None or end.outcome is not Outcome.INFO for end in ends):
            return ""
        error = ends[-1].error if len(ends) == 2 and ends[-1] else next(reversed(told.troubles), "it can't be opened")
        return f"{describe(operation, limit=80)} after reopening: {error}"

    def judge(self, met: Met, made: History) -> Judgement:
        """An operation that is gone, and had returned though a call in it failed, is a matter of that."""
        judgement = super().judge(met, made)
        failed = _failed(met)
        if judgement.violation is None or failed is None or judgement.blamed is None:
            return judgement
        told, number, _ = failed
        part = told.parts.get(judgement.blamed)
        if part is None or not part.since < number <= part.to:
            return judgement
        sentence = f"a call failed, the operation returned as if it had not, and {judgement.violation.sentence}"
        return dataclasses.replace(judgement, violation=Violation("swallowed_error", sentence))

    def _site(self, met: Met, judgement: Judgement) -> CallSite | None:
        """What was lost was overwritten by what the process wrote after the failure, where it did; else the call that
        failed is to blame."""
        failed = _failed(met)
        if judgement.violation is None or failed is None:
            return super()._site(met, judgement)
        told, number, hit = failed
        if judgement.violation.kind in ("not_writable", "swallowed_error"):
            return hit.site
        part = next((part for part in told.parts.values() if part.since < number <= part.to), None)
        return lanes.last_publishing(told.course, number, None if part is None else part.to) or hit.site

    def hang_site(self, met: Met, told: Told) -> CallSite | None:
        """The call that failed, if one did: whoever waits does so for what it left behind."""
        failed = _failed(met)
        return super().hang_site(met, told) if failed is None else failed[2].site


def _failed(met: Met) -> tuple[Told, int, Strike] | None:
    """The first call that failed: what its process told, its number, and where it was."""
    struck = [(told, number, hit) for _, told in met.told for number, hit, _ in told.struck]
    return next((item for item in struck if item[2].fault != _STOP), None)


def _waits_in_vain(child: Child) -> bool:
    """Whether it neither ends nor asks for another chance."""
    child.told.ready = False
    return child.hear_until_ready(writers.PATIENCE_S) and not child.told.ready


def _wait(voice: Voice, pipe: tuple[int, int]) -> None:
    voice.say(Word.READY)
    real.read(pipe[0], 1)
