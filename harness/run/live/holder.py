"""A process of its own in which a store is open, so that its end is what a crash is: no handle, no lock, no buffer
is left, and its process id is nobody's.

The child is forked from a process that has the patches in place. It answers one command after another through a
pipe; a command that takes longer than the time limit is a hang. Everything is recorded from the start, so that the
child can say, when it is to crash, what a disk may hold.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import pickle
import resource
import signal
import struct
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from harness.core.errors import HarnessFault, Unsupported
from harness.core.operations import for_store
from harness.core.persistence import PROCESS_CRASH, PersistenceModel, Survival
from harness.core.program import TurnClock
from harness.core.trace import CallSite, Image, MarkerKind, Trace
from harness.crash.losses import last_call, site_of
from harness.crash.states import CrashState, Enumerator, Knowledge, Limits
from harness.record import Recorder, kernel, native
from harness.record import originals as real
from harness.record.patches import rebind
from harness.run import containment
from harness.run.descriptors import heard
from harness.run.exploring import HARMLESS
from harness.run.live.bench import listening
from harness.run.live.openings import ReadWatch
from harness.run.live.saboteur import Saboteur
from harness.run.live.turning import Turned, TurnedClocks
from harness.run.live.unsynced import FailingSyncs, UnsyncedCrash
from harness.run.live.values import Struck
from harness.run.recovering import read_state, text_of_error

#: How long one call into a store may take.
TIME_LIMIT_S = 10.0
#: Crash states of one step that there are to choose from.
CHOICES = Limits(states_per_point=120, bounded_per_point=40, states=400)
#: Descriptors of pipes are below this one, and among the last so many that the process may have.
_HIGHEST, _RESERVED = 4096, 48
_LENGTH = struct.Struct("<Q")


class Hung(Exception):
    """A call into the store did not return in time."""


class Died(Exception):
    """The store ended its process; the message says how."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call into the store. `error` is empty if it returned; `struck` what failed meanwhile.

    `unsynced`: a sync failed as `FailSync` says, or lied. `overdue`: it waited for too long by a turned clock; `reader`
    is the last line that read that.
    """

    value: Any = None
    error: str = ""
    declared: bool = True
    unsupported: bool = False
    signal: bool = False
    struck: tuple[Struck, ...] = ()
    unsynced: bool = False
    overdue: bool = False
    reader: CallSite | None = None


@dataclass(frozen=True, slots=True)
class Crashed:
    """A legal content of the disk after a crash, what the client knew then, and the call to blame if it is wrong.

    `of` is how many there were to choose from; `blind` why the recording can't be trusted, or empty. `lost` tells
    what is missing, in words.
    """

    image: Image | None
    knowledge: Knowledge = field(default_factory=Knowledge)
    site: CallSite | None = None
    lost: tuple[str, ...] = ()
    of: int = 0
    blind: str = ""

    def told(self) -> str:
        """For a reader."""
        lost = f"lost {'; '.join(self.lost[:3])}" if self.lost else f"the last call was made at {self.site}"
        return f"{lost} (one of {self.of} legal states)"


class Holder:
    """The parent's end. Methods raise `Hung` and `Died`; after either the child is gone."""

    def __init__(
        self,
        adapter: Any,
        directory: Path,
        image: Image | None,
        time_limit_s: float = TIME_LIMIT_S,
        *,
        fails_syncs: bool = False,
    ) -> None:
        self.time_limit_s = time_limit_s
        rebind()  # once here, and not in each child
        native.libraries_that_sync()
        commands, self._commands = _pipe()
        self._answers, answers = _pipe()
        parent = os.getpid()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks in a process with threads
            self.process = os.fork()
        if self.process == 0:
            os.close(self._commands)
            os.close(self._answers)
            containment.die_with_parent(parent)
            _serve(_Tenant(adapter, directory, image, fails_syncs=fails_syncs), commands, answers)
        os.close(commands)
        os.close(answers)

    def ask(self, command: str, *arguments: Any) -> Any:
        """Have the child do something, and its answer."""
        try:
            _send(self._commands, (command, arguments))
        except BrokenPipeError:
            raise Died(self._reap()) from None
        if not self._has_answered():
            self.kill()
            raise Hung(f"did not return within {self.time_limit_s:g} s")
        answer = _receive(self._answers)
        if answer is None:
            raise Died(self._reap())
        how, value = answer
        if how == "fault":
            self.kill()
            raise HarnessFault(f"a process that held a store failed:\n{value}")
        return value

    def _has_answered(self) -> bool:
        return heard(self._answers, self.time_limit_s)

    def kill(self) -> None:
        """End the child at once."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process, signal.SIGKILL)
            self._reap()

    def _reap(self) -> str:
        if not self.process:
            return "it had ended before"
        _, status = os.waitpid(self.process, 0)
        self.process = 0
        os.close(self._commands)
        os.close(self._answers)
        code = os.waitstatus_to_exitcode(status)
        return f"killed by signal {-code}" if code < 0 else f"exit status {code}"


def _pipe() -> tuple[int, int]:
    """A pipe out of the usual reach: daemons close, and stores reuse, the low descriptors."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    least = max(3, min(soft if soft != resource.RLIM_INFINITY else _HIGHEST, _HIGHEST) - _RESERVED)
    low = os.pipe()
    high = tuple(real.fcntl(end, fcntl.F_DUPFD_CLOEXEC, least) for end in low)
    for end in low:
        os.close(end)
    return high[0], high[1]


# --- in the child -------------------------------------------------------------------------------


class _Tenant:
    """The store, with the recorder above and the gate below it."""

    def __init__(self, adapter: Any, directory: Path, image: Image | None, *, fails_syncs: bool = False) -> None:
        self.adapter_class = adapter
        self.directory = directory
        self.recorder = Recorder(directory, base=image)
        self.saboteur = Saboteur(str(directory))
        self.syncs = FailingSyncs(directory) if fails_syncs else None
        self.clocks = TurnedClocks(directory)
        self.operations: list[Any] = []
        self.errors: dict[int, str] = {}
        self.adapter: Any = None
        self.store: Any = None

    def open(self) -> Outcome:
        self.recorder.mark(MarkerKind.OPEN_BEGIN)
        adapter: list[Any] = []

        def opening() -> Any:
            adapter.append(self.adapter_class())
            return adapter[0].open(self.directory)

        outcome = self._call(opening)
        if not outcome.error:
            self.adapter, self.store = adapter[0], outcome.value
        self.recorder.mark(MarkerKind.OPEN_END)
        return _without_value(outcome)

    def close(self) -> Outcome:
        adapter, store = self.adapter, self.store
        self.adapter = self.store = None
        self.recorder.mark(MarkerKind.CLOSE_BEGIN)
        outcome = self._call(adapter.close, store)
        self.recorder.mark(MarkerKind.CLOSE_END)
        return _without_value(outcome)

    def apply(self, operation: Any) -> Outcome:
        index = len(self.operations)
        self.recorder.mark(MarkerKind.BEGIN, index)
        with contextlib.nullcontext() if self.syncs is None else self.syncs.during(index):
            outcome = self._call(self.adapter.apply, self.store, for_store(operation))
        if self.syncs is not None and outcome.error:
            self.syncs.raised(index)
        if not outcome.unsupported:
            self.operations.append(operation)
            if outcome.error:
                self.errors[index] = outcome.error
            self.recorder.mark(MarkerKind.FAIL if outcome.error else MarkerKind.ACKNOWLEDGE, index)
        return _without_value(outcome)

    def snapshot(self) -> Outcome:
        return self._call(read_state, self.adapter, self.store)

    def watched_opening(self, path: str, start: int, end: int) -> CallSite | None:
        """The last read of bytes [start, end) of the file `path` while the store is opened and read."""
        watch = ReadWatch(path, start, end)
        self.saboteur.watch = watch
        if not self.open().error:
            self.snapshot()
        self.saboteur.watch = None
        return watch.site()

    def arm(self, error: str, nth: int) -> None:
        self.saboteur.arm(error, nth)

    def fail_sync(self, nth: int, aftermath: str) -> None:
        assert self.syncs is not None
        self.syncs.arm(nth, aftermath)

    def disarm(self) -> None:
        self.saboteur.disarm()
        if self.syncs is not None:
            self.syncs.gate.disarm()

    def turn(self, turn: TurnClock) -> None:
        self.clocks.turn(turn)

    def resume(self, turned: Turned) -> None:
        self.clocks.resume(turned)

    def turned(self) -> Turned | None:
        return self.clocks.turned()

    def fill(self, room_bytes: int | None) -> None:
        self.saboteur.fill(room_bytes)

    def crash(self, model: PersistenceModel, choice: int, seed: int) -> Crashed:
        """The end: nothing else may be asked afterwards."""
        trace = self.recorder.finish(self.operations, 0, self.errors)
        return crashed(trace, model, choice, seed)

    def crash_unsynced(self, model: PersistenceModel, choice: int, seed: int, promise: str) -> UnsyncedCrash:
        """The same after a sync has failed, or lied."""
        assert self.syncs is not None
        trace = self.syncs.told(self.recorder.finish(self.operations, 0, self.errors))
        blind = blindness(trace, model)
        return UnsyncedCrash(blind=blind) if blind else self.syncs.crash(trace, model, choice, seed, promise)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Outcome:
        fired = 0 if self.syncs is None else self.syncs.fired
        outcome = self._outcome(function, *arguments)
        return dataclasses.replace(
            outcome,
            struck=self.saboteur.take(),
            unsynced=self.syncs is not None and self.syncs.fired > fired,
            overdue=self.clocks.overdue,
            reader=self.clocks.reader(),
        )

    def _outcome(self, function: Callable[..., Any], *arguments: Any) -> Outcome:
        with listening() as signals:
            try:
                with self.clocks.calling():
                    value = function(*arguments)
            except Unsupported:
                return Outcome(unsupported=True)
            except BaseException as error:
                declared = isinstance(error, self.adapter_class.contract.errors)
                return Outcome(None, text_of_error(error), declared, signal=signals.count > 0)
        return Outcome(value, signal=signals.count > 0)


def _without_value(outcome: Outcome) -> Outcome:
    """What a store or an operation gives back stays in the child."""
    return dataclasses.replace(outcome, value=None)


def _serve(tenant: _Tenant, commands: int, answers: int) -> NoReturn:
    owner = os.getpid()
    try:
        tenant.recorder.start()
        with _engaged(tenant.syncs), kernel.engage(tenant.saboteur):
            while (message := _receive(commands)) is not None:
                command, arguments = message
                value = getattr(tenant, command)(*arguments)
                if os.getpid() != owner:  # a child of the store that came back into our code
                    os._exit(0)
                _send(answers, ("done", value))
    except BaseException:
        with contextlib.suppress(OSError):
            _send(answers, ("fault", traceback.format_exc()))
    finally:
        os._exit(0)


def _engaged(syncs: FailingSyncs | None) -> contextlib.AbstractContextManager[None]:
    """The gate for syncs is asked first: it has to know of all of them."""
    return contextlib.nullcontext() if syncs is None else kernel.engage(syncs.gate)


def _send(descriptor: int, message: Any) -> None:
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    left = memoryview(_LENGTH.pack(len(body)) + body)
    while left:
        left = left[real.write(descriptor, left) :]


def _receive(descriptor: int) -> Any:
    """The next message; `None` when the other end is gone."""
    header = _read(descriptor, _LENGTH.size)
    body = None if header is None else _read(descriptor, _LENGTH.unpack(header)[0])
    return None if body is None else pickle.loads(body)


def _read(descriptor: int, size: int) -> bytes | None:
    parts = []
    while size:
        part = real.read(descriptor, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


# --- crash states -------------------------------------------------------------------------------


def crashed(trace: Trace, model: PersistenceModel, choice: int, seed: int) -> Crashed:
    """The `choice`-th crash state of the last step of `trace`, counted around."""
    blind = blindness(trace, model)
    if blind:
        return Crashed(None, blind=blind)
    for since in _steps(trace):  # a step that did nothing has no crash states: the one before it will do
        count = sum(1 for _ in _states(trace, model, since, seed))
        if count:
            break
    states = _states(trace, model, since, seed)
    state = next(state for number, state in enumerate(states) if number == choice % count)
    lost = state.losses() if model.survival is not Survival.ALL_COMPLETED else None
    damaged = sorted(lost.damaged) if lost is not None else []
    event = last_call(trace, state.event)
    if damaged:
        event = damaged[-1] if model.survival is Survival.ONLY_SYNCED else damaged[0]
    known, begun = state.knowledge, len(trace.operations)
    knowledge = Knowledge(min(known.acknowledged, begun), min(known.begun, begun), known.synced)
    texts = tuple(text_of_event(trace, number) for number in damaged)
    return Crashed(state.image(), knowledge, site_of(trace, event), texts, count)


def _states(trace: Trace, model: PersistenceModel, since: int, seed: int) -> Iterator[CrashState]:
    return iter(Enumerator(trace, model, seed=seed, limits=CHOICES, first_event=since))


def blindness(trace: Trace, model: PersistenceModel) -> str:
    """Why nothing can be concluded from crash states of `trace`; empty if nothing stands against it."""
    for unseen in trace.unseen:
        if unseen.what not in HARMLESS or model is not PROCESS_CRASH:  # a sync that went unseen forbids states
            return f"{unseen.detail}; {unseen.remedy}"
    return ""


def _steps(trace: Trace) -> list[int]:
    """The events with which steps begin, the last one first: operations, and closing before another opening."""
    kinds = (MarkerKind.BEGIN, MarkerKind.CLOSE_BEGIN)
    begins = [n for n, event in enumerate(trace.events) if event.marker and event.marker.kind in kinds]
    return [*reversed(begins), -1]


def text_of_event(trace: Trace, event: int) -> str:
    """A call of a trace for a reader."""
    item = trace.events[event]
    where = f" (line {item.site.line} of {Path(item.site.file).name})" if item.site else ""
    return f"{item.call}({item.detail}){where}"
