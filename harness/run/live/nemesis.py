"""Faults on a schedule: a client goes on through kills, stalls and failing calls, in one process after another.

A run has as many lives as its schedule kills it, and one more. After each kill the next process opens what was left,
which is judged as after any kill; then the client goes on with the operation after the one that was interrupted. In
the end all faults are over, and the store must show everything that it owes, and work.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.core.operations import describe
from harness.core.trace import CallSite, Image, empty_image
from harness.core.workload import Reopen, Workload
from harness.inject import kills
from harness.inject.kills import Called, Kill, Moment
from harness.inject.nemesis import FAULTS, Schedule, Strike, schedules
from harness.judge.classify import Violation
from harness.judge.oracle import Oracle, window
from harness.judge.recovery import judge
from harness.record import kernel
from harness.record.scan import scan
from harness.run.live.forks import Told, Voice
from harness.run.live.gates import Strike as Hit
from harness.run.live.injectors import Conductor
from harness.run.live.kills import KillEngine, died
from harness.run.live.speaking import SpeakingClient
from harness.run.live.values import Exhibit, Struck, Trial

#: Schedules for one workload.
SCHEDULES = 24


@dataclass(frozen=True, slots=True)
class Life:
    """One process of a run: the steps that it had left, and what is known from before it.

    `calls` were made before it, `first` operations begun. `starts` are the states that may be there when it begins:
    all that the kill before it may have left, for what the next process makes of that it may make again otherwise,
    as long as it is killed again. There is none at first.
    """

    steps: tuple[Any, ...]
    first: int = 0
    calls: int = 0
    starts: tuple[Any, ...] = ()

    @property
    def operations(self) -> tuple[Any, ...]:
        return Workload("life", self.steps).operations

    def after(self, told: Told, starts: tuple[Any, ...]) -> Life:
        """The next one: the client goes on after the last operation that it had begun."""
        begun = told.begun or self.first
        calls = sum(isinstance(item, Called) for item in told.course)
        return Life(_from_operation(self.steps, begun - self.first), begun, self.calls + calls, starts)


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one life."""

    life: Life
    told: Told
    image: Image
    starts: tuple[Any, ...]
    violation: Violation | None


class NemesisEngine(KillEngine):
    """Runs schedules of faults for the claims "process_crash" and "io_error"."""

    fault_types = (Schedule, Strike)

    def __init__(self, bench: Any, workload: Workload, claim: str, promise: str) -> None:
        about_kills = promise if claim == "process_crash" else bench.contract.process_crash
        super().__init__(bench, workload, claim, about_kills or "acknowledged")
        self.claim = claim
        self.kills = about_kills is not None

    def faults(self) -> Iterator[Schedule]:  # type: ignore[override]
        calls = sum(isinstance(item, Called) for item in self.course)
        yield from schedules(self.names(), calls=calls, count=SCHEDULES, seed=self.bench.seed)

    def names(self) -> list[str]:
        """What a schedule for this claim may be made of: only what it is about, and no kill where none is promised."""
        allowed = ("process_crash",) if self.claim == "process_crash" else ("process_crash", "io_error")
        names = [name for name, kind in FAULTS.items() if kind.claim in allowed and (self.kills or not kind.ends)]
        return sorted(names, key=lambda name: FAULTS[name].claim != self.claim)

    def attempt(self, schedule: Schedule) -> Trial:  # type: ignore[override]
        self.bench.materializer.place(empty_image())
        life, lives = Life(self.workload.steps), list[Judged]()
        while True:
            judged = self._judged(life, self._live(schedule, life))
            lives.append(judged)
            if judged.violation is not None or judged.told.done or not judged.told.struck:
                return self._made(schedule, lives)
            self.bench.materializer.place(judged.image)  # as the kill left it, before it was judged
            life = life.after(judged.told, judged.starts)

    def ended(self, schedule: Schedule, violation: Violation) -> Trial:  # type: ignore[override]
        return Trial(1, violation, None, _exhibit(schedule, violation.sentence, [], self.workload), (), self.promise)

    # --- one life --------------------------------------------------------------------------------

    def _live(self, schedule: Schedule, life: Life) -> Told:
        return self._child(functools.partial(self._conducted, schedule, life)).listen()

    def _conducted(self, schedule: Schedule, life: Life, voice: Voice) -> None:
        conductor = Conductor(self.bench.directory, voice, schedule, life.calls)
        with kernel.engage(conductor):
            try:
                SpeakingClient(self.bench, voice, first=life.first).run(Workload(self.workload.name, life.steps))
            finally:
                conductor.finish()

    def _judged(self, life: Life, told: Told) -> Judged:
        """Everything is counted from the beginning of this life."""
        image = scan(self.bench.directory)
        failed = {index - life.first for index in (*told.errors, *self.usual.errors) if index >= life.first}
        oracle = Oracle(self._model(), life.operations, failed, starts=life.starts)
        work = functools.partial(self._recovering, oracle=oracle)
        answer = self._child(work).listen()
        recovery = answer.answer if answer.answer is not None else died(answer)
        settled, begun, synced = (max(0, count - life.first) for count in (told.settled, told.begun, told.synced))
        admissible = window(self.promise, acknowledged=settled, begun=max(begun, settled), synced=synced)
        violation = judge(oracle, recovery, admissible)
        counts = range(admissible.lowest, admissible.highest + 1)
        starts = tuple(state for count in counts for state in oracle.states[count])
        return Judged(life, told, image, starts, _of_errors(violation, told, life))

    def _model(self) -> Any:
        model = self._oracle(frozenset()).model
        assert model is not None
        return model

    # --- what came of it -------------------------------------------------------------------------

    def _made(self, schedule: Schedule, lives: list[Judged]) -> Trial:
        strikes = [struck for judged in lives for struck in judged.told.struck]
        calls = lives[-1].life.after(lives[-1].told, ()).calls
        last = lives[-1]
        if not strikes:
            return Trial(0, promise=self.promise, idle=schedule.never_fired(calls))
        struck = tuple(Struck(strike.site, strike.call, strike.fault) for _, strike, _ in strikes)
        if last.violation is None:
            unknown = "" if last.told.done else f"the store ended its process without any fault ({last.told.ending})"
            return Trial(len(strikes), struck=struck, promise=self.promise, unknown=unknown)
        exhibit = _exhibit(schedule, last.violation.sentence, lives, self.workload)
        return Trial(len(strikes), last.violation, self._site(last), exhibit, struck, self.promise)

    def _site(self, judged: Judged) -> CallSite | None:
        """The last call that failed in this life. Otherwise the last call begun; where one kill alone at the same call
        shows the same, the call site of that one, because it is the same defect."""
        assert judged.violation is not None
        failed = _errors(judged.told)
        if failed:
            return failed[-1][0].site
        course = tuple(judged.told.course)
        struck = judged.told.struck[-1][1].site if judged.told.struck else None
        for kill, trial in self.exact_kills(judged.violation.kind):
            call = kills.call_at(self.course, kill)
            if call is not None and call.site == struck:
                return trial.site
        calls = sum(isinstance(item, Called) for item in course)
        return kills.site_of(course, Kill(Moment.BEFORE, calls or 1))


def _of_errors(violation: Violation | None, told: Told, life: Life) -> Violation | None:
    """What was acknowledged although one of its calls had failed, and is not there, was swallowed."""
    if violation is None or violation.kind != "lost_acknowledged":
        return violation
    erring = {operation - life.first for strike, operation in _errors(told)}
    swallowed = erring & set(violation.operations)
    return dataclasses.replace(violation, kind="swallowed_error") if swallowed else violation


def _errors(told: Told) -> list[tuple[Hit, int]]:
    """The calls that failed, each with the operation under way."""
    return [(hit, operation) for _, hit, operation in told.struck if FAULTS[hit.fault].claim == "io_error"]


def _exhibit(schedule: Schedule, sentence: str, lives: list[Judged], workload: Workload) -> Exhibit:
    strikes = [
        f"{strike.fault} at {strike.call}{'' if strike.site is None else f' in line {strike.site.line}'}"
        for judged in lives
        for _, strike, _ in judged.told.struck
    ]
    settled = sum(len(judged.told.acknowledged) for judged in lives)
    image = lives[-1].image if lives else None
    return Exhibit(
        lines=(*_program(lives, workload), f"<schedule: {schedule.describe()}>"),
        told=f"{settled} of {len(workload.operations)} operations had been acknowledged.",
        called=f"What struck, in order: {', '.join(strikes) or 'nothing'}.",
        reached=f"Faults struck on the schedule {schedule.describe()}, over {_processes(len(lives))}.",
        found=f"{sentence[:1].upper()}{sentence[1:]}.",
        expected="Everything that was acknowledged should have been there, and the store should have worked.",
        before=image,
        after=image,
    )


def _processes(count: int) -> str:
    return f"{count} process{'' if count == 1 else 'es'}"


def _program(lives: list[Judged], workload: Workload) -> Iterator[str]:
    """Each operation with what the client was told; a line for each kill."""
    operations = workload.operations
    for judged in lives:
        told = judged.told
        for index in range(judged.life.first, told.begun):
            fate = "acknowledged" if index in told.acknowledged else told.errors.get(index, "not answered")
            yield f"{describe(operations[index], limit=120)}  # {fate}"
        if told.killed:
            yield "<killed>"


def _from_operation(steps: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    """The steps after so many operations."""
    left = list(steps)
    while left and count:
        count -= not isinstance(left.pop(0), Reopen)
    return tuple(left)


