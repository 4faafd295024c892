"""Several processes at one store: each opens the directory by itself, and one of them stops where it does most harm.

All of them are forked from the worker, in which no store has run. When they have ended the store is opened once more,
in another process, and its state ends the history, which is judged by `harness.history`. Contents that are the same
are read once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pickle
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.history import Disturbance, History
from harness.core.trace import CallSite, Image, empty_image
from harness.core.workload import Workload
from harness.inject import kills
from harness.inject.writers import Pause, Race, pauses
from harness.judge.classify import Violation
from harness.record import kernel
from harness.record import originals as real
from harness.record.kernel import Call
from harness.record.scan import scan
from harness.run.live import lanes
from harness.run.live.bench import Bench, NoBoard
from harness.run.live.concurrent import Judgement, judged
from harness.run.live.forks import Child, Part, Told, Voice, Word
from harness.run.live.gates import Narrator, kill_this_process, site_here, stop_this_process
from harness.run.live.gates import Strike as Halted
from harness.run.live.kills import fingerprint
from harness.run.live.lanes import Lane, LaneClient
from harness.run.live.values import Exhibit, Struck, Trial
from harness.run.recovering import Recoverer, StoreFailed

#: How long clients may take that carry out a few operations, and how long the others may work while one stands still.
PATIENCE_S = 20.0
HEAD_START_S = 5.0
#: A hang is seen often enough after so many.
_HANGS_MOST = 2
#: Free races of one workload.
RACES = 60
#: How often one is repeated at most that has to show something again.
AGAIN = 40


class Halt(Narrator):
    """Says every call, and stops the process before one of them, or kills it there."""

    def __init__(self, directory: Path, voice: Voice, number: int, *, kill: bool = False) -> None:
        super().__init__(directory, voice)
        self._number = number
        self._kill = kill
        self._resumed = False

    def at(self, number: int, call: Call, make: Any) -> Any:
        if number != self._number:
            return super().at(number, call, make)

        def stopped(*size: int) -> Any:
            strike = Halted(call.name.removeprefix("file_"), site_here(), "kill" if self._kill else "stop")
            self._voice.say(Word.STRUCK, number, pickle.dumps(strike))
            if self._kill:
                kill_this_process()
            self._stop()
            self._resumed = True
            return make(*size)

        return super().at(number, call, stopped)

    def stop_again(self) -> None:
        """Once, when the operation has ended in which it stopped: whoever waited for a lock goes on first, and nobody
        races with anybody."""
        if self._resumed:
            self._resumed = False
            self._stop()

    def _stop(self) -> None:
        self._voice.say(Word.STALLED)
        stop_this_process()


@dataclass(slots=True)
class Met:
    """What came of one trial: each client with what it told, and what is in the directory afterwards."""

    told: list[tuple[Lane, Told]]
    image: Image
    disturbances: tuple[Disturbance, ...] = ()
    doomed: bool = False

    @property
    def hung(self) -> int | None:
        """The place of the first client that had to be ended; of one that was `doomed` to die, the first, none."""
        for place, (_, told) in enumerate(self.told):
            if told.killed and not told.done and not (self.doomed and told.struck):
                return place
        return None


@dataclass(frozen=True, slots=True)
class Final:
    """What the store shows at last, or why it can't be read."""

    state: Any = None
    failure: str = ""


class ProcessesEngine:
    """Stops the first of two processes before each of its calls, for the claim "writers"."""

    fault_types: tuple[type, ...] = (Pause, Race)
    killed = False

    def __init__(self, bench: Bench, workload: Workload, claim: str, promise: str) -> None:
        self.bench = bench
        self.workload = workload
        self.promise = promise
        self.beginning, *self.lanes = lanes.lanes_of(workload)
        self.started: Image = empty_image()
        self.first: list[Part] = []
        self.alone = Told()
        self.finals: dict[str, Final] = {}
        self.hangs = 0

    # --- without a fault -------------------------------------------------------------------------

    def rehearse(self) -> str:
        """The beginning, and then the first client alone, to learn its calls."""
        if refused := self._refusal():
            return refused
        try:
            self.bench.materializer.place(empty_image())
            begun = self._child(self._working(self.beginning)).listen(kill_after_s=PATIENCE_S)
            self.started = scan(self.bench.directory)
            if begun.done and self.lanes:
                self.alone = self._child(self._working(self.lanes[0])).listen(kill_after_s=PATIENCE_S)
        except OSError as error:
            return f"no process can be forked here ({error.strerror})"
        self.first = list(begun.parts.values())
        if not (begun.done and (self.alone.done or not self.lanes)):
            return "the store ended its process without any fault, or did not return"
        return next(iter(begun.troubles + self.alone.troubles), "")

    def _refusal(self) -> str:
        owed = "acknowledged" in (self.bench.contract.process_crash, self.bench.contract.power_loss)
        if self.killed and self.bench.contract.process_crash != "acknowledged":
            return "nothing is promised about what a killed process had been answered"
        return "" if owed else "what was answered is owed only later, so nobody knows what others should read"

    @property
    def operations(self) -> int:
        return len(self.workload.operations)

    def faults(self) -> Iterator[Pause]:
        if len(self.lanes) > 1:
            yield from pauses(self.alone.course, self.inside(), killed=self.killed)

    def inside(self) -> set[int]:
        """The calls of the first client that belong to its operations, by number from 1."""
        return calls_inside(self.alone)

    # --- one trial -------------------------------------------------------------------------------

    def attempt(self, fault: Any) -> Trial:
        if self.hangs >= _HANGS_MOST:
            return Trial(0, promise=self.promise, idle="clients hung, and more of that says nothing new")
        met = self._meet(fault)
        struck = self._struck(met, fault)
        if not struck:
            return Trial(0, promise=self.promise, idle=self._idle(met))
        return self._judged(fault, met) if met.hung is None else self._hung(fault, met, met.hung)

    def _hung(self, fault: Any, met: Met, place: int) -> Trial:
        self.hangs += 1
        lane, told = met.told[place]
        sentence = f"client {lane.client} did not return within {PATIENCE_S:g} seconds, though nobody stood still"
        judgement = Judgement(Violation("hang", sentence))
        return self._trial(fault, met, self._history(met), judgement, self.hang_site(met, told))

    def _judged(self, fault: Any, met: Met) -> Trial:
        final = self._final(met.image)
        made = self._history(met, final)
        if final.failure:
            judgement = Judgement(Violation("cannot_open", f"when all clients had ended, {final.failure}"))
        else:
            judgement = self.judge(met, made)
        return self._trial(fault, met, made, judgement, self._site(met, judgement))

    def judge(self, met: Met, made: History) -> Judgement:
        """What the answers and the state at the end say."""
        return judged(made, self.bench.adapter.model)

    def hang_site(self, met: Met, told: Told) -> CallSite | None:
        """Whose doing it is that a client did not return, of which this was `told`."""
        return _last(told)

    def ended(self, fault: Any, violation: Violation) -> Trial:
        return Trial(1, violation, promise=self.promise)

    def _meet(self, fault: Pause) -> Met:
        """The first client stops where the fault says, the others work, and it goes on or dies."""
        self.bench.materializer.place(self.started)
        others = [(lane, os.pipe()) for lane in self.lanes[1:]]
        children = [self._waiting(lane, pipe) for lane, pipe in others] if fault.early else []
        stopped: list[int] = []

        def meanwhile() -> None:
            if stopped:  # the second time
                for child in children:
                    child.hear_until_it_waits(HEAD_START_S)
                return
            stopped.append(lanes.now_ns())
            self.stands()
            if not fault.early:
                children.extend(self._waiting(lane, pipe) for lane, pipe in others)
            for child, (_, pipe) in zip(children, others, strict=True):
                let_go(pipe)
                child.hear_until_it_waits(HEAD_START_S)
            self.goes_on()
            if fault.killed:
                os.kill(first.pid, signal.SIGKILL)
            stopped.append(lanes.now_ns())

        first = self._child(self._working(self.lanes[0], fault.call))
        try:
            told = [(self.lanes[0], first.listen(kill_after_s=PATIENCE_S + HEAD_START_S, stalled=meanwhile))]
            for child, (lane, pipe) in zip(children, others, strict=False):
                let_go(pipe)
                told.append((lane, child.listen(kill_after_s=PATIENCE_S + HEAD_START_S)))
        finally:
            close_all(pipe for _, pipe in others)
        what = "client 1 stood still" + (", and was killed" if fault.killed else "")
        disturbances = (Disturbance(what, *stopped),) if len(stopped) == 2 else ()
        return Met(told, scan(self.bench.directory), disturbances, doomed=fault.killed)

    def stands(self) -> None:
        """The first client stands still now; what else is to happen."""

    def goes_on(self) -> None:
        """The others have done what they could, and the first client goes on now; what else is to happen."""

    def engaged(self, gate: Halt, voice: Voice) -> contextlib.AbstractContextManager[None]:
        """What stands between a client and the operating system."""
        return kernel.engage(gate)

    def _struck(self, met: Met, fault: Any) -> tuple[Struck, ...]:
        """It fired if the client stopped, and another one did something meanwhile."""
        hits = [hit for _, told in met.told for _, hit, _ in told.struck]
        busy = any(told.parts for _, told in met.told[1:])
        return tuple(Struck(hit.site, hit.call, _word(hit.fault, fault)) for hit in hits) if hits and busy else ()

    def _idle(self, met: Met) -> str:
        troubles = [trouble for _, told in met.told for trouble in told.troubles]
        return f"no client got to work while another stood still: {troubles[0]}" if troubles else ""

    # --- children --------------------------------------------------------------------------------

    def _child(self, work: Any) -> Child:
        return Child(NoBoard(), work, self.bench.unit)

    def _working(self, lane: Lane, stop_at: int = 0) -> Any:
        def work(voice: Voice) -> None:
            halt = Halt(self.bench.directory, voice, stop_at)
            with self.engaged(halt, voice):
                LaneClient(self.bench, voice, halt.stop_again).perform(lane)

        return work

    def _waiting(self, lane: Lane, pipe: tuple[int, int], stop_at: int = 0, *, kill: bool = True) -> Child:
        """A client that has opened the store, and does nothing before it is let go. Before its call number `stop_at` it
        is killed, or else stopped; if that is 0, neither."""

        def begin(voice: Voice) -> None:
            voice.say(Word.READY)
            real.read(pipe[0], 1)

        def work(voice: Voice) -> None:
            with self.engaged(Halt(self.bench.directory, voice, stop_at, kill=kill and bool(stop_at)), voice):
                LaneClient(self.bench, voice).perform(lane, functools.partial(begin, voice))

        child = self._child(work)
        child.hear_until_ready(HEAD_START_S)
        return child

    # --- what came of it -------------------------------------------------------------------------

    def _final(self, image: Image) -> Final:
        key = fingerprint(image)
        if key not in self.finals:
            told = self._child(self._reading).listen(kill_after_s=PATIENCE_S)
            ended = Final(failure=f"opening or reading the store did not return, or ended its process ({told.ending})")
            self.finals[key] = ended if told.answer is None else told.answer
        return self.finals[key]

    def _reading(self, voice: Voice) -> None:
        recoverer = Recoverer(self.bench.adapter, self.bench.directory, NoBoard(), lambda: True, self.bench.unit)
        try:
            final = Final(recoverer.read())
        except StoreFailed as failure:
            final = Final(failure=failure.sentence())
        voice.say(Word.ANSWER, payload=pickle.dumps(final))

    @property
    def first_parts(self) -> dict[int, Part]:
        """The operations of the beginning, by number."""
        return dict(zip((number for number, _ in self.beginning.numbered), self.first, strict=False))

    def _history(self, met: Met, final: Final | None = None) -> History:
        told = [(lane, told.parts) for lane, told in met.told]
        begun = (self.beginning, self.first_parts)
        known = {} if final is None else {"final": final.state, "has_final": not final.failure}
        return lanes.history([begun, *told], met.disturbances, **known)

    def _site(self, met: Met, judgement: Judgement) -> CallSite | None:
        """Where the operation that stood still wrote last: one defect shows wherever it stands in it. Otherwise where
        the client stood; where nobody stood still, where the operation wrote last that is to blame."""
        if judgement.violation is None:
            return None
        told = next((told for _, told in met.told if told.struck), None)
        if told is None:
            return _of_operation(met, judgement.blamed)
        number, hit, _ = told.struck[0]
        part = next((part for part in told.parts.values() if part.since < number <= part.to), None)
        since, to = (number - 1, None) if part is None else (part.since, part.to)
        return lanes.last_publishing(told.course, since, to) or hit.site or _last(told)

    def _trial(self, fault: Any, met: Met, made: History, judgement: Judgement, site: CallSite | None) -> Trial:
        struck = self._struck(met, fault)
        if judgement.violation is None:
            return Trial(len(struck), struck=struck, promise=self.promise, unknown=judgement.unknown)
        exhibit = exhibit_of(fault.describe(), made, judgement.violation, self.started, met.image)
        return Trial(len(struck), judgement.violation, site, exhibit, struck, self.promise)


class WriterKillsEngine(ProcessesEngine):
    """The same, but the process that stands still is killed there, perhaps with a lock in its hands."""

    killed = True


class RacesEngine(ProcessesEngine):
    """Clients that run freely, at whatever speed the machine gives them; in every second race one of them is killed."""

    def faults(self) -> Iterator[Race]:  # type: ignore[override]
        may_kill = self.bench.contract.process_crash == "acknowledged"
        for number in range(RACES if len(self.lanes) > 1 else 0):
            yield Race(number, kills=may_kill and number % 2 == 1)

    def attempt(self, fault: Race) -> Trial:
        """What went wrong in one race is told of one that is repeated until it does again."""
        for _ in range(fault.rounds):
            trial = super().attempt(fault)
            if trial.violation is not None:
                break
        return dataclasses.replace(trial, instead=dataclasses.replace(fault, rounds=AGAIN))

    def _meet(self, fault: Race) -> Met:  # type: ignore[override]
        """All clients open the store, and begin together."""
        self.bench.materializer.place(self.started)
        calls = len(self.alone.course)
        points = kills.spread(list(range(1, calls + 1)), 1, f"race {self.bench.seed} {fault.number}")
        pipe = os.pipe()
        try:
            stops = [points[0] if fault.kills and place == 0 and points else 0 for place in range(len(self.lanes))]
            children = [self._waiting(lane, pipe, stop) for lane, stop in zip(self.lanes, stops, strict=True)]
            real.write(pipe[1], b"g" * len(children))
            deadline = time.perf_counter() + PATIENCE_S
            talking = children
            while talking and time.perf_counter() < deadline:  # whoever holds a lock must not wait for a listener
                talking = [child for child in talking if child.hear_a_little()]
            told = [child.listen(kill_after_s=PATIENCE_S) for child in children]
        finally:
            close_all([pipe])
        met = list(zip(self.lanes, told, strict=True))
        return Met(met, scan(self.bench.directory), doomed=fault.kills)

    def _struck(self, met: Met, fault: Any) -> tuple[Struck, ...]:
        """It fired if operations of several clients were carried out."""
        if not lanes.overlaps(self._history(met)):
            return ()
        told = next(told for _, told in met.told if told.parts)
        return (Struck(_last(told), "", "race"),)


# --- helpers ------------------------------------------------------------------------------------


def calls_inside(told: Told) -> set[int]:
    """The calls of a client that belong to its operations, by number from 1."""
    return {n + 1 for part in told.parts.values() for n in range(part.since, min(part.to, len(told.course)))}


def exhibit_of(what: str, made: History, violation: Violation, before: Image, after: Image | None) -> Exhibit:
    """The story: a line for each operation of each client, and what stood still."""
    answered = sum(called.completed_ns is not None for called in made)
    sentence = f"{violation.sentence[:1].upper()}{violation.sentence[1:]}."
    return Exhibit(
        lines=(*lanes.lines(made), f"<{what}>"),
        told=f"{answered} of {len(made)} operations had been answered: {'; '.join(lanes.timed_lines(made))}.",
        called="; ".join(item.what for item in made.disturbances) or "Nobody was stopped.",
        reached=f"{what[:1].upper()}{what[1:]}.",
        found=sentence,
        expected="What all clients were told should have one order, within the times of their calls.",
        before=before,
        after=after,
    )


def _of_operation(met: Met, number: int | None) -> CallSite | None:
    """Where an operation wrote last; of any operation, if it is not known which."""
    for _, told in met.told:
        if number in told.parts:
            part = told.parts[number]
            return lanes.last_publishing(told.course, part.since, part.to)
    sites = (lanes.last_publishing(told.course) for _, told in met.told)
    return next((site for site in sites if site is not None), None)


def _last(told: Told) -> CallSite | None:
    """The line of the last call that it began."""
    sites: Sequence[CallSite] = [item.site for item in told.course if isinstance(item, kills.Called) and item.site]
    return sites[-1] if sites else None


def _word(fault: str, planned: Any) -> str:
    return "kill" if planned.killed else fault


def let_go(pipe: tuple[int, int]) -> None:
    """Whoever waits for a word goes on."""
    real.write(pipe[1], b"g")


def close_all(pipes: Any) -> None:
    for pipe in pipes:
        for end in pipe:
            with contextlib.suppress(OSError):
                real.close(end)
