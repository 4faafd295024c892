"""Threads that share one handle of a store, and take turns on a schedule (`turnstile`).

Every trial runs in a forked process of its own, because a thread that waits for ever can't be ended. With one switch
every place of the first thread's operations is tried; with two, a seeded sample. The locks that threads take are
watched in all of these, and while operations of every kind are done one by one: where their orders make a cycle,
threads are led to it (`crossings`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.core.history import Disturbance, Outcome
from harness.core.trace import CallSite, MarkerKind, empty_image
from harness.core.workload import Workload
from harness.explore.clients import every_kind
from harness.inject.writers import Crossing, Failure, Outage, Stand, Turns, turns
from harness.judge.classify import Violation
from harness.judge.lock_order import Request
from harness.judge.lock_order import place as line_of
from harness.record import kernel
from harness.record.scan import scan
from harness.run.live import steppedlocks
from harness.run.live.bench import Bench, Client, NoBoard
from harness.run.live.concurrent import Judgement
from harness.run.live.crossings import LockOrders, Scene
from harness.run.live.forks import Part, Told, Voice, Word
from harness.run.live.lanes import Lane, completed, now_ns, pickled
from harness.run.live.turnstile import PATIENCE_S as STANDING_S
from harness.run.live.turnstile import Standing, Switch, Turnstile
from harness.run.live.values import Struck, Trial
from harness.run.live.writers import PATIENCE_S, Met, ProcessesEngine

#: Pairs of switches that are tried after all single ones.
SAMPLED = 200


@dataclass(slots=True)
class Shared:
    """What a process tells whose threads shared a handle. `before` is what was done first, `courses` are the I/O calls
    of each thread, `first_steps` the number of steps when the first had ended; `stuck` says where those stand that will
    never end. `requests` are those for locks, and `complete` tells whether that is all of them. `seen` is what a
    witness saw."""

    parts: list[dict[int, Part]] = field(default_factory=list)
    before: dict[int, Part] = field(default_factory=dict)
    courses: list[list[Any]] = field(default_factory=list)
    steps: int = 0
    first_steps: int = 0
    switched: tuple[Switch, ...] = ()
    stuck: list[Standing] = field(default_factory=list)
    is_stuck: bool = False
    deadlocked: bool = False
    requests: list[Request] = field(default_factory=list)
    complete: bool = True
    seen: Any = None


class Witness:
    """Is told in the process of the threads what they do; this one takes no notice."""

    def begin(self) -> None:
        """The store is about to be opened."""

    def watching(self) -> contextlib.AbstractContextManager[None]:
        """What holds while the threads take turns."""
        return contextlib.nullcontext()

    def mark(self, kind: MarkerKind, number: int) -> None:
        """An operation begins in this thread, or has ended."""

    def end(self) -> Any:
        """All threads have ended; what there is to be told."""


class ThreadsEngine(ProcessesEngine):
    """Lets threads take turns on one handle, for the claim "writers"."""

    fault_types: tuple[type, ...] = (Turns, Crossing, Stand)

    def __init__(self, bench: Bench, workload: Workload, claim: str, promise: str) -> None:
        super().__init__(bench, workload, claim, promise)
        self.usual = Shared()
        self.orders = LockOrders()

    # --- without a fault -------------------------------------------------------------------------

    def rehearse(self) -> str:
        """The beginning, and then one thread after the other, to learn their steps."""
        if refused := self._refusal():
            return refused
        try:
            self.bench.materializer.place(empty_image())
            begun = self._child(self._working(self.beginning)).listen(kill_after_s=PATIENCE_S)
            self.started = scan(self.bench.directory)
            told = self._shared(self._scene(Turns(())))
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

    def afterwards(self) -> Iterator[Crossing]:
        """Where the orders of locks that were seen make a cycle, schedules on which it may strike."""
        if len(self.lanes) > 1 and not self.hangs:
            self._shared(self._survey())
            yield from self.orders.crossings()

    def notes(self) -> list[str]:
        """What is worth saying of cycles that did not strike."""
        return self.orders.notes()

    @property
    def lock_orders(self) -> int:
        """How many orders of locks were seen."""
        return self.orders.count

    # --- scenes ----------------------------------------------------------------------------------

    def _scene(self, fault: Turns | Outage | Failure | Crossing) -> Scene:
        if not isinstance(fault, Crossing):
            return Scene(tuple(self.lanes), switches=fault.switches)
        before = Lane(0, tuple(enumerate(fault.before, len(self.workload.operations))))
        numbers = len(self.workload.operations) + len(fault.before)
        meeting = tuple(Lane(n + 1, ((numbers + n, operation),)) for n, operation in enumerate(fault.meeting))
        return Scene(meeting or tuple(self.lanes), before, fault.switches, fault.stands)

    def _survey(self) -> Scene:
        """Operations of every kind by two threads, one after the other."""
        seed = f"{self.bench.seed} {self.workload.name}"
        each = enumerate(every_kind(self.bench.adapter, seed, 2))
        lanes = (Lane(n + 1, tuple(enumerate(operations, 1_000 * n))) for n, operations in each)
        return Scene(tuple(lanes), in_turn=True)

    # --- one trial -------------------------------------------------------------------------------

    def attempt(self, fault: Turns | Outage | Failure | Crossing) -> Trial:
        if self.hangs:
            return Trial(0, promise=self.promise, idle="threads waited for ever, and more of that says nothing new")
        scene = self._scene(fault)
        told = self._shared(scene)
        shared = told.answer or Shared()
        met = Met(_told(scene, shared, told), scan(self.bench.directory))
        if told.answer is None:
            return self._ended(fault, met, told)
        if idle := self._unstruck(shared):
            return Trial(0, promise=self.promise, idle=idle)
        if shared.is_stuck:
            return self._stuck(fault, scene, met, shared)
        return self._judged(fault, met)

    def _unstruck(self, shared: Shared) -> str:
        """Why a run says nothing, or nothing."""
        return "" if shared.switched else "no thread had to wait for another"

    def _ended(self, fault: Turns | Outage | Failure | Crossing, met: Met, told: Told) -> Trial:
        self.hangs += 1
        kind = "hang" if told.killed else "cannot_open"
        sentence = f"the process of the threads ended ({told.ending})"
        return self._trial(fault, met, self._history(met), Judgement(Violation(kind, sentence)), None)

    def _stuck(self, fault: Turns | Outage | Failure | Crossing, scene: Scene, met: Met, shared: Shared) -> Trial:
        """Every thread's place is told, and in the story its stack."""
        self.hangs += not shared.deadlocked
        clients = [(f"client {scene.lanes[standing.place].client}", standing) for standing in shared.stuck]
        where = "; ".join(f"{client} stands in {line_in_words(standing.site)}" for client, standing in clients)
        stacks = "; ".join(f"{client} stands in {_stack(standing)}" for client, standing in clients)
        sites = [standing.site for standing in shared.stuck]
        if shared.deadlocked:
            self.orders.deadlocked(map(line_of, sites))
            violation = Violation("deadlock", f"threads wait for each other: {where}")
        else:
            violation = Violation("hang", f"no thread went on for {STANDING_S:g} seconds: {where}")
        met.disturbances = (*met.disturbances, Disturbance(stacks, 0, 0))
        return self._trial(fault, met, self._history(met), Judgement(violation), min(sites, key=str, default=None))

    def _struck(self, met: Met, fault: Any) -> tuple[Struck, ...]:
        hits = [hit for _, told in met.told for _, hit, _ in told.struck]
        return tuple(Struck(hit.site, "", "switch") for hit in hits)

    # --- in the process of the threads -----------------------------------------------------------

    def _shared(self, scene: Scene) -> Told:
        self.bench.materializer.place(self.started)
        told = self._child(lambda voice: self._taking_turns(scene, voice)).listen(kill_after_s=2 * PATIENCE_S)
        if told.answer is not None and not scene.stands:
            self.orders.add(scene, told.answer.requests, complete=told.answer.complete)
        return told

    def witness(self, turnstile: Turnstile, scene: Scene) -> Witness:
        """Who is told what happens in the process of the threads."""
        return Witness()

    def _taking_turns(self, scene: Scene, voice: Voice) -> None:
        turnstile = Turnstile(self.bench.directory, len(scene.lanes), scene.switches, scene.stands)
        steppedlocks.install(turnstile)
        witness = self.witness(turnstile, scene)
        witness.begin()
        client = Client(dataclasses.replace(self.bench, board=NoBoard()))
        if not client.open():
            voice.say(Word.TROUBLE, payload=client.elsewhere[-1][:1000].encode(errors="replace"))
            return
        turnstile.locks.opened()
        shared = Shared()
        _carry_out(client, scene.before, shared.before, [])
        members = turnstile.members
        workers = [_Worker(client, lane, n, turnstile, witness) for n, lane in enumerate(scene.lanes)]
        with kernel.engage(turnstile), witness.watching():
            ended = turnstile.run([worker.work for worker in workers])
        shared.parts = [worker.parts for worker in workers]
        shared.courses = [member.course for member in members]
        shared.steps, shared.first_steps = turnstile.steps, workers[0].steps
        shared.switched = tuple(turnstile.switched)
        shared.requests, shared.complete = turnstile.locks.requests(), not turnstile.locks.is_full
        if ended:
            shared.seen = witness.end()
            client.close()
        else:
            shared.stuck, shared.is_stuck = turnstile.stacks(), True
            shared.deadlocked = len(shared.stuck) > 1 and turnstile.in_cycle
        voice.say(Word.ANSWER, payload=pickle.dumps(shared))


class _Worker:
    """What one of the threads does with the handle that all share."""

    def __init__(self, client: Client, lane: Lane, place: int, turnstile: Turnstile, witness: Witness) -> None:
        self.client = client
        self.lane = lane
        self.place = place
        self.turnstile = turnstile
        self.witness = witness
        self.parts: dict[int, Part] = {}
        self.steps = 0

    def work(self) -> None:
        course = self.turnstile.members[self.place].course
        for number, operation in self.lane.numbered:
            self.turnstile.locks.operations[self.place] = number
            self.witness.mark(MarkerKind.BEGIN, number)
            _carry_out(self.client, Lane(self.lane.client, ((number, operation),)), self.parts, course)
            self.witness.mark(_ending(self.parts[number]), number)
        self.steps = self.turnstile.steps


def _carry_out(client: Client, lane: Lane, parts: dict[int, Part], course: list[Any]) -> None:
    """The operations of a lane; what becomes of each is noted in `parts`."""
    for number, operation in lane.numbered:
        part = parts[number] = Part(now_ns(), len(course))
        completion = completed(client.bench, *client.handle, operation)
        part.completion, part.to = pickle.loads(pickled(completion)), len(course)


def _ending(part: Part) -> MarkerKind:
    answered = part.completion is not None and part.completion.outcome is Outcome.OK
    return MarkerKind.ACKNOWLEDGE if answered else MarkerKind.FAIL


# --- what came of it ----------------------------------------------------------------------------


def _told(scene: Scene, shared: Shared, told: Told) -> list[tuple[Lane, Told]]:
    """Each client with what it told, and before them all what was done first."""
    parts = shared.parts or [{} for _ in scene.lanes]
    courses = shared.courses or [[] for _ in scene.lanes]
    each = [dataclasses.replace(told, parts=mine, course=course) for mine, course in zip(parts, courses, strict=True)]
    for switch in shared.switched[:1]:
        each[switch.place].struck = [(switch.call + 1, switch, -1)]
    first = dataclasses.replace(told, parts=shared.before, course=[])
    return [(scene.before, first), *zip(scene.lanes, each, strict=True)]


def line_in_words(site: CallSite) -> str:
    return f"line {site.line} of {os.path.basename(site.file)}, in {site.function}"


def _stack(standing: Standing) -> str:
    """The lines of the store on the stack of a thread, and those of its locks."""
    held = ", ".join(f"line {site.line} of {os.path.basename(site.file)}" for site in standing.held)
    lines = ", called from ".join(map(line_in_words, standing.stack))
    return f"{lines}, with what it locked in {held}" if held else lines
