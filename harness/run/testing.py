"""Faults for a user's own tests, in the process of the test: each reversible, each telling whether it fired.

The functions that the harness interposes on are patched when a fault begins and put back when it ends. What a fault
strikes are calls about one directory; everything else in the process goes on as before. A fault that never fired has
tested nothing, so that is an error (`NeverFired`) unless the test says that it may happen.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import pickle
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.core.errors import HarnessError, UsageError
from harness.core.persistence import PRESETS, PersistenceModel
from harness.core.program import require_model
from harness.core.trace import Image, MarkerKind, Trace
from harness.crash.losses import last_call, site_of
from harness.crash.materialize import Materializer
from harness.crash.states import Enumerator, Limits
from harness.inject import damage as injury
from harness.record import Recorder, install, kernel, uninstall
from harness.record import originals as real
from harness.record.kernel import Call, Gate
from harness.record.patches import rebind
from harness.record.scan import scan
from harness.run import containment
from harness.run.live.holder import blindness, text_of_event
from harness.run.live.saboteur import GROUPS, Saboteur, plain_name
from harness.run.live.values import Struck

#: What changes a disk, and so is a moment at which a writer may be killed.
_WRITING = (kernel.WRITE, kernel.SIZE, kernel.SYNC, kernel.NAME)
_CALLS = {plain_name(name): group for name, group in kernel.GROUPS.items()}
_gates: list[Gate] = []


class NeverFired(HarnessError):
    """A fault that never fired has tested nothing; the message says what to do."""

    exit_status = 3


class Fault:
    """A fault and what it did. `fired` counts how often it struck."""

    name = "fault"

    def __init__(self, *, may_not_fire: bool) -> None:
        self.may_not_fire = may_not_fire
        self._fired = 0

    @property
    def fired(self) -> int:
        """How often it struck so far."""
        return self._fired

    def require_fired(self) -> None:
        """Raise `NeverFired` if it should have and did not."""
        if not self.fired and not self.may_not_fire:
            raise NeverFired(f"the fault never fired: {self}: let the test reach it, or say may_not_fire=True.")

    def __str__(self) -> str:
        return self.name


# --- patches and gates ------------------------------------------------------------------------------


@contextlib.contextmanager
def patched() -> Iterator[None]:
    """The process is patched until the block ends; nothing is done where it is already."""
    if _is_patched():
        rebind()
        yield
        return
    install(reading=True)
    try:
        yield
    finally:
        uninstall()


def _is_patched() -> bool:
    return os.write is not real.write


def _ask_all(call: Call, make: Callable[..., Any]) -> Any:
    """The one gate of this process: asks the newest, and what it lets through the one before."""
    for gate in tuple(_gates):
        make = _through(gate, call, make)
    return make()


def _through(gate: Gate, call: Call, make: Callable[..., Any]) -> Callable[..., Any]:
    def made(size_bytes: int | None = None) -> Any:
        return gate(call, make) if size_bytes is None else make(size_bytes)

    return made


@contextlib.contextmanager
def standing(gate: Gate) -> Iterator[None]:
    """`gate` is asked about every call until the block ends, beside those that stand already."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(patched())
        _gates.append(gate)
        stack.callback(_gates.remove, gate)
        if not kernel.engaged():
            stack.enter_context(kernel.engage(_ask_all))
        yield


class GatedFault(Fault):
    """A fault by a gate: a context manager that lasts as long as its block."""

    def __init__(self, directory: Path, *, may_not_fire: bool) -> None:
        super().__init__(may_not_fire=may_not_fire)
        self.directory = _existing(directory)
        self.saboteur = Saboteur(str(self.directory))
        self._stack = contextlib.ExitStack()

    @property
    def fired(self) -> int:
        return len(self.saboteur.struck)

    @property
    def struck(self) -> tuple[Struck, ...]:
        """Where it struck: the line of the store, the call, and the error."""
        return tuple(self.saboteur.struck)

    def __enter__(self) -> Self:
        self._stack.enter_context(standing(self.saboteur))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if error is None:
            self.require_fired()


class failing_io(GatedFault):
    """The `nth` call named `call` about a file in `directory` fails with `error`, and so do the calls after it until
    `times` have.

    `call` is a name of `os` or of a file object ("write", "fsync", "replace", "open", ...), or `None` for any that
    can fail so. `error` is "EIO", "ENOSPC", "EDQUOT", "EACCES", "EMFILE" or "short write".
    """

    def __init__(
        self,
        directory: Path,
        call: str | None = None,
        error: str = "EIO",
        nth: int = 1,
        times: int = 1,
        *,
        may_not_fire: bool = False,
    ) -> None:
        if error not in GROUPS:
            raise UsageError(f"there is no error {error!r} for a call: say one of {', '.join(GROUPS)}.")
        if call is not None and _CALLS.get(call) not in GROUPS[error]:
            known = sorted(name for name, group in _CALLS.items() if group in GROUPS[error])
            raise UsageError(f"no call {call!r} can fail with {error}: say one of {', '.join(known)}.")
        if nth < 1 or times < 1:
            raise UsageError(f"nth={nth}, times={times} is a fault that can't fire: both count from 1.")
        super().__init__(directory, may_not_fire=may_not_fire)
        self.name = f"{error} in {call or 'any call'} number {nth}"
        self.saboteur.arm(error, nth, call or "", times)


class full_disk(GatedFault):
    """A disk with room for `room_bytes` more in `directory`: what does not fit fails with ENOSPC, and a write that
    fits in part is cut short. `free()` makes room again.

    Overwriting, renaming and removing need no room. Blocks are not rounded up, and room that is freed is not counted.
    """

    name = "full disk"

    def __init__(self, directory: Path, room_bytes: int = 0, *, may_not_fire: bool = False) -> None:
        if room_bytes < 0:
            raise UsageError(f"full_disk(room_bytes={room_bytes}) is less than nothing: say 0 or more.")
        super().__init__(directory, may_not_fire=may_not_fire)
        self.saboteur.fill(room_bytes)

    def free(self) -> None:
        """There is room again."""
        self.saboteur.fill(None)


# --- disks after a crash ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Disk:
    """One legal content of the disk after a power cut, in the directory `path` until the next one is asked for.

    `acknowledged` counts how often the action had said so before; `completed` tells whether it had returned. `lost`
    are the calls whose effect is missing, in whole or in part; `after` is the last call before the power cut.
    """

    path: Path
    acknowledged: int
    completed: bool
    lost: tuple[str, ...]
    after: str


class power_cut(Fault):
    """Runs `action` and gives every content that `directory` may have after a power cut during or after it.

    What `directory` holds before counts as durable. `action` may take one argument, a function that it calls to say
    that something is acknowledged. `model` is the name of a persistence model, or an object; at most `limit` disks
    are given, `exhausted` says whether that was all. Raises `HarnessError` where the recording can't be trusted.
    """

    def __init__(
        self,
        directory: Path,
        action: Callable[..., Any],
        model: str | PersistenceModel = "strict",
        *,
        limit: int = 2_000,
        may_not_fire: bool = False,
    ) -> None:
        super().__init__(may_not_fire=may_not_fire)
        if limit < 1:
            raise UsageError(f"power_cut(limit={limit}) leaves no disk to look at: say 1 or more.")
        if isinstance(model, str):
            require_model(model)
        self.directory = _existing(directory)
        self.model = PRESETS[model] if isinstance(model, str) else model
        self.action = action
        self.limit = limit
        self.exhausted = False
        self.name = f"power cut under {self.model.name}"

    def __iter__(self) -> Iterator[Disk]:
        trace = self._recorded()
        enumerator = Enumerator(trace, self.model, limits=Limits(states_per_point=self.limit, states=self.limit))
        if not any(event.effects for event in trace.events):
            self.require_fired()
            return
        with _beside(self.directory) as place:
            materializer = Materializer(place)
            for state in enumerator:
                materializer.place(state.image())
                self._fired += 1
                lost = tuple(text_of_event(trace, event) for event in sorted(state.losses().damaged))
                told, last = state.knowledge.acknowledged, len(trace.operations) - 1
                call = last_call(trace, state.event)
                after = f"{text_of_event(trace, call)} at {site_of(trace, call)}" if call >= 0 else "nothing"
                yield Disk(place, min(told, last), told > last, lost, after)
        self.exhausted = enumerator.counts.exhausted

    def _recorded(self) -> Trace:
        with patched():
            recorder = Recorder(self.directory)
            recorder.start()
            acknowledge = _Acknowledge(recorder)
            try:
                _run(self.action, acknowledge)
                acknowledge()
            finally:
                recorder.stop()
            trace = recorder.finish(("acknowledged",) * acknowledge.count)
        blind = blindness(trace, self.model)
        if blind:
            raise HarnessError(f"the recording of the action can't be trusted: {blind}.")
        return trace


class _Acknowledge:
    """What an action calls to say that something is acknowledged."""

    def __init__(self, recorder: Recorder) -> None:
        self.count = 0
        self._recorder = recorder
        recorder.mark(MarkerKind.BEGIN, 0)

    def __call__(self) -> None:
        self._recorder.mark(MarkerKind.ACKNOWLEDGE, self.count)
        self.count += 1
        self._recorder.mark(MarkerKind.BEGIN, self.count)


def _run(action: Callable[..., Any], acknowledge: Callable[[], None]) -> Any:
    """Call `action` with `acknowledge` if it takes an argument, else without."""
    try:
        inspect.signature(action).bind()
    except TypeError:
        return action(acknowledge)
    return action()


# --- killed writers ----------------------------------------------------------------------------------


class killed_writer(Fault):
    """Runs `action` in a child process and kills it with SIGKILL when it is about to make its `nth` call that changes
    `directory`. `acknowledged` counts how often the action had said so before.

    A child that ends by itself was not killed: then the fault did not fire. What the action raised is raised here.
    """

    def __init__(
        self, directory: Path, action: Callable[..., Any], nth: int = 1, *, may_not_fire: bool = False
    ) -> None:
        super().__init__(may_not_fire=may_not_fire)
        if nth < 1:
            raise UsageError(f"killed_writer(nth={nth}) can't fire: calls are counted from 1.")
        self.directory = _existing(directory)
        self.nth = nth
        self.name = f"kill at call {nth}"
        self.acknowledged = 0
        with patched():
            self._kill(action)
        self.require_fired()

    def _kill(self, action: Callable[..., Any]) -> None:
        reader, writer = os.pipe()
        parent = os.getpid()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks in a process with threads
            child = os.fork()
        if child == 0:
            os.close(reader)
            containment.die_with_parent(parent)
            self._run_in_child(action, writer)
        os.close(writer)
        with open(reader, "rb") as pipe:
            told = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        self._fired = int(status == -signal.SIGKILL)
        acknowledged, _, problem = told.partition(b"!")
        self.acknowledged = len(acknowledged)
        if problem:
            raise pickle.loads(problem)

    def _run_in_child(self, action: Callable[..., Any], writer: int) -> None:
        try:
            with contextlib.ExitStack() as stack:
                _gates.append(_Killer(str(self.directory), self.nth))
                if not kernel.engaged():
                    stack.enter_context(kernel.engage(_ask_all))
                _run(action, lambda: _tell(writer, b"."))
        except BaseException as error:
            _tell(writer, b"!" + _pickled(error))
        finally:
            os._exit(0)


class _Killer:
    """A gate at which a process ends."""

    def __init__(self, directory: str, nth: int) -> None:
        self._saboteur = Saboteur(directory)
        self._left = nth

    def __call__(self, call: Call, make: Callable[..., Any]) -> Any:
        changes = call.group in _WRITING or (call.group == kernel.OPEN and call.flags & (os.O_CREAT | os.O_TRUNC))
        if changes and self._saboteur.concerns(call):
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return make()


def _tell(writer: int, message: bytes) -> None:
    real.write(writer, message)


def _pickled(error: BaseException) -> bytes:
    try:
        return pickle.dumps(error)
    except Exception:
        return pickle.dumps(RuntimeError(f"{type(error).__name__} in the killed writer: {error}"))


# --- damage -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DamagedCopy:
    """A copy of a directory with one damage, in `path` until the next one is asked for; `what` says which."""

    path: Path
    file: str
    what: str


class damaged(Fault):
    """Copies of `directory`, each with one damage: a bit flipped, a file cut, a page filled with zeros, its tail
    appended once more, a file removed. At most `limit` copies, spread over all damages; the same for the same `seed`.
    """

    name = "damage"

    def __init__(self, directory: Path, *, limit: int = 500, seed: int = 0, may_not_fire: bool = False) -> None:
        super().__init__(may_not_fire=may_not_fire)
        if limit < 1:
            raise UsageError(f"damaged(limit={limit}) leaves no copy to look at: say 1 or more.")
        self.directory = _existing(directory)
        self.limit = limit
        self.seed = seed

    def __iter__(self) -> Iterator[DamagedCopy]:
        whole = scan(self.directory)
        chosen = self._chosen(whole)
        if not chosen:
            self.require_fired()
            return
        with _beside(self.directory) as place:
            materializer = Materializer(place)
            for file, damage in chosen:
                content = injury.damaged_content(file, damage)
                materializer.place(injury.damaged(whole, file.path, content))
                self._fired += 1
                yield DamagedCopy(place, file.path, damage.describe())

    def _chosen(self, whole: Image) -> list[tuple[injury.Versions, injury.Damage]]:
        found = [(file, damage) for file in injury.versions([whole]) for damage in injury.damages(file, self.seed)]
        if len(found) <= self.limit:
            return found
        return [found[number * len(found) // self.limit] for number in range(self.limit)]


def _existing(directory: Path) -> Path:
    if not Path(directory).is_dir():
        raise UsageError(f"there is no directory {directory}: create it first.")
    return Path(os.path.realpath(directory))


@contextlib.contextmanager
def _beside(directory: Path) -> Iterator[Path]:
    """A directory of its own for copies, on the same file system where that is possible."""
    place = Path(tempfile.mkdtemp(prefix="durability-"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
