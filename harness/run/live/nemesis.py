"""Faults on a schedule: a client goes on through kills, stalls and failing calls, in one process after another.

A run has as many lives as its schedule kills it, and one more. After each kill the next process opens what was left,
which is judged as after any kill; then the client goes on with the operation after the one that was interrupted. In
the end all faults are over, and the store must show everything that it owes, and work. A file that is damaged between
two processes ends the run (`resting`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.core.operations import describe
from harness.core.trace import CallSite, Image, empty_image
from harness.core.workload import Reopen, Workload
from harness.inject import damage as injury
from harness.inject import kills
from harness.inject.clocks import Clock
from harness.inject.kills import Called, Kill, Moment
from harness.inject.nemesis import FAULTS, Schedule, Strike, schedules
from harness.judge.classify import Violation
from harness.judge.oracle import Oracle, Window, window
from harness.judge.recovery import judge
from harness.record import kernel
from harness.record.scan import scan
from harness.run.live import resting, timepiece
from harness.run.live.contended import overdue
from harness.run.live.forks import SpokenBoard, Told, Voice, Word
from harness.run.live.gates import Strike as Hit
from harness.run.live.injectors import Conductor, clock_of_this_machine
from harness.run.live.kills import KillEngine, died
from harness.run.live.resting import DamagingAtRest, Wound
from harness.run.live.session import ClockBoard
from harness.run.live.speaking import SpeakingClient
from harness.run.live.timepiece import FileTimes
from harness.run.live.values import Exhibit, Struck, Trial

#: Schedules for one workload, if a job does not say how many.
SCHEDULES = 24
#: At most so many moments are looked at for one at which the faults of another claim do harm alone.
MOVES = 32


@dataclass(frozen=True, slots=True)
class Life:
    """One process of a run: the steps that it had left, and what is known from before it.

    `calls` were made before it, `first` operations begun. `starts` are the states that may be there when it begins:
    all that the kill before it may have left, for what the next process makes of that it may make again otherwise,
    as long as it is killed again. There is none at first. `earlier` are the states that may have been there before.
    """

    steps: tuple[Any, ...]
    first: int = 0
    calls: int = 0
    starts: tuple[Any, ...] = ()
    earlier: tuple[Any, ...] = ()

    @property
    def operations(self) -> tuple[Any, ...]:
        return Workload("life", self.steps).operations

    def after(self, judged: Judged) -> Life:
        """The next one: the client goes on after the last operation that it had begun."""
        begun = judged.told.begun or self.first
        steps = _from_operation(self.steps, begun - self.first)
        earlier = (*self.earlier, *(state for states in judged.oracle.states for state in states))
        return Life(steps, begun, judged.calls, judged.starts, earlier)


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one life; with the damage that was done to what it left, if any was, and its site."""

    life: Life
    told: Told
    image: Image
    oracle: Oracle
    admissible: Window
    violation: Violation | None
    wound: Wound | None = None
    site: CallSite | None = None
    struck: tuple[Struck, ...] = ()

    @property
    def calls(self) -> int:
        """All that have been made, also before it."""
        return self.life.calls + sum(isinstance(item, Called) for item in self.told.course)

    @property
    def starts(self) -> tuple[Any, ...]:
        counts = range(self.admissible.lowest, self.admissible.highest + 1)
        return tuple(state for count in counts for state in self.oracle.states[count])


class NemesisEngine(KillEngine):
    """Runs schedules of faults for the claims "process_crash", "io_error" and "corruption"."""

    fault_types = (Schedule, Strike)

    def __init__(self, bench: Any, workload: Workload, claim: str, promise: str) -> None:
        about_kills = promise if claim == "process_crash" else bench.contract.process_crash
        super().__init__(bench, workload, claim, about_kills or "acknowledged")
        self.claim = claim
        self.repairs = promise == "repaired"
        self.kills = about_kills is not None
        self.given: tuple[Schedule, ...] = bench.extra.get("schedules", ())
        self.clocks = False
        self.past: list[Image] = []

    def rehearse(self) -> str:
        if self.claim == "corruption" and not self.kills:
            return "files are damaged after kills, and nothing is promised about those"
        refused = super().rehearse()
        if not refused:
            self.clocks = not timepiece.probe()
        return refused

    def faults(self) -> Iterator[Schedule]:  # type: ignore[override]
        """Those that were given, if any were, where they are about this claim."""
        if self.given:
            yield from (schedule for schedule in self.given if schedule.claim == self.claim)
            return
        calls = sum(isinstance(item, Called) for item in self.course)
        count = self.bench.extra.get("count", SCHEDULES)
        yield from schedules(self.names(), calls=calls, count=count, seed=self.bench.seed)

    def names(self) -> list[str]:
        """What a schedule for this claim may be made of: only what it is about, and no kill where none is promised."""
        allowed = ("process_crash", self.claim)
        names = [name for name, kind in FAULTS.items() if kind.claim in allowed and (self.kills or not kind.ends)]
        names = [name for name in names if self.clocks or not FAULTS[name].off_s]
        return sorted(names, key=lambda name: FAULTS[name].claim != self.claim)

    def attempt(self, schedule: Schedule) -> Trial:  # type: ignore[override]
        trial = self._tried(schedule)
        if trial.violation is None or self.given or self.claim == "process_crash":
            return trial
        if any(self._tried(others).violation for others in self._alone(schedule)):
            # Kills and clocks alone do harm: that is about another claim, and is told there.
            return Trial(trial.fired, struck=trial.struck, promise=self.promise)
        return trial

    def _alone(self, schedule: Schedule) -> Iterator[Schedule]:
        """The faults that are not about this claim: where they were, then ever farther from there.

        A call that fails spares others, or has them made again. What came at a call after it came at another moment
        than it does without, so the same moment has to be looked for.
        """
        others = schedule.without(self.claim)
        if others.strikes:
            calls = sum(isinstance(item, Called) for item in self.course)
            start = min(strike.start for strike in others.strikes)
            nearest = sorted({start, *range(1, calls + 1)}, key=lambda call: abs(call - start))
            yield from map(others.starting_at, nearest[:MOVES])

    def _tried(self, schedule: Schedule) -> Trial:
        self.bench.materializer.place(empty_image())
        life, lives = Life(self.workload.steps), list[Judged]()
        while True:
            judged = self._judged(life, self._live(schedule, life))
            lives.append(judged)
            if judged.violation is not None or judged.told.done or not judged.told.struck:
                return self._made(schedule, lives)
            if (damaged := self._damaged(schedule, judged)) is not None:
                return self._made(schedule, [*lives[:-1], damaged])
            self.bench.materializer.place(judged.image)  # as the kill left it, before it was judged
            life = life.after(judged)

    def ended(self, schedule: Schedule, violation: Violation) -> Trial:  # type: ignore[override]
        return Trial(1, violation, None, _exhibit(schedule, violation.sentence, [], self.workload), (), self.promise)

    # --- one life --------------------------------------------------------------------------------

    def _live(self, schedule: Schedule, life: Life) -> Told:
        return self._child(functools.partial(self._conducted, schedule, life)).listen()

    def _conducted(self, schedule: Schedule, life: Life, voice: Voice) -> None:
        conductor = Conductor(self.bench.directory, voice, schedule, life.calls)
        clock = _clock(schedule)
        workload, bench = Workload(self.workload.name, life.steps), self.bench
        with contextlib.ExitStack() as engaged:
            engaged.enter_context(kernel.engage(conductor))
            if clock is not None:
                engaged.enter_context(timepiece.engaged(clock))
                engaged.enter_context(kernel.engage(FileTimes(clock, str(bench.directory))))
                bench = dataclasses.replace(bench, board=ClockBoard(bench.board, clock))
            try:
                SpeakingClient(bench, voice, first=life.first).run(workload)
            finally:
                conductor.finish()
        if clock is not None and clock.overdue:
            voice.say(Word.ANSWER, payload=pickle.dumps(overdue()))

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
        violation = told.answer or judge(oracle, recovery, admissible)  # a life answers only if a call has hung
        return Judged(life, told, image, oracle, admissible, _of_errors(violation, told, life))

    # --- damaged between two lives ---------------------------------------------------------------

    def _damaged(self, schedule: Schedule, judged: Judged) -> Judged | None:
        """What became of it after damage, or `None` where none was due, or there was nothing to damage."""
        planned = schedule.at_rest(judged.life.calls, judged.calls)
        if planned is None or not judged.told.killed:
            return None
        if not self.past:
            self.past = self._run(functools.partial(resting.look_back, self.bench, self.workload)).answer or []
        wound = resting.choose([*self.past, judged.image], f"{self.bench.seed} {schedule.describe()}")
        if wound is None:
            return None
        injector = DamagingAtRest(self.bench.materializer, judged.image, wound)
        injector.start()
        told = self._child(functools.partial(self._opened_twice, judged.oracle, wound)).listen()
        injector.stop()
        shown = told.answer or resting.Shown(died=died(told))
        violation = resting.judge_damaged(
            judged.oracle, shown, judged.admissible, judged.life.earlier, repaired=self.repairs and wound.one_block
        )
        struck = (Struck(shown.site, shown.call, planned.fault),)
        return dataclasses.replace(judged, violation=violation, wound=wound, site=shown.site, struck=struck)

    def _opened_twice(self, oracle: Oracle, wound: Wound, voice: Voice) -> None:
        bench = dataclasses.replace(self.bench, board=SpokenBoard(self.bench.board, voice))
        resting.open_twice(bench, oracle, wound, voice)

    def _model(self) -> Any:
        model = self._oracle(frozenset()).model
        assert model is not None
        return model

    # --- what came of it -------------------------------------------------------------------------

    def _made(self, schedule: Schedule, lives: list[Judged]) -> Trial:
        last = lives[-1]
        struck = [Struck(hit.site, hit.call, hit.fault) for judged in lives for _, hit, _ in judged.told.struck]
        struck += last.struck
        idle = "" if struck else schedule.never_fired(last.calls)
        if self.claim == "corruption" and not last.struck and not idle:
            idle = f"of the schedule {schedule.describe()!r} no damage fired"
            if last.violation is not None:
                idle = f"the store breaks without any damage: {last.violation.sentence}"
        if idle and struck and self.given:
            return Trial(len(struck), struck=tuple(struck), promise=self.promise, unknown=idle)
        if idle:
            return Trial(0, promise=self.promise, idle=idle)
        if last.violation is None:
            done = last.told.done or last.wound is not None
            unknown = "" if done else f"the store ended its process without any fault ({last.told.ending})"
            return Trial(len(struck), struck=tuple(struck), promise=self.promise, unknown=unknown)
        exhibit = _exhibit(schedule, last.violation.sentence, lives, self.workload)
        return Trial(len(struck), last.violation, self._site(last), exhibit, tuple(struck), self.promise)

    def _site(self, judged: Judged) -> CallSite | None:
        """Of damage, the last line that read it. The last call that failed in this life. Otherwise the last call
        begun; where one kill alone at the same call shows the same, the call site of that one, because it is the same
        defect."""
        assert judged.violation is not None
        if judged.wound is not None:
            return judged.site
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


def _clock(schedule: Schedule) -> Clock | None:
    """A clock that injectors can set, where the schedule sets clocks."""
    if not any(FAULTS[strike.fault].off_s for strike in schedule.strikes):
        return None
    return clock_of_this_machine()


def _errors(told: Told) -> list[tuple[Hit, int]]:
    """The calls that failed, each with the operation under way."""
    return [(hit, operation) for _, hit, operation in told.struck if FAULTS[hit.fault].claim == "io_error"]


def _exhibit(schedule: Schedule, sentence: str, lives: list[Judged], workload: Workload) -> Exhibit:
    strikes = [
        f"{strike.fault} at {strike.call}{'' if strike.site is None else f' in line {strike.site.line}'}"
        for judged in lives
        for _, strike, _ in judged.told.struck
    ]
    wound = lives[-1].wound if lives else None
    if wound is not None:
        strikes.append(wound.damage.describe())
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
        after=image if image is None or wound is None else injury.damaged(image, wound.file.path, wound.content),
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
        if judged.wound is not None:
            yield f"<damage: {judged.wound.damage.describe()}>"


def _from_operation(steps: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    """The steps after so many operations."""
    left = list(steps)
    while left and count:
        count -= not isinstance(left.pop(0), Reopen)
    return tuple(left)


