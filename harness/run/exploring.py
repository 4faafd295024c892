"""The job of a worker: all crash states of one trace, under all models, recovered and judged.

States of different models are often the same content: a recovery is run once for each distinct
content and judged against whatever is admissible. Of the violations only the smallest are kept:
those of one kind whose lost calls contain the lost calls of another say nothing new.
"""

from __future__ import annotations

import pickle
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.models import DOCUMENT, KEY_VALUE, LOG
from harness.core.operations import Append, Put, Save
from harness.core.persistence import PersistenceModel, Survival
from harness.core.trace import (
    Blindness,
    CallSite,
    Image,
    Trace,
)
from harness.crash.losses import Losses, changes_disk, last_begun, site_of, sites_of
from harness.crash.materialize import Materializer
from harness.crash.places import places
from harness.crash.states import Counts, CrashState, Enumerator, Knowledge, Limits
from harness.judge.classify import Violation
from harness.judge.oracle import window
from harness.judge.recovery import Recovery, judge
from harness.run.recovering import Board, Recoverer, Surroundings, oracle_of
from harness.run.remembering import Alike, Recordings
from harness.run.rerecording import Rerecorder
from harness.run.watching import open_watch

#: What a recorder may miss without making crash states wrong: a sync more only makes fewer states legal.
HARMLESS = (Blindness.HIDDEN_SYNC, Blindness.UNPATCHED_REFERENCE)
#: Recoveries under one model that may end a worker before the rest is left out; one hang is as many, because it
#: costs the time limit of a call.
INTERRUPTIONS = 3
#: And of a job, under all models together; each of them costs a worker, a hang also the time limit.
INTERRUPTIONS_IN_ALL = 4
#: Recoveries that one child process records before any of them is crashed.
RECORDED_TOGETHER = 16
#: Recoveries that write are visited in so many rounds.
_STRIDE = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """One persistence model, and the promises to hold its states against (one, but for `survey` all)."""

    model: PersistenceModel
    claim: str
    promises: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExploreJob:
    """One trace to explore; after the first violation under a model, `after_violation` more states.

    `seconds` is only a backstop, for stores that are very slow.

    `interrupted` holds what is known of recoveries that ended a worker: their number, the kind of the
    finding, and a sentence; with as many as `interruptions` the job ends. `stop_at_first` ends it
    at the first violation of that kind and call site. With `inner_file`, the trace of a recovery, it is
    that one which crashes, `start` being what the client knew; `trace_file` then only tells the operations.
    A `sparse` job crashes only some operations of a trace of very many (`harness.crash.places`).
    """

    name: str
    trace_file: str
    plans: tuple[Plan, ...]
    depth: int
    seed: int
    limits: Limits
    samples: int = 0
    stop_at_first: tuple[str, str] | None = None
    interrupted: tuple[tuple[int, str, str], ...] = ()
    inner_file: str = ""
    start: Knowledge | None = None
    after_violation: int = 1_000_000
    interruptions: int = INTERRUPTIONS_IN_ALL
    seconds: float = 36_000.0
    sparse: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """One violation: how to tell the story, and how to do it again.

    `image` is the content of the disk that recovery failed on. In a crash during recovery,
    `inner` is the trace of the recovery, `event` and `losses` speak of it, and `outer` is what led to it.
    With `continues` nothing was lost and the crash point before failed in the same way: the same defect still.
    `sites` are the lines of all lost calls where a model lets each of them be lost or kept; else it is empty.
    """

    model: str
    claim: str
    promise: str
    violation: Violation
    workload: str
    event: int
    knowledge: Knowledge
    losses: Losses
    site: CallSite | None
    image: Image
    recovered: Any
    matches: tuple[int, ...]
    inner: Trace | None = None
    outer: Outer | None = None
    seconds: float = 0.0
    continues: bool = False
    sites: frozenset[CallSite | None] = frozenset()

    @property
    def group(self) -> tuple[str, str, str, bool]:
        """Only those of the same model, promise and kind can say the same."""
        return (self.model, self.promise, self.violation.kind, self.inner is not None)

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """Smaller is easier to understand."""
        return (self.inner is not None, len(self.losses.damaged), len(self.losses.torn), self.event)


@dataclass(frozen=True, slots=True)
class Outer:
    """The first crash, before the one during recovery."""

    event: int
    losses: Losses
    image: Image


@dataclass(frozen=True, slots=True)
class Sample:
    """A state that passed, to be judged again in a fresh interpreter."""

    image: Image
    matches: tuple[int, ...]
    workload: str


@dataclass(slots=True)
class Tally:
    """Counts of one model: first crashes, and crashes during recovery."""

    first: Counts = field(default_factory=Counts)
    nested: Counts = field(default_factory=Counts)
    recoveries_recorded: int = 0
    nested_blind: str = ""


@dataclass(slots=True)
class Explored:
    """What came of a job; `late` if its time was up before its end."""

    name: str
    tallies: dict[str, Tally]
    found: list[Found]
    recoveries: int
    samples: list[Sample]
    seconds: float
    stages: dict[str, float]
    late: bool = False

    @property
    def effort(self) -> str:
        return f"{self.recoveries} recoveries"

    @property
    def defects(self) -> list[Found]:
        """What was found, without what only goes on failing from the crash point before."""
        return minimal(found for found in self.found if not found.continues)


def minimal(founds: Iterable[Found]) -> list[Found]:
    """Those that need no more lines to lose something than another of the same kind, which tells the cause.

    A search that ends early has seen some large sets of losses, but not all of the smaller ones in them.
    """
    rest, sites = list(founds), dict[tuple[str, str, str, bool], set[frozenset[CallSite | None]]]()
    for found in rest:
        sites.setdefault(found.group, set()).add(found.sites)
    return [found for found in rest if not any(other and other < found.sites for other in sites[found.group])]


class Antichain:
    """The smallest violations of each kind: none whose damaged calls contain another's."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str, str, bool], list[Found]] = {}
        self._whole: set[tuple[str, str, str, bool, int]] = set()

    def add(self, found: Found) -> None:
        group = found.group
        if not found.losses.damaged:
            self._whole.add((*group, found.event))
        elif (*group, found.event) in self._whole:
            return  # it fails there even if nothing is lost
        rivals = self.found.setdefault(group, [])
        for rival in rivals:
            if _covers(rival, found):
                return
        rivals[:] = [rival for rival in rivals if not _covers(found, rival)]
        rivals.append(found)

    def __iter__(self) -> Iterator[Found]:
        for rivals in self.found.values():
            yield from rivals


class _Streak:
    """Crash points in a row that fail in the same way though nothing is lost: what the first did, the others keep."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, str, bool], tuple[Trace, int]] = {}

    def goes_on(self, group: tuple[str, str, str, bool], trace: Trace, event: int) -> bool:
        """Whether the crash point before `event` of `trace` failed as this one does; remembers this one."""
        before = self._last.get(group)
        self._last[group] = (trace, event)
        if before is None or before[0] is not trace or before[1] > event:
            return False
        return not any(changes_disk(between) for between in trace.events[before[1] + 1 : event])


def _covers(smaller: Found, larger: Found) -> bool:
    """Whether `larger` says nothing that `smaller` does not say."""
    if not smaller.losses.damaged or not larger.losses.damaged:
        same = smaller.losses.damaged == larger.losses.damaged and smaller.site == larger.site
        return same and (smaller.continues, smaller.event) <= (larger.continues, larger.event)
    if smaller.losses.damaged == larger.losses.damaged:
        return smaller.rank <= larger.rank
    return smaller.losses.damaged < larger.losses.damaged


class Explorer:
    """Runs one job in one directory."""

    def __init__(
        self, adapter: Any, directory: Path, materializer: Materializer, board: Board, job: ExploreJob
    ) -> None:
        outermost = _load(job.trace_file)
        self.trace = _load(job.inner_file) if job.inner_file else outermost
        self.job = job
        self.within = places(self.trace) if job.sparse else None
        self.adapter = adapter
        self.directory = directory
        self.materializer = materializer
        self.oracle = oracle_of(adapter, outermost)
        self.spare = spare_operations(adapter.model, outermost)
        self.recoverer = Recoverer(adapter, directory, board, materializer.changed)
        self.surroundings = Surroundings.now()
        self.rerecorder = Rerecorder(
            self.recoverer, materializer, board, self.oracle, f"{job.trace_file}.recovery", self.surroundings.restore
        )
        self.patience = INTERRUPTIONS
        self.known: dict[int, Recovery] = {}
        self.alike = Alike()
        self.recordings = Recordings()
        self.watch = open_watch()
        self.interrupted = {unit: (how, detail) for unit, how, detail in job.interrupted}
        self.violations = Antichain()
        self.streak = _Streak()
        self.samples: list[Sample] = []
        self.sampling = random.Random(f"samples {job.seed} {job.name}")
        self.started = time.perf_counter()
        self.store_seconds = 0.0
        self.stopped = self.late = False
        self.left = -1  # states still to try under this model; negative: no violation yet

    def run(self) -> Explored:
        tallies = {}
        for plan in self.job.plans:
            tallies[plan.model.name] = self._plan(plan)
            if self.stopped:
                break
        seconds = time.perf_counter() - self.started
        return Explored(
            self.job.name,
            tallies,
            list(self.violations),
            self.recoverer.unit,
            self.samples,
            seconds,
            {"recovering": self.store_seconds},
            self.late,
        )

    # --- one model -----------------------------------------------------------------------

    def _plan(self, plan: Plan) -> Tally:
        tally = Tally()
        enumerator = Enumerator(
            self.trace,
            plan.model,
            seed=self.job.seed,
            limits=self.job.limits,
            start=self.job.start,
            within=self.within,
        )
        again: dict[int, _Rewritten] = {}
        self.left = -1
        self.patience = INTERRUPTIONS
        for state in enumerator:
            recovery = self._recovery(state)
            self._judge(plan, state, recovery, None)
            if self.stopped or self.left == 0:
                break
            self.left -= 1
            if self.job.depth and _worth_crashing_again(state, recovery):
                key = self.alike.representative(state.key)
                if key not in again:
                    count = max(recovery.matches)
                    again[key] = _Rewritten(key, state.image(), state.event, state.losses(), count, [])
                again[key].knowledge.append(state.knowledge)
        tally.first = enumerator.counts
        tally.first.exhausted = tally.first.exhausted and not self.stopped and self.left != 0
        if not self.stopped and self.left < 0:
            self._nested(plan, tally, list(again.values()), enumerator.seen, self.job.depth)
        return tally

    def _recovery(self, state: CrashState) -> Recovery:
        """What recovery shows for this content; run once for all contents that it can't tell apart."""
        known = self.known.get(state.key)
        if known is not None:
            return known
        recovery, image = self.alike.find(state), None
        if recovery is None:
            image = state.image()
            recovery = self._recover(image)
            if self.recoverer.unit not in self.interrupted:  # otherwise nobody has watched
                self.alike.learn(state, recovery, self.watch.stop())
        self.known[state.key] = recovery
        if not recovery.problem and recovery.matches and self.job.samples:
            self._sample(state, image, recovery)
        return recovery

    def _recover(self, image: Image) -> Recovery:
        self.recoverer.unit += 1
        unit = self.recoverer.unit
        if unit in self.interrupted:
            how, detail = self.interrupted[unit]
            self.patience -= INTERRUPTIONS if how == "hang" else 1
            if self.patience <= 0:
                self.left = 0
            self.stopped = unit == max(self.interrupted) and len(self.interrupted) >= self.job.interruptions
            return Recovery(how, detail, wrote=True)
        self.stopped = self.late = time.perf_counter() - self.started > self.job.seconds
        self.materializer.place(image)
        self.watch.start()
        started = time.perf_counter()
        recovery = self.recoverer.recover(self.oracle, self.spare)
        self.store_seconds += time.perf_counter() - started
        self.surroundings.restore()
        return recovery

    def _sample(self, state: CrashState, image: Image | None, recovery: Recovery) -> None:
        """A reservoir, so that every state has the same chance, also those that were not run themselves."""
        slot = len(self.samples)
        if slot >= self.job.samples:
            slot = self.sampling.randrange(len(self.known))
        if slot < self.job.samples:
            sample = Sample(image or state.image(), recovery.matches, self.job.name)
            self.samples[slot : slot + 1] = [sample]

    def _judge(self, plan: Plan, state: CrashState, recovery: Recovery, inside: _Inside | None) -> None:
        known = state.knowledge
        for promise in plan.promises:
            admissible = window(promise, acknowledged=known.acknowledged, begun=known.begun, synced=known.synced)
            violation = judge(self.oracle, recovery, admissible)
            if violation is not None:
                self._violated(plan, promise, state, recovery, violation, inside)

    def _violated(
        self,
        plan: Plan,
        promise: str,
        state: CrashState,
        recovery: Recovery,
        violation: Violation,
        inside: _Inside | None,
    ) -> None:
        trace = self.trace if inside is None else inside.trace
        lost = Losses() if plan.model.survival is Survival.ALL_COMPLETED else state.losses()
        event = event_at_fault(plan.model, lost) if lost.damaged else last_begun(trace, state.event)
        site = site_of(trace, event)
        group = (plan.model.name, promise, violation.kind, inside is not None)
        found = Found(
            plan.model.name,
            plan.claim,
            promise,
            violation,
            self.job.name,
            state.event,
            state.knowledge,
            lost,
            site,
            state.image(),
            recovery.recovered,
            recovery.matches,
            None if inside is None else inside.trace,
            None if inside is None else inside.outer,
            time.perf_counter() - self.started,
            not lost.damaged and self.streak.goes_on(group, trace, state.event),
            sites_of(trace, lost) if plan.model.survival is Survival.ANY_LEGAL_SUBSET else frozenset(),
        )
        self.violations.add(found)
        if self.left < 0:
            self.left = self.job.after_violation
        wanted = self.job.stop_at_first
        if wanted is not None and wanted == (violation.kind, str(site)):
            self.stopped = True

    # --- crashes during recovery ---------------------------------------------------------

    def _nested(
        self,
        plan: Plan,
        tally: Tally,
        states: list[_Rewritten],
        seen: set[tuple[int, int, int, int]],
        depth: int,
    ) -> None:
        """Record each recovery that wrote something, and crash in it, until the budget for it is spent."""
        deeper: dict[int, _Rewritten] = {}
        order = list(_spread(states))
        for number, rewritten in enumerate(order):
            if tally.nested.distinct >= self.job.limits.recovery_states:
                tally.nested.exhausted = False
                return
            trace = self._recording(order[number : number + RECORDED_TOGETHER])
            tally.recoveries_recorded += 1
            blind = "the recovery could not be recorded" if trace is None else what_is_unseen(trace)
            if trace is None or blind:
                tally.nested_blind = tally.nested_blind or blind
                continue
            inside = _Inside(trace, Outer(rewritten.event, rewritten.losses, trace.base))
            for knowledge in dict.fromkeys(rewritten.knowledge):
                self._nested_states(plan, tally, inside, knowledge, seen, deeper if depth > 1 else None)
                if self.stopped or self.left == 0:
                    tally.nested.exhausted = False
                    return
        if deeper:
            self._nested(plan, tally, list(deeper.values()), seen, depth - 1)

    def _nested_states(
        self,
        plan: Plan,
        tally: Tally,
        inside: _Inside,
        knowledge: Knowledge,
        seen: set[tuple[int, int, int, int]],
        deeper: dict[int, _Rewritten] | None,
    ) -> None:
        enumerator = Enumerator(
            inside.trace, plan.model, seed=self.job.seed, limits=self.job.limits, start=knowledge, seen=seen
        )
        for state in enumerator:
            recovery = self._recovery(state)
            self._judge(plan, state, recovery, inside)
            if self.stopped or self.left == 0:
                break
            if deeper is not None and recovery.wrote and not recovery.problem and recovery.matches:
                key, outer = self.alike.representative(state.key), inside.outer
                if key not in deeper:
                    count = max(recovery.matches)
                    deeper[key] = _Rewritten(key, state.image(), outer.event, outer.losses, count, [])
                deeper[key].knowledge.append(knowledge)
        merge_counts(tally.nested, enumerator.counts)

    def _recording(self, coming: list[_Rewritten]) -> Trace | None:
        """The trace of the first of these recoveries, recorded once for all models under which its state is legal.

        Those that come next are recorded along with it.
        """
        key = coming[0].key
        if key not in self.recordings:
            missing = [rewritten for rewritten in coming if rewritten.key not in self.recordings]
            traces = self.rerecorder.record([(rewritten.image, rewritten.count) for rewritten in missing])
            for rewritten, trace in reversed(list(zip(missing, traces, strict=True))):  # the first one stays surely
                self.recordings.keep(rewritten.key, trace)
        return self.recordings.take(key)


@dataclass(slots=True)
class _Rewritten:
    """A state that is crashed again, the number of operations it shows, and all that a client could know there."""

    key: int
    image: Image
    event: int
    losses: Losses
    count: int
    knowledge: list[Knowledge]


@dataclass(frozen=True, slots=True)
class _Inside:
    """A recovery that is being crashed, and the crash before it."""

    trace: Trace
    outer: Outer


def _worth_crashing_again(state: CrashState, recovery: Recovery) -> bool:
    """Where recovery wrote something, or may have left something for the operation after it to mend."""
    interrupted = state.knowledge.begun > state.knowledge.acknowledged
    return (recovery.wrote or interrupted) and not recovery.problem and bool(recovery.matches)


def what_is_unseen(trace: Trace) -> str:
    """What makes a trace worth nothing; empty if nothing does."""
    return next((item.detail for item in trace.unseen if item.what not in HARMLESS), "")


def _spread(states: list[_Rewritten]) -> Iterator[_Rewritten]:
    """All of them, the first ones from all parts of the run: a budget may not suffice for every one."""
    for start in range(_STRIDE):
        yield from states[start::_STRIDE]


def event_at_fault(model: PersistenceModel, lost: Losses) -> int:
    """The call to name: the first that was lost, but where everything unsynced is lost the last one.

    Of a smallest set of losses the first is the one that others were built on. The states of maximum loss
    are no smallest sets: what was lost besides is mostly preparation for the last call.
    """
    return max(lost.damaged) if model.survival is Survival.ONLY_SYNCED else min(lost.damaged)


def _load(file: str) -> Trace:
    with open(file, "rb") as stream:
        trace: Trace = pickle.load(stream)
    return trace


def merge_counts(total: Counts, more: Counts) -> None:
    """Add up counts of several enumerations; exhausted only if all were."""
    total.generated += more.generated
    total.distinct += more.distinct
    total.crash_points += more.crash_points
    total.exhausted = total.exhausted and more.exhausted
    total.pending_most = max(total.pending_most, more.pending_most)


def spare_operations(model: Any, trace: Trace) -> tuple[Any, ...]:
    """Operations to go on with after the last one of a workload: new values, or ones that worked before."""
    if model is KEY_VALUE:
        return (Put("k1", "after the last one"), Put("k4", "and one more"))
    if model is DOCUMENT:
        return (Save({"after": "the last one"}), Save({"and": "one more"}))
    if model is LOG:
        return (Append("after the last one"), Append("and one more"))
    worked = [operation for index, operation in enumerate(trace.operations) if index not in trace.errors]
    return tuple(worked[:2])
