"""Threads that share one handle of a store, and take turns on a schedule (`turnstile`).

Every trial runs in a forked process of its own, because a thread that waits for ever can't be ended. With one switch
every place of the first thread's operations is tried; with two, a seeded sample.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.core.history import Disturbance
from harness.core.trace import CallSite, empty_image
from harness.core.workload import Workload
from harness.inject.writers import Turns, turns
from harness.judge.classify import Violation
from harness.record import kernel
from harness.record.scan import scan
from harness.run.live import steppedlocks
from harness.run.live.bench import Bench, Client, NoBoard
from harness.run.live.concurrent import Judgement
from harness.run.live.forks import Part, Told, Voice, Word
from harness.run.live.lanes import Lane, completed, now_ns, pickled
from harness.run.live.turnstile import PATIENCE_S as STANDING_S
from harness.run.live.turnstile import Switch, Turnstile
from harness.run.live.values import Struck, Trial
from harness.run.live.writers import PATIENCE_S, Met, ProcessesEngine

#: Pairs of switches that are tried after all single ones.
SAMPLED = 200


@dataclass(slots=True)
class Shared:
    """What a process tells whose threads shared a handle. `courses` are the I/O calls of each, `first_steps` the
    number of steps when the first had ended; `stuck` says where those stand that will never end."""

    parts: list[dict[int, Part]] = field(default_factory=list)
    courses: list[list[Any]] = field(default_factory=list)
    steps: int = 0
    first_steps: int = 0
    switched: tuple[Switch, ...] = ()
    stuck: list[tuple[int, CallSite]] = field(default_factory=list)
    is_stuck: bool = False
    deadlocked: bool = False


class ThreadsEngine(ProcessesEngine):
    """Lets threads take turns on one handle, for the claim "writers"."""

    fault_types: tuple[type, ...] = (Turns,)

    def __init__(self, bench: Bench, workload: Workload, claim: str, promise: str) -> None:
        super().__init__(bench, workload, claim, promise)
        self.usual = Shared()

    # --- without a fault -------------------------------------------------------------------------

    def rehearse(self) -> str:
        """The beginning, and then one thread after the other, to learn their steps."""
        if refused := self._refusal():
            return refused
        try:
            self.bench.materializer.place(empty_image())
            begun = self._child(self._working(self.beginning)).listen(kill_after_s=PATIENCE_S)
            self.started = scan(self.bench.directory)
            told = self._shared(Turns(()))
        except OSError as error:
            return f"no process can be forked here ({error.strerror})"
        self.first = list(begun.parts.values())
        if not (begun.done and told.done and told.answer):
            return next(iter(begun.troubles + told.troubles), "the store ended its process, or did not return")
        self.usual = told.answer
        if self.usual.is_stuck:
            return "threads that come in turn wait for each other"
        return next(iter(begun.troubles + told.troubles), "")

    def faults(self) -> Iterator[Turns]:  # type: ignore[override]
        if len(self.lanes) > 1:
            yield from turns(self.usual.first_steps, self.usual.steps, self.bench.seed, SAMPLED)

    # --- one trial -------------------------------------------------------------------------------

    def attempt(self, fault: Turns) -> Trial:
        if self.hangs:
            return Trial(0, promise=self.promise, idle="threads waited for ever, and more of that says nothing new")
        told = self._shared(fault)
        shared = told.answer or Shared()
        met = Met(self._told(shared, told), scan(self.bench.directory))
        if told.answer is None:
            return self._ended(fault, met, told)
        if not shared.switched:
            return Trial(0, promise=self.promise, idle="no thread had to wait for another")
        if shared.is_stuck:
            return self._stuck(fault, met, shared)
        return self._judged(fault, met)

    def _ended(self, fault: Turns, met: Met, told: Told) -> Trial:
        self.hangs += 1
        kind = "hang" if told.killed else "cannot_open"
        sentence = f"the process of the threads ended ({told.ending})"
        return self._trial(fault, met, self._history(met), Judgement(Violation(kind, sentence)), None)

    def _stuck(self, fault: Turns, met: Met, shared: Shared) -> Trial:
        """Every thread's place is told."""
        self.hangs += not shared.deadlocked
        where = "; ".join(
            f"client {self.lanes[place].client} stands in line {site.line} of {os.path.basename(site.file)}, in "
            f"{site.function}" for place, site in shared.stuck
        )
        if shared.deadlocked:
            violation = Violation("deadlock", f"threads wait for each other: {where}")
        else:
            violation = Violation("hang", f"no thread went on for {STANDING_S:g} seconds: {where}")
        sites = [site for _, site in shared.stuck]
        met.disturbances = (*met.disturbances, Disturbance(where, 0, 0))
        return self._trial(fault, met, self._history(met), Judgement(violation), min(sites, key=str, default=None))

    def _told(self, shared: Shared, told: Told) -> list[tuple[Lane, Told]]:
        parts = shared.parts or [{} for _ in self.lanes]
        courses = shared.courses or [[] for _ in self.lanes]
        each = [
            dataclasses.replace(told, parts=mine, course=course) for mine, course in zip(parts, courses, strict=True)
        ]
        switched = shared.switched[:1]
        for switch in switched:
            each[switch.place].struck = [(switch.call + 1, switch, -1)]
        return list(zip(self.lanes, each, strict=True))

    def _struck(self, met: Met, fault: Any) -> tuple[Struck, ...]:
        hits = [hit for _, told in met.told for _, hit, _ in told.struck]
        return tuple(Struck(hit.site, "", "switch") for hit in hits)

    # --- in the process of the threads -----------------------------------------------------------

    def _shared(self, fault: Turns) -> Told:
        self.bench.materializer.place(self.started)
        return self._child(lambda voice: self._taking_turns(fault, voice)).listen(kill_after_s=2 * PATIENCE_S)

    def _taking_turns(self, fault: Turns, voice: Voice) -> None:
        turnstile = Turnstile(self.bench.directory, len(self.lanes), fault.switches)
        steppedlocks.install(turnstile)
        client = Client(dataclasses.replace(self.bench, board=NoBoard()))
        if not client.open():
            voice.say(Word.TROUBLE, payload=client.elsewhere[-1][:1000].encode(errors="replace"))
            return
        members = turnstile.members
        workers = [_Worker(client, lane, n, turnstile) for n, lane in enumerate(self.lanes)]
        with kernel.engage(turnstile):
            ended = turnstile.run([worker.work for worker in workers])
        shared = Shared(
            [worker.parts for worker in workers],
            [member.course for member in members],
            turnstile.steps,
            workers[0].steps,
            tuple(turnstile.switched),
        )
        if ended:
            client.close()
        else:
            shared.stuck, shared.is_stuck = turnstile.stacks(), True
            shared.deadlocked = len(shared.stuck) > 1 and turnstile.in_cycle
        voice.say(Word.ANSWER, payload=pickle.dumps(shared))


class _Worker:
    """What one of the threads does with the handle that all share."""

    def __init__(self, client: Client, lane: Lane, place: int, turnstile: Turnstile) -> None:
        self.client = client
        self.lane = lane
        self.place = place
        self.turnstile = turnstile
        self.parts: dict[int, Part] = {}
        self.steps = 0

    def work(self) -> None:
        course = self.turnstile.members[self.place].course
        for number, operation in self.lane.numbered:
            part = self.parts[number] = Part(now_ns(), len(course))
            completion = completed(self.client.bench, *self.client.handle, operation)
            part.completion, part.to = pickle.loads(pickled(completion)), len(course)
        self.steps = self.turnstile.steps
