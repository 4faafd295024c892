"""A sync fails, and later the power does: recorded live, then judged at every crash point after the failure.

The workload is recorded while one sync fails, or all from one on. The trace says which data is not durable although
a sync was asked for, and the crash states after that moment are recovered and judged. What the contract promises about
power loss is owed: less the operations that raised, and, where a sync lied, those that it covered.

After an error has surfaced, the recording ends where the store would be opened again: whether a new opening reads the
disk or the pages in memory is not for a store to know. Where the error is reported late, nothing is owed before: no
store can help a sync that lies. But what is acknowledged after the report has to be there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.adapter import supported_operations
from harness.core.operations import Sync, describe
from harness.core.persistence import PersistenceModel
from harness.core.trace import (
    CallSite,
    FailedSync,
    Image,
    InodeKind,
    IoEvent,
    MarkerKind,
    NewInode,
    SyncDirectory,
    SyncFile,
    Trace,
    empty_image,
)
from harness.core.workload import Reopen, Workload
from harness.crash.states import CrashState, Enumerator, Limits
from harness.inject.calls import os_error
from harness.inject.syncs import Aftermath, SyncFault, sync_faults
from harness.judge.choices import Settled
from harness.judge.classify import Violation
from harness.judge.failing import Ledger, judge_shown
from harness.record import Recorder, kernel
from harness.record import originals as real
from harness.record.callsite import CallSites, call_site
from harness.record.kernel import Call, exists
from harness.run.exploring import HARMLESS
from harness.run.live.bench import Bench, Client
from harness.run.live.calls import more_operations
from harness.run.live.kills import fingerprint
from harness.run.live.values import Exhibit, Struck, Trial
from harness.run.recovering import TolerantModel, is_built_in

#: Crash states of one trace and model that are recovered, and how many of a moment.
_LIMITS = Limits(states_per_point=200, bounded_per_point=12, states=600)
_STATES = 30
_SYNCS = ("os.fsync", "os.fdatasync")


@dataclass(slots=True)
class Synced:
    """One sync of the store, and what the gate made of it: "done", "failed" or "lied"."""

    site: CallSite | None
    operation: int
    fate: str = "done"
    reverted: bytes | None = None


class SyncGate:
    """Lets syncs of files in the directory fail as the fault says, and remembers all of them.

    `durable` is for a gate that gets its fault later: what of the files there is durable already, by device and inode.
    """

    def __init__(
        self, directory: Path, fault: SyncFault | None, durable: dict[tuple[int, int], bytes] | None = None
    ) -> None:
        self.fault = fault
        self.syncs: list[Synced] = []
        self.operation = -1
        self._root = os.path.realpath(directory)
        self._sites = CallSites()
        self._contents = dict(durable or {})
        self._remembers = durable is not None or (fault is not None and fault.aftermath is Aftermath.REVERTED)
        self._late: set[tuple[int, int]] = set()

    @property
    def fired(self) -> list[Synced]:
        return [item for item in self.syncs if item.fate != "done"]

    def __call__(self, call: Call, make: Callable[..., Any]) -> Any:
        if call.group == kernel.OPEN and call.flags & os.O_CREAT:
            return self._opened(call, make)
        if call.group != kernel.SYNC or call.name == "sync":
            return make()
        path = os.path.realpath(call.path())
        if path != self._root and not path.startswith(self._root + os.sep):
            return make()
        synced = Synced(self._sites.resolve(*call_site(2)), self.operation)
        self.syncs.append(synced)
        status = real.fstat(call.descriptor)
        if (status.st_dev, status.st_ino) in self._late:
            self._late.clear()
            synced.fate = "failed"
            raise os_error("EIO")
        if self._strikes():
            return self._strike(synced, call, (status.st_dev, status.st_ino))
        result = make()
        self._remember(call.descriptor)
        return result

    def arm(self, nth: int, aftermath: Aftermath) -> None:
        """The `nth` sync from now fails."""
        self.fault = SyncFault(len(self.syncs) + nth, aftermath)

    def disarm(self) -> None:
        self.fault = None

    def _opened(self, call: Call, make: Callable[..., Any]) -> Any:
        """A new file may get the number of one that is gone, and has nothing to do with that."""
        new = not exists(call.path())
        result = make()
        if new:
            status = real.stat(call.path())
            self._contents.pop((status.st_dev, status.st_ino), None)
            self._late.discard((status.st_dev, status.st_ino))
        return result

    def _strikes(self) -> bool:
        fault, number = self.fault, len(self.syncs)
        return fault is not None and (number == fault.number or (fault.lasting and number > fault.number))

    def _strike(self, synced: Synced, call: Call, inode: tuple[int, int]) -> None:
        assert self.fault is not None
        if self.fault.aftermath is Aftermath.LATE:
            synced.fate = "lied"
            self._late.add(inode)
            return
        synced.fate = "failed"
        if self.fault.aftermath is Aftermath.REVERTED and not os.path.isdir(call.path()):
            synced.reverted = self._revert(call.descriptor)
        raise os_error("EIO")

    def _remember(self, descriptor: int) -> None:
        """What is durable of a file now, in case it has to fall back to that."""
        if self._remembers:
            status = real.fstat(descriptor)
            if not os.path.isdir(f"/proc/self/fd/{descriptor}"):
                self._contents[status.st_dev, status.st_ino] = _content(descriptor)

    def _revert(self, descriptor: int) -> bytes:
        status = real.fstat(descriptor)
        content = self._contents.get((status.st_dev, status.st_ino), b"")
        own = real.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            real.ftruncate(own, len(content))
            real.pwrite(own, content, 0)
        finally:
            real.close(own)
        return content


def contents_of(directory: Path) -> dict[tuple[int, int], bytes]:
    """The regular files below `directory`, by device and inode: after a crash all of it is durable."""
    found = {}
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode):
            with contextlib.suppress(OSError):  # it may not be read
                found[status.st_dev, status.st_ino] = path.read_bytes()
    return found


def _content(descriptor: int) -> bytes:
    own = real.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        size: int = real.fstat(own).st_size
        content: bytes = real.pread(own, size, 0)
        return content
    finally:
        real.close(own)


# --- recording ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Taken:
    """A recorded workload with its failures: the trace, and the operations in which a sync failed unseen.

    `told` says how many lines of the client's program there were when each operation had ended.
    """

    trace: Trace
    client: Client
    swallowed: set[int] = field(default_factory=set)
    told: list[int] = field(default_factory=list)

    def program(self, event: int) -> tuple[str, ...]:
        """The client's program up to a crash after `event`: what it does later has not happened there."""
        markers = [item.marker for item in self.trace.events[: event + 1] if item.marker is not None]
        begun = [marker.operation for marker in markers if marker.kind is MarkerKind.BEGIN]
        if not begun:
            return ()
        if begun[-1] >= len(self.told):  # the store can't take it
            return tuple(self.client.lines)
        lines = self.client.lines[: self.told[begun[-1]]]
        ends = (MarkerKind.ACKNOWLEDGE, MarkerKind.FAIL)
        if not any(marker.kind in ends and marker.operation == begun[-1] for marker in markers):
            lines[-1] = f"{describe(self.trace.operations[begun[-1]], limit=120)}  # not acknowledged"
        return tuple(lines)


def record_with(bench: Bench, gate: SyncGate, steps: tuple[Any, ...]) -> Taken:
    """Run `steps` on an empty directory; once an error has surfaced, only up to the next opening."""
    bench.materializer.place(empty_image())
    client, recorder = Client(bench), Recorder(bench.directory)
    swallowed: set[int] = set()
    told: list[int] = []
    recorder.start()
    try:
        with kernel.engage(gate):
            _open(client, recorder)
            for step in steps:
                opens = isinstance(step, Reopen) or not client.is_open
                if opens and gate.fired and (client.errors or client.elsewhere):
                    break
                _step(client, recorder, gate, step, swallowed)
                told += [len(client.lines)] * (len(client.operations) - len(told))
            _close(client, recorder)
    finally:
        recorder.stop()
    trace = recorder.finish(client.operations, client.unsupported, client.errors)
    return Taken(with_fates(trace, gate.syncs), client, swallowed, told)


def _open(client: Client, recorder: Recorder) -> None:
    recorder.mark(MarkerKind.OPEN_BEGIN)
    if client.open():
        recorder.mark(MarkerKind.OPEN_END)


def _close(client: Client, recorder: Recorder) -> None:
    recorder.mark(MarkerKind.CLOSE_BEGIN)
    client.close()
    recorder.mark(MarkerKind.CLOSE_END)


def _step(client: Client, recorder: Recorder, gate: SyncGate, step: Any, swallowed: set[int]) -> None:
    if isinstance(step, Reopen):
        _close(client, recorder)
        _open(client, recorder)
        return
    if not client.is_open:
        _open(client, recorder)
    if not client.is_open:
        return
    index, fired = len(client.operations), len(gate.fired)
    recorder.mark(MarkerKind.BEGIN, index)
    gate.operation = index
    client.step(step)
    gate.operation = -1
    if index == len(client.operations):  # the store can't take it
        return
    failed = index in client.errors
    recorder.mark(MarkerKind.FAIL if failed else MarkerKind.ACKNOWLEDGE, index)
    if not failed and any(item.fate == "failed" for item in gate.fired[fired:]):
        swallowed.add(index)


def with_fates(trace: Trace, syncs: list[Synced]) -> Trace:
    """The trace with what the gate knows of each sync; the same where the two don't tell of as many."""
    places = [place for place, event in enumerate(trace.events) if event.call in _SYNCS]
    if len(places) != len(syncs):
        return trace
    events = list(trace.events)
    for place, synced in zip(places, syncs, strict=True):
        if synced.fate != "done":
            events[place] = _failed(events[place], synced)
    return dataclasses.replace(trace, events=tuple(events))


def _failed(event: IoEvent, synced: Synced) -> IoEvent:
    """A sync that failed, or seemed to work and did not."""
    inodes = [effect.inode for effect in event.effects if isinstance(effect, SyncFile | SyncDirectory | FailedSync)]
    return dataclasses.replace(event, effects=tuple(FailedSync(inode, synced.reverted) for inode in inodes))


def repaired(trace: Trace, only: int = -1) -> Trace:
    """The same trace with every sync having worked, also those after which the file fell back.

    With `only` just the sync of that event has worked; the others failed as they did.
    """
    directories = {number for number, node in trace.base.nodes.items() if node.kind is InodeKind.DIRECTORY}
    events = []
    for place, event in enumerate(trace.events):
        made = (item for item in event.effects if isinstance(item, NewInode))
        directories.update(item.inode for item in made if item.kind is InodeKind.DIRECTORY)
        if only in (-1, place):
            worked = tuple(_worked(item, directories) for item in event.effects)
            event = dataclasses.replace(event, effects=worked)
        events.append(event)
    return dataclasses.replace(trace, events=tuple(events))


def _worked(effect: Any, directories: set[int]) -> Any:
    if not isinstance(effect, FailedSync):
        return effect
    if effect.inode in directories:
        return SyncDirectory(effect.inode)
    return SyncFile(effect.inode, entries=True)


@dataclass(frozen=True, slots=True)
class Wrong:
    """A crash state that is not right: its content, its key, and the event after which the power failed."""

    violation: Violation
    image: Image
    model: PersistenceModel
    key: int
    event: int


# --- the engine ---------------------------------------------------------------------------------


class SyncsEngine:
    """Lets the syncs of one workload fail, one after another, and then the power."""

    fault_types = (SyncFault, Aftermath)

    def __init__(self, bench: Bench, workload: Workload, claim: str, promise: str) -> None:
        self.bench = bench
        self.promise = promise
        during, self.spare = more_operations(bench.adapter, bench.seed)
        self.steps = (*workload.steps, *_with_syncs(bench.adapter, during[:2]))
        model = bench.adapter.model
        self.model = model if is_built_in(model) else TolerantModel(model)
        self.models = models_of(bench.contract.models())
        self.known: dict[tuple[Any, ...], Violation | None] = {}

    def rehearse(self) -> str:
        """Record the workload without any fault; why nothing can be tried, or nothing."""
        gate = SyncGate(self.bench.directory, None)
        taken = record_with(self.bench, gate, self.steps)
        self.count = len(taken.client.operations)
        self.sites = [str(item.site) for item in gate.syncs]
        unseen = [item.detail for item in taken.trace.unseen if item.what not in HARMLESS]
        errors = [*unseen, *taken.client.elsewhere, *taken.client.errors.values()]
        if errors:
            return errors[0]
        if self._first_violation(taken, -1) is not None:
            return "the store does not survive a loss of power even if every sync works"
        return ""

    @property
    def operations(self) -> int:
        return self.count

    def faults(self) -> Iterator[SyncFault]:
        return sync_faults(self.sites)

    def attempt(self, fault: SyncFault) -> Trial:
        gate = SyncGate(self.bench.directory, fault)
        taken = record_with(self.bench, gate, self.steps)
        failure = first_to_judge(taken.trace)
        if failure < 0:
            return Trial(0, promise=self.promise)
        failed = [item for item in gate.fired if item.fate == "failed"]
        struck = tuple(Struck(item.site, "fsync", fault.word) for item in gate.fired[:1])
        found = self._first_violation(taken, failure)
        if found is None:
            return Trial(len(gate.fired), struck=struck, promise=self.promise)
        exhibit = self._exhibit(fault, taken.program(found.event), found.violation, found.image)
        site = self._culprit(taken, failed, found).site
        return Trial(len(gate.fired), found.violation, site, exhibit, struck, self.promise, (found.model.name,))

    def _culprit(self, taken: Taken, failed: list[Synced], found: Wrong) -> Synced:
        """The failed sync to name: the first one without whose failure the state could not have come about."""
        events = enumerate(taken.trace.events)
        places = [number for number, event in events if _has_failed(event) and not _is_lie(event)]
        if len(places) == len(failed):
            for place, item in zip(places, failed, strict=True):
                if place <= found.event and self._is_new(taken, found, only=place):
                    return item
        silent = [item for item in failed if item.operation in taken.swallowed]
        concerned = (item for item in failed if item.operation in found.violation.operations)
        return next(concerned, (*silent, *failed)[0])

    def ended(self, fault: SyncFault, violation: Violation) -> Trial:
        exhibit = self._exhibit(fault, (), violation, None)
        return Trial(1, violation, None, exhibit, (), self.promise)

    # --- crashes after the failure -----------------------------------------------------------------

    def _first_violation(self, taken: Taken, failure: int) -> Wrong | None:
        """The first crash state after the event `failure` that is not right, and would be if the syncs had worked."""
        accounts = Accounts(taken.trace, taken.swallowed, self._promise())
        for model in self.models:
            left = _STATES
            for state in Enumerator(taken.trace, model, seed=self.bench.seed, limits=_LIMITS, first_event=failure):
                violation = self._judged(state, accounts)
                if violation is not None:
                    wrong = Wrong(violation, state.image(), model, state.key, state.event)
                    if failure < 0 or self._is_new(taken, wrong):
                        return wrong
                left -= 1
                if not left:
                    break
        return None

    def _judged(self, state: CrashState, accounts: Accounts) -> Violation | None:
        """What is wrong with a state. The same content after the same story is opened once, whatever led to it."""
        image, ledger = state.image(), accounts.at(state.event)
        key = (fingerprint(image), *_story(ledger))
        if key not in self.known:
            self.known[key] = self._recovered(image, ledger)
        return self.known[key]

    def _recovered(self, image: Image, ledger: Ledger) -> Violation | None:
        self.bench.materializer.place(image)
        oracle = Settled(self.model, ledger.account())
        recovery = self.bench.recoverer().recover(oracle, self.spare)
        self.bench.surroundings.restore()
        if recovery.problem:
            return Violation(recovery.problem, recovery.detail)
        return judge_shown(self.model, ledger, recovery.recovered, oracle.answer)

    def _is_new(self, taken: Taken, wrong: Wrong, only: int = -1) -> bool:
        """Whether the state could not have come about if the failed syncs, or `only` that one, had worked."""
        return is_new(repaired(taken.trace, only), wrong.model, (wrong.event, wrong.key), self.bench.seed)

    def _promise(self) -> str:
        return self.bench.contract.power_loss or "prefix"

    def _exhibit(self, fault: SyncFault, lines: tuple[str, ...], violation: Violation, image: Image | None) -> Exhibit:
        sentence = fault.describe()
        return Exhibit(
            lines=(*lines, f"<fault: {sentence}>", "<power lost>"),
            told="What each operation returned or raised stands beside it in the program.",
            called=f"In this run {sentence}.",
            reached=f"{sentence[:1].upper()}{sentence[1:]}, then the power fails",
            found=f"{violation.sentence[:1].upper()}{violation.sentence[1:]}.",
            expected="A failed sync surfaces as an exception, or what it was to make durable is durable all the same.",
            before=image,
            after=image,
        )


def _with_syncs(adapter: Any, operations: tuple[Any, ...]) -> tuple[Any, ...]:
    """Where a store syncs on demand: so that a sync which failed is followed by one that is acknowledged."""
    if Sync not in (supported_operations(adapter) or ()):
        return operations
    return (*(item for operation in operations for item in (operation, Sync())), Sync())


def is_new(trace: Trace, model: PersistenceModel, state: tuple[int, int], seed: int) -> bool:
    """Whether `state`, an event and a key, is none of the crash states of `trace`, in which syncs have worked."""
    event, key = state
    trace = dataclasses.replace(trace, events=trace.events[: event + 1])
    others = Enumerator(trace, model, seed=seed, limits=_LIMITS, first_event=event)
    return all(other.key != key for other in others if other.event == event)


class Accounts:
    """What a client knew at each event of a recording; `swallowed` are operations in which a sync failed unseen."""

    def __init__(self, trace: Trace, swallowed: set[int], promise: str) -> None:
        self._trace = trace
        self._swallowed = swallowed
        self._promise = promise
        self._not_owed = _before_late_report(trace) - swallowed

    def at(self, event: int) -> Ledger:
        """What was begun up to there, what of it is not owed, and what a crash may take by contract."""
        ledger = Ledger(self._promise)
        for item in self._trace.events[: event + 1]:
            if item.marker is not None:
                self._note(ledger, item.marker.kind, item.marker.operation)
        ledger.failed |= self._not_owed & set(range(len(ledger.operations)))
        ledger.swallowed |= self._swallowed & set(range(len(ledger.operations)))
        ledger.surfaced()
        return ledger

    def _note(self, ledger: Ledger, kind: MarkerKind, operation: int) -> None:
        if kind is MarkerKind.BEGIN and operation == len(ledger.operations):
            ledger.operations.append(self._trace.operations[operation])
            ledger.failed.add(operation)  # until it is acknowledged
        elif kind is MarkerKind.ACKNOWLEDGE:
            ledger.failed.discard(operation)
            ledger.note_sync(operation)


def _story(ledger: Ledger) -> tuple[Any, ...]:
    """What a ledger is judged by, to be compared. All operations are steps of one engine, so their identity will do."""
    account = ledger.account()
    operations = tuple(map(id, account.operations))
    return operations, account.failed, account.relapses, frozenset(ledger.swallowed), ledger.hidden


def _is_lie(event: IoEvent) -> bool:
    """Whether a sync returned well and had not worked: those that raised have the exception's name in the detail."""
    return _has_failed(event) and not event.detail.endswith("Error")


def _late_report(trace: Trace) -> int:
    """The event at which the error of a sync that lied is reported; -1 if none has, or none is."""
    lies = [place for place, event in enumerate(trace.events) if _is_lie(event)]
    reports = (place for place, event in enumerate(trace.events) if _has_failed(event) and not _is_lie(event))
    return next((place for place in reports if lies and place > lies[0]), -1)


def _before_late_report(trace: Trace) -> set[int]:
    """Operations begun before a late error was reported, or as long as it is not."""
    if not any(map(_is_lie, trace.events)):
        return set()
    before = trace.events[: max(_late_report(trace), 0)]
    return {event.marker.operation for event in before if event.marker is not None and event.marker.operation >= 0}


def first_to_judge(trace: Trace) -> int:
    """The first event after which a crash says something about the failure; -1 if there is none."""
    if not any(map(_is_lie, trace.events)):
        return next((place for place, event in enumerate(trace.events) if _has_failed(event)), -1)
    report = _late_report(trace)
    acknowledged = (
        place
        for place, event in enumerate(trace.events)
        if place > report >= 0 and event.marker is not None and event.marker.kind is MarkerKind.ACKNOWLEDGE
    )
    return next(acknowledged, -1)


def _has_failed(event: IoEvent) -> bool:
    return any(isinstance(effect, FailedSync) for effect in event.effects)


def models_of(promised: tuple[PersistenceModel, ...]) -> tuple[PersistenceModel, ...]:
    """The models to crash under: the two that say most, where they are promised, else all that are."""
    telling = tuple(model for name in ("max-loss", "strict") for model in promised if model.name == name)
    return telling or promised
