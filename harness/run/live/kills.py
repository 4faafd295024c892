"""Killed writers: a child process runs a workload, dies at some moment, and another one opens what it left.

The workload runs in a child forked from the worker, and so does every recovery: no store ever runs in the worker
itself, so that nothing which a store keeps in a module comes from an earlier trial, and no thread of it is forked.
States with the same contents for which the same is owed are recovered once.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.core.operations import describe
from harness.core.trace import CallSite, Image, InodeKind, Trace, empty_image
from harness.core.workload import Reopen, Workload
from harness.inject import kills
from harness.inject.kills import Course, Kill, Moment
from harness.judge.classify import Violation
from harness.judge.oracle import Oracle, window
from harness.judge.recovery import Recovery, judge
from harness.record import kernel
from harness.record.scan import scan
from harness.run.exploring import spare_operations
from harness.run.live import lanes
from harness.run.live.bench import Bench
from harness.run.live.damage import following_operations, oracle_for
from harness.run.live.forks import Child, SpokenBoard, Told, Voice, Word
from harness.run.live.gates import Narrator, Stops
from harness.run.live.speaking import SpeakingClient
from harness.run.live.values import Exhibit, Struck, Trial
from harness.run.recovering import Recoverer, StoreFailed, kind_of_failure

#: Calls of one recovery at which it is killed.
RECOVERY_POINTS = 4
#: How long another writer may work while the first stands still, before the first goes on.
_HEAD_START_S = 5.0


@dataclass(slots=True)
class Aftermath:
    """What a killed writer left, and what the next process made of it."""

    told: Told
    image: Image
    recovery: Recovery
    violation: Violation | None = None


class KillEngine:
    """Kills writers for the claim "process_crash" at exact moments."""

    fault_types: tuple[type, ...] = (Kill, Moment)

    def __init__(self, bench: Bench, workload: Workload, claim: str, promise: str) -> None:
        self.bench = bench
        self.workload = workload
        self.promise = promise
        self.usual = Told()
        self.course: Course = ()
        self.recovered: dict[tuple[Any, ...], Recovery] = {}
        self.oracles: dict[frozenset[int], Oracle] = {}
        self.exact: dict[Kill, Trial] = {}
        self.streak = _Streak()

    # --- without a fault -------------------------------------------------------------------------

    def rehearse(self) -> str:
        """Run the workload once to its end, and learn its calls."""
        try:
            self.usual = self._run(self._narrated)
            if self.usual.unsupported:
                self.workload = without(self.workload, self.usual.unsupported)
                self.usual = self._run(self._narrated)
        except OSError as error:
            return f"no process can be forked here ({error.strerror})"
        self.course = tuple(self.usual.course)
        if not self.usual.done:
            return f"the store ended its process without any fault ({self.usual.ending})"
        return next(iter(self.usual.troubles), "")

    @property
    def operations(self) -> int:
        return len(self.workload.operations)

    def faults(self) -> Iterator[Kill]:
        yield from kills.kills(self.course, self.bench.seed)
        yield from kills.kills_in_recovery(self.course, self.bench.seed)
        yield from kills.stalls(self.course, self.bench.seed)

    # --- one kill --------------------------------------------------------------------------------

    def attempt(self, kill: Kill) -> Trial:
        match kill.moment:
            case Moment.RECOVERING:
                return self._killed_again(kill)
            case Moment.STALLED:
                return self._stalled(kill)
        return self._killed(kill)

    def ended(self, kill: Kill, violation: Violation) -> Trial:
        site = None  # where it was killed by the clock, nobody knows any more
        if kill.moment is not Moment.RANDOM:
            site = self.streak.site(violation.kind, kills.site_of(self.course, kill))
        exhibit = self._exhibit(kill, violation.sentence, self.usual, None)
        return Trial(1, violation, site, exhibit, self._struck(kill), self.promise)

    def _killed(self, kill: Kill) -> Trial:
        after = self._aftermath(self._run(functools.partial(self._until, kill)))
        if not after.told.struck:
            return Trial(0, promise=self.promise)
        site = kills.site_of(self.course, kill)
        return self._trial(kill, after, self.streak.site(_kind(after), site))

    def _trial(self, kill: Kill, after: Aftermath, site: CallSite | None, fired: int = 1) -> Trial:
        struck = self._struck(kill)
        if after.violation is None:
            return Trial(fired, struck=struck, promise=self.promise)
        exhibit = self._exhibit(kill, after.violation.sentence, after.told, after.image)
        return Trial(fired, after.violation, site, exhibit, struck, self.promise)

    def _struck(self, kill: Kill) -> tuple[Struck, ...]:
        call = kills.call_at(self.course, kill)
        return () if call is None else (Struck(call.site, call.name, kills.word(kill, self.course)),)

    def exact_kills(self, kind: str) -> Iterator[tuple[Kill, Trial]]:
        """All kills at exact moments that show a violation of this kind, in order; they are tried once."""
        if not self.exact:
            self.exact = {kill: self._killed(kill) for kill in kills.kills(self.course, self.bench.seed)}
        for kill, trial in self.exact.items():
            if trial.violation is not None and trial.violation.kind == kind:
                yield kill, trial

    # --- in children -----------------------------------------------------------------------------

    def _run(self, work: Callable[[Voice], None], **how: Any) -> Told:
        """The workload in an empty directory."""
        self.bench.materializer.place(empty_image())
        return self._child(work).listen(**how)

    def _child(self, work: Callable[[Voice], None]) -> Child:
        return Child(self.bench.board, work, self.bench.unit)

    def _narrated(self, voice: Voice) -> None:
        with kernel.engage(self._narrator(voice)):
            SpeakingClient(self.bench, voice).run(self.workload)

    def _until(self, kill: Kill, voice: Voice) -> None:
        gate = self._stopper(kill, voice)
        with kernel.engage(gate):
            SpeakingClient(self.bench, voice, acknowledged=gate.acknowledged).run(self.workload)

    def _recovering(self, voice: Voice, oracle: Oracle) -> None:
        recovery = self._recoverer(voice).recover(oracle, self._spare())
        voice.say(Word.ANSWER, payload=pickle.dumps(recovery))

    def _reading(self, voice: Voice, gate: Callable[[Voice], Any]) -> None:
        """Open what is left, read it and close, as the first part of every recovery does."""
        with kernel.engage(gate(voice)):
            try:
                self._recoverer(voice).read()
            except StoreFailed:
                return

    def _recoverer(self, voice: Voice) -> Recoverer:
        board = SpokenBoard(self.bench.board, voice)
        return Recoverer(self.bench.adapter, self.bench.directory, board, lambda: True, self.bench.unit)

    def _spare(self) -> tuple[Any, ...]:
        known = Trace(empty_image(), (), self.workload.operations, "", 0, self.usual.errors)
        return spare_operations(self.bench.adapter.model, known)

    # --- judging ---------------------------------------------------------------------------------

    def _aftermath(self, told: Told) -> Aftermath:
        """Recover what is in the directory now, and judge that by what the client had been told."""
        image = scan(self.bench.directory)
        failed = frozenset(told.errors) | frozenset(self.usual.errors)
        recovery = self._recovery(image, failed)
        admissible = window(self.promise, acknowledged=told.settled, begun=told.begun, synced=told.synced)
        return Aftermath(told, image, recovery, judge(self._oracle(failed), recovery, admissible))

    def _recovery(self, image: Image, failed: frozenset[int]) -> Recovery:
        key = (fingerprint(image), failed)
        if key not in self.recovered:
            oracle = self._oracle(failed)
            told = self._child(functools.partial(self._recovering, oracle=oracle)).listen()
            self.recovered[key] = told.answer if told.answer is not None else died(told)
        return self.recovered[key]

    def _oracle(self, failed: frozenset[int]) -> Oracle:
        if failed not in self.oracles:
            self.oracles[failed] = oracle_for(self.bench.adapter, self.workload.operations, failed)
        return self.oracles[failed]

    # --- killed again while it recovers ----------------------------------------------------------

    def _killed_again(self, kill: Kill) -> Trial:
        """Kill the next process at some calls of its recovery; what a third one reads is owed as to the first."""
        first = self._run(functools.partial(self._until, kill.first()))
        image = scan(self.bench.directory)
        if not first.struck or self._aftermath(first).violation is not None:
            return Trial(0, promise=self.promise)  # the first kill breaks the promise already
        self.bench.materializer.place(image)
        survey = self._child(functools.partial(self._reading, gate=self._narrator)).listen()
        course = tuple(survey.course)
        points = list(kills.kills(course, self.bench.seed))
        fired, site, last = 0, None, Aftermath(first, image, Recovery())
        for point in _telling_points(course, points, self.bench.seed):
            self.bench.materializer.place(image)
            gate = functools.partial(self._stopper, point)
            fired += bool(self._child(functools.partial(self._reading, gate=gate)).listen().struck)
            last, site = self._aftermath(first), kills.site_of(course, point)
            if last.violation is not None:
                break
        return self._trial(kill, last, site, fired)

    def _narrator(self, voice: Voice) -> Narrator:
        return Narrator(self.bench.directory, voice)

    def _stopper(self, kill: Kill, voice: Voice) -> Stops:
        return Stops(self.bench.directory, voice, kill)

    # --- stopped, and going on -------------------------------------------------------------------

    def _stalled(self, kill: Kill) -> Trial:
        """With several processes at once another one writes meanwhile; otherwise nothing may have happened."""
        others: list[Child] = []
        operation = following_operations(self.bench.adapter.model, list(self.workload.operations))[0]

        def write_meanwhile() -> None:
            if self.bench.contract.writers == "processes":
                child = self._child(functools.partial(self._writing, operation))
                child.hear_until_it_waits(_HEAD_START_S)
                others.append(child)

        told = self._run(functools.partial(self._until, kill), stalled=write_meanwhile)
        other = others[0].listen() if others else Told()
        if not told.struck or not told.done:
            return Trial(0, promise=self.promise)
        after = self._of_both(told, other, operation) if other.begun else self._aftermath(told)
        # One defect shows wherever its operation stands still: the place is where that writes last.
        written = lanes.last_publishing(kills.operation_at(self.course, kill)) if other.begun else None
        return self._trial(kill, after, written or kills.site_of(self.course, kill))

    def _writing(self, operation: Any, voice: Voice) -> None:
        SpeakingClient(self.bench, voice).run(Workload("other", (operation,)))

    def _of_both(self, told: Told, other: Told, operation: Any) -> Aftermath:
        """Judge by the order of all operations that fits best: the other's may be anywhere among those of the first."""
        image = scan(self.bench.directory)
        read = self._child(self._read_only).listen()
        orders = [self._order(told, other, operation, place) for place in range(told.begun + 1)]
        fitting = (oracle for oracle in orders if read.done and told.begun + 1 in oracle.matches(read.answer))
        oracle = next(fitting, orders[-1])
        self.bench.materializer.place(image)
        answer = self._child(functools.partial(self._recovering, oracle=oracle)).listen()
        recovery = answer.answer if answer.answer is not None else died(answer)
        both = window(self.promise, acknowledged=told.settled + 1, begun=told.begun + 1, synced=told.synced)
        return Aftermath(told, image, recovery, judge(oracle, recovery, both))

    def _read_only(self, voice: Voice) -> None:
        try:
            voice.say(Word.ANSWER, payload=pickle.dumps(self._recoverer(voice).read()))
        except StoreFailed:
            return

    def _order(self, told: Told, other: Told, operation: Any, place: int) -> Oracle:
        mine = self.workload.operations
        failed = {index + (index >= place) for index in (*told.errors, *self.usual.errors)}
        if not other.acknowledged:
            failed.add(place)
        return oracle_for(self.bench.adapter, (*mine[:place], operation, *mine[place:]), failed)

    # --- what the story needs --------------------------------------------------------------------

    def _exhibit(self, kill: Kill, sentence: str, told: Told, image: Image | None) -> Exhibit:
        call = kills.call_at(self.course, kill)
        where = "" if call is None or call.site is None else f" in line {call.site.line} of {_file(call.site)}"
        called = f"It was at {call.name}{where}." if call is not None else "It was between two calls."
        settled = sum(index in told.acknowledged for index in range(self.operations))
        return Exhibit(
            lines=(*program(self.workload, told), f"<{kill.describe()}>"),
            told=f"{settled} of {self.operations} operations had been acknowledged.",
            called=called,
            reached=f"{_sentence(kill.describe())}; every completed call is on the disk.",
            found=f"{_sentence(sentence)}.",
            expected=_expected(self.promise, told),
            before=image,
            after=image,
        )


class RandomKillEngine(KillEngine):
    """Kills writers at moments that a clock decides: anywhere, also where no call of Python's is seen."""

    def faults(self) -> Iterator[Kill]:
        yield from kills.random_kills(self.bench.seed)

    def attempt(self, kill: Kill) -> Trial:
        return self._any_time(kill) if kill.moment is Moment.RANDOM else super().attempt(kill)

    def _any_time(self, kill: Kill) -> Trial:
        told = self._run(self._narrated, kill_after_s=kills.duration_s(kill, self.usual.seconds))
        if told.done or not told.killed:  # it was faster this time, as it will be the next time
            self.usual.seconds = min(told.seconds, self.usual.seconds)
            return Trial(0, promise=self.promise)
        after = self._aftermath(told)
        if after.violation is None:
            return Trial(1, promise=self.promise)
        exact = self._at_an_exact_moment(told, after.violation.kind)
        return exact or self._trial(kill, after, kills.site_of(tuple(told.course), kill))

    def _at_an_exact_moment(self, told: Told, kind: str) -> Trial | None:
        """The same violation by a kill that can be repeated.

        All kills before it are tried as well, in order and once, because what the first of a row did, the others keep.
        """
        number = sum(isinstance(item, kills.Called) for item in told.course)
        last = max(told.acknowledged, default=-1)
        for kill, trial in self.exact_kills(kind):
            if kill.number == (last if kill.moment is Moment.ACKNOWLEDGED else number):
                return dataclasses.replace(trial, instead=kill)
        return None


class _Streak:
    """Kills in a row that show the same kind of violation: what the first did, the others keep."""

    def __init__(self) -> None:
        self._kind = ""
        self._site: CallSite | None = None

    def site(self, kind: str, site: CallSite | None) -> CallSite | None:
        """The call site of the first of them; `kind` is empty where nothing is wrong."""
        if kind != self._kind:
            self._kind, self._site = kind, site
        return self._site


# --- helpers ------------------------------------------------------------------------------------


def without(workload: Workload, unsupported: set[int]) -> Workload:
    """The workload without the operations with these indices."""
    steps, index = [], -1
    for step in workload.steps:
        index += not isinstance(step, Reopen)
        if isinstance(step, Reopen) or index not in unsupported:
            steps.append(step)
    return Workload(workload.name, tuple(steps))


def fingerprint(image: Image) -> str:
    """A digest of all that a recovery can see: names, contents, attributes, links, and the order of times."""
    digest = hashlib.blake2b()
    paths = image.paths()
    ranks = {time: rank for rank, time in enumerate(sorted({node.mtime_ns for node in image.nodes.values()}))}
    for path, number in paths.items():
        node = image.nodes[number]
        rank = -1 if node.kind is InodeKind.DIRECTORY else ranks[node.mtime_ns]
        first = next(other for other, same in paths.items() if same == number)
        digest.update(repr((path, first, node.kind.value, node.mode, rank, node.target, node.attributes)).encode())
        digest.update(hashlib.blake2b(node.content).digest())
    return digest.hexdigest()


def died(told: Told) -> Recovery:
    """A recovery that ended its process."""
    return Recovery(kind_of_failure(told.step), f"{told.step} ended its process ({told.ending})")


def program(workload: Workload, told: Told) -> Iterator[str]:
    """What the client did, with what it was told."""
    index = 0
    for step in workload.steps:
        if index >= told.begun and told.begun < len(workload.operations):
            return
        if isinstance(step, Reopen):
            yield "Reopen()"
            continue
        fate = f"raised {told.errors[index]}" if index in told.errors else "acknowledged"
        fate = fate if index in told.errors or index in told.acknowledged else "not answered yet"
        yield f"{describe(step, limit=120)}  # {fate}"
        index += 1


def _telling_points(course: Course, points: list[Kill], seed: int) -> list[Kill]:
    """Some kills of a recovery: where it has just changed something, else anywhere."""
    changing = [number for number, call in enumerate(course, 1) if isinstance(call, kills.Called) and call.changes]
    after = {number + 1 for number in changing} | {0}
    telling = [kill for kill in points if kill.moment is not Moment.BEFORE or kill.number in after]
    return kills.spread(telling or points, RECOVERY_POINTS, f"points {seed}")


def _kind(after: Aftermath) -> str:
    return "" if after.violation is None else after.violation.kind


def _expected(promise: str, told: Told) -> str:
    if promise == "acknowledged":
        return f"It should have opened, with the {told.settled} operations that had been answered."
    if promise == "synced":
        return f"It should have opened, with the {told.synced} operations before the last sync."
    return "It should have opened, with the state after some number of operations."


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _file(site: CallSite) -> str:
    return os.path.basename(site.file)
