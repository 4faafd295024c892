"""Threads that share one handle take turns while they are recorded, and the power fails at every moment of that.

What a client was told has to be there afterwards, whoever made it durable. A commit for several (group commit) that
answers for what was written while its sync went on, or that leaves a sync to somebody else and does not wait for him,
does nothing wrong in a trace of one client. So the crash states of each schedule are read, and judged by the answers
up to there: an operation without one may have happened or not. Answers to reads are left out, because what a read may
show early is another question (ADR 0010). What is wrong at a moment though nothing was lost is no doing of the power,
and left to the claim "writers".
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.core.history import Called, History, Outcome, history_of
from harness.core.operations import describe
from harness.core.persistence import PersistenceModel
from harness.core.trace import CallSite, Image, IoEvent, MarkerKind, Trace
from harness.core.workload import Workload
from harness.crash.losses import last_begun, site_of
from harness.crash.states import CrashState, Enumerator, Limits
from harness.history.values import LOST_UPDATE
from harness.inject.writers import Outage, spread_first, turns
from harness.judge.classify import Violation
from harness.record import Recorder
from harness.record.replay import replay
from harness.run.exploring import event_at_fault, what_is_unseen
from harness.run.live import lanes
from harness.run.live.bench import Bench
from harness.run.live.concurrent import judged
from harness.run.live.crossings import Scene
from harness.run.live.forks import Voice, Word
from harness.run.live.kills import fingerprint
from harness.run.live.lanes import Lane
from harness.run.live.syncs import models_of
from harness.run.live.threads import SAMPLED, Shared, ThreadsEngine, Witness, line_in_words
from harness.run.live.turnlock import TurnLock
from harness.run.live.turnstile import Switch, Turnstile
from harness.run.live.values import Exhibit, Struck, Trial
from harness.run.live.writers import PATIENCE_S, Final, Met
from harness.run.recovering import Recoverer, StoreFailed

#: Crash states of one schedule and model.
_LIMITS = Limits(states_per_point=100, bounded_per_point=12, states=400)
_MARKS = (MarkerKind.BEGIN, MarkerKind.ACKNOWLEDGE, MarkerKind.FAIL)


@dataclass(frozen=True, slots=True)
class Seen:
    """The recorded course of some threads, and the steps at which they came back from making something durable."""

    trace: Trace
    returns: tuple[int, ...]


class Recording(Witness):
    """Records the threads; `base` is what the directory was made from."""

    def __init__(self, bench: Bench, base: Image, operations: tuple[Any, ...], turnstile: Turnstile) -> None:
        self._lock = TurnLock(turnstile)
        self._recorder = Recorder(bench.directory, base, before_sync=self._lock.before_sync, lock=self._lock)
        self._operations = operations

    def begin(self) -> None:
        self._recorder.start()

    def mark(self, kind: MarkerKind, number: int) -> None:
        self._recorder.mark(kind, number)

    def end(self) -> Seen:
        return Seen(self._recorder.finish(self._operations), tuple(self._lock.returns))


@dataclass(slots=True)
class Crash:
    """A content of the disk after a crash behind `event`, with what the clients knew and the line of the call that was
    lost. `key` is the fingerprint of the content."""

    event: int
    image: Image
    key: str
    model: PersistenceModel
    made: History
    site: CallSite | None


class PowerThreadsEngine(ThreadsEngine):
    """Lets threads take turns, and then the power fail, for the claim "power_loss"."""

    fault_types: tuple[type, ...] = (Outage,)

    def __init__(self, bench: Bench, workload: Workload, claim: str, promise: str) -> None:
        super().__init__(bench, workload, claim, promise)
        self.lanes = [lane for lane in map(lanes.changes, self.lanes) if lane.numbered]
        self.models = models_of(bench.contract.models())
        self.right: set[tuple[Any, ...]] = set()  # stories that were judged, over all schedules
        self.returns: tuple[int, ...] = ()
        self.undecided = ""  # why a history could not be judged, if one could not

    # --- without a fault -------------------------------------------------------------------------

    def rehearse(self) -> str:
        """One thread after the other: that much has to survive, and be seen by the recorder."""
        if refused := super().rehearse():
            return refused
        if len(self.lanes) < 2:
            return "only one client changes anything"
        seen: Seen = self.usual.seen
        self.returns = seen.returns
        if blind := what_is_unseen(seen.trace):
            return blind
        if self._first_wrong(seen.trace, self.usual) is not None:
            return "the store does not survive a loss of power even if its clients work one after another"
        return ""

    def _refusal(self) -> str:
        contract = self.bench.contract
        if contract.writers == "one":
            return "only one client may work at a time"
        return "" if contract.power_loss == "acknowledged" else "what was answered is owed only later"

    def faults(self) -> Iterator[Outage]:  # type: ignore[override]
        """First where the first thread comes back from a sync, right before that, and right after; then everywhere."""
        every = turns(self.usual.first_steps, self.usual.steps, self.bench.seed, SAMPLED)
        returns = [step for step in self.returns if step <= self.usual.first_steps]
        near = [(step + by,) for by in (0, -1, 1) for step in spread_first(returns)]
        for switches in dict.fromkeys((*near, *(turn.switches for turn in every))):
            yield Outage(switches)

    def afterwards(self) -> Iterator[Any]:
        yield from ()

    def witness(self, turnstile: Turnstile, scene: Scene) -> Witness:
        return Recording(self.bench, self.started, self.workload.operations, turnstile)

    # --- one trial -------------------------------------------------------------------------------

    def attempt(self, fault: Outage) -> Trial:  # type: ignore[override]
        if self.hangs:
            return Trial(0, promise=self.promise, idle="threads waited for ever, and more of that says nothing new")
        told = self._shared(self._scene(fault))
        shared: Shared | None = told.answer
        if shared is None or shared.is_stuck:
            self.hangs += 1  # what comes of that is a matter of the claim "writers"
            return Trial(0, promise=self.promise, idle="the threads did not come to an end")
        if not shared.switched:
            return Trial(0, promise=self.promise, idle="no thread had to wait for another")
        return self._crashed(fault, shared)

    def _crashed(self, fault: Outage, shared: Shared) -> Trial:
        struck = tuple(Struck(switch.site, "", "power loss") for switch in shared.switched[:1])
        trace: Trace = shared.seen.trace
        if blind := what_is_unseen(trace):
            return Trial(len(struck), struck=struck, promise=self.promise, unknown=blind)
        found = self._first_wrong(trace, shared)
        if found is None:
            return Trial(len(struck), struck=struck, promise=self.promise, unknown=self.undecided)
        crash, violation = found
        exhibit = self._exhibit(fault, shared.switched, crash, violation)
        return Trial(len(struck), violation, crash.site, exhibit, struck, self.promise, (crash.model.name,))

    def _first_wrong(self, trace: Trace, shared: Shared) -> tuple[Crash, Violation] | None:
        for model in self.models:
            crashes = list(self._crashes(trace, shared, model))
            self._read(crashes)
            for crash in crashes:
                violation = self._judged_crash(crash)
                if violation is not None and self._needs_the_power(trace, crash):
                    return crash, violation
        return None

    def _needs_the_power(self, trace: Trace, crash: Crash) -> bool:
        """Whether all is right at this moment if nothing is lost."""
        image = replay(dataclasses.replace(trace, events=trace.events[: crash.event + 1]))
        whole = dataclasses.replace(crash, image=image, key=fingerprint(image))
        self._read((whole,))
        return self._judged_crash(whole) is None

    def _crashes(self, trace: Trace, shared: Shared, model: PersistenceModel) -> Iterator[Crash]:
        """The crash states of a course, each with the history up to there."""
        counted = _counted(trace)
        for state in Enumerator(counted, model, seed=self.bench.seed, limits=_LIMITS):
            made = self._until(trace, shared, state.event)
            image = state.image()
            yield Crash(state.event, image, fingerprint(image), model, made, _lost_at(trace, model, state))

    def _until(self, trace: Trace, shared: Shared, event: int) -> History:
        """What the clients had been told when the power failed after `event`. Times are those of the trace: places."""
        started = [_before(called) for called in lanes.called(self.beginning, self.first_parts)]
        return history_of([*started, *_called_until(trace, self.lanes, shared, event)])

    # --- reading and judging ---------------------------------------------------------------------

    def _read(self, crashes: Iterable[Crash]) -> None:
        """Read all contents that are new, in one process; what fails there is read once more in one of its own."""
        new = {crash.key: crash.image for crash in crashes if crash.key not in self.finals}
        if not new:
            return
        told = self._child(lambda voice: self._reading_all(list(new.values()), voice)).listen(kill_after_s=PATIENCE_S)
        self.bench.materializer.forget()
        finals = told.answer or [Final(failure="unread")] * len(new)
        for (key, image), final in zip(new.items(), finals, strict=True):
            if final.failure:
                self.bench.materializer.place(image)
                self._final(image)
            else:
                self.finals[key] = final

    def _reading_all(self, images: list[Image], voice: Voice) -> None:
        bench = self.bench
        recoverer = Recoverer(bench.adapter, bench.directory, bench.board, lambda: True, bench.unit)
        finals = []
        for image in images:
            bench.materializer.place(image)
            try:
                finals.append(Final(recoverer.read()))
            except StoreFailed as failure:
                finals.append(Final(failure=failure.sentence()))
            bench.surroundings.restore()
        voice.say(Word.ANSWER, payload=pickle.dumps(finals))

    def _judged_crash(self, crash: Crash) -> Violation | None:
        final = self.finals[crash.key]
        if final.failure:
            return Violation("cannot_open", f"after the loss of power {final.failure}")
        story = (crash.key, tuple((called.number, called.invoked_ns, called.completed_ns) for called in crash.made))
        if story in self.right:
            return None
        made = dataclasses.replace(crash.made, final=final.state, has_final=True)
        judgement = judged(made, self.bench.adapter.model)
        self.undecided = self.undecided or judgement.unknown
        if judgement.violation is None:
            self.right.add(story)
            return None
        lost = judgement.violation.kind == LOST_UPDATE
        return gone(judgement.violation, made) if lost else judgement.violation

    def _exhibit(
        self, fault: Outage, switched: tuple[Switch, ...], crash: Crash, violation: Violation
    ) -> Exhibit:
        return Exhibit(
            lines=(*lanes.lines(crash.made), f"<{fault.describe()}>"),
            told="What each client had been told stands beside its operation.",
            called="; ".join(map(self._stood, switched)) + ".",
            reached=f"{fault.describe()[:1].upper()}{fault.describe()[1:]} (model {crash.model.name}).",
            found=f"{violation.sentence[:1].upper()}{violation.sentence[1:]}.",
            expected="What a client was told is there after a loss of power, whoever made it durable.",
            before=self.started,
            after=crash.image,
        )

    def _stood(self, switch: Switch) -> str:
        line = "" if switch.site is None else f" in {line_in_words(switch.site)}"
        return f"Client {self.lanes[switch.place].client} stood{line}, while another one went on"

    def _struck(self, met: Met, fault: Any) -> tuple[Struck, ...]:
        return ()


# --- helpers ------------------------------------------------------------------------------------


def gone(violation: Violation, made: History) -> Violation:
    """What is an update that others overwrote if nothing else happens is lost here."""
    lost = [called for called in made if called.number in violation.operations]
    names = " and ".join(f"{describe(called.operation)} of client {called.client}" for called in lost)
    sentence = f"{names} was acknowledged, and is gone; reading gives {describe(made.final, limit=120)}"
    return Violation("lost_acknowledged", sentence, violation.operations)


def _marks(events: Iterable[IoEvent]) -> Iterator[tuple[int, MarkerKind, int]]:
    """Places, kinds and operations of the beginnings and ends of operations."""
    for place, event in enumerate(events):
        if event.marker is not None and event.marker.kind in _MARKS:
            yield place, event.marker.kind, event.marker.operation


def _counted(trace: Trace) -> Trace:
    """The same trace with operations numbered as they begin, and as they end: what is known at a crash is then told by
    two counts, whichever clients these belong to."""
    events, counts = list(trace.events), {True: 0, False: 0}
    begun = [operation for _, kind, operation in _marks(trace.events) if kind is MarkerKind.BEGIN]
    for place, kind, _ in _marks(trace.events):
        begins = kind is MarkerKind.BEGIN
        marker = events[place].marker
        assert marker is not None
        events[place] = dataclasses.replace(events[place], marker=dataclasses.replace(marker, operation=counts[begins]))
        counts[begins] += 1
    return dataclasses.replace(trace, events=tuple(events), operations=tuple(trace.operations[n] for n in begun))


def _called_until(trace: Trace, every: list[Lane], shared: Shared, event: int) -> Iterator[Called]:
    """The operations that had begun, as far as they had been answered; times are places in the trace."""
    marks = list(_marks(trace.events[: event + 1]))
    begun = {operation: place for place, kind, operation in marks if kind is MarkerKind.BEGIN}
    ended = {operation: place for place, kind, operation in marks if kind is not MarkerKind.BEGIN}
    for lane, parts in zip(every, shared.parts, strict=True):
        for called in lanes.called(lane, parts):
            if called.number not in begun:
                continue
            called = dataclasses.replace(called, invoked_ns=begun[called.number])
            if called.number in ended and called.completed_ns is not None:
                yield dataclasses.replace(called, completed_ns=ended[called.number])
            else:
                error = called.error or "it was not answered before the power failed"
                yield Called(called.number, called.client, called.operation, called.invoked_ns, error=error)


def _before(called: Called) -> Called:
    """An operation of the beginning comes before all places of the trace."""
    end = None if called.outcome is Outcome.INFO else called.number - 1_000_000
    return dataclasses.replace(called, invoked_ns=called.number - 1_000_000, completed_ns=end)


def _lost_at(trace: Trace, model: PersistenceModel, state: CrashState) -> CallSite | None:
    """The line of the call that was lost, as for one client; where nothing was, of the last that was begun."""
    lost = state.losses()
    return site_of(trace, event_at_fault(model, lost) if lost.damaged else last_begun(trace, state.event))
