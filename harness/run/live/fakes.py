"""Full disks on a machine that gives no file system of its own: a disk in memory (pyfakefs), in a forked process.

It counts bytes, so it can be full in the middle of a page, and takes no privileges. What it can't fake is said in
`harness.inject.fakes`; a store that uses any of that is not tried by it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.trace import CallSite
from harness.core.workload import Reopen, Workload
from harness.crash.materialize import Materializer
from harness.inject.fakes import FakeDisk, available, fake_disk
from harness.judge.classify import Violation
from harness.judge.failing import worse
from harness.record import uninstall
from harness.record.callsite import CallSites, is_store_file
from harness.run.descriptors import heard
from harness.run.live.bench import Bench
from harness.run.live.calls import Act, CallsEngine, Fired, Injector, Look, Session, Stop, blamed, each_site
from harness.run.live.values import Struck, Trial

#: Room that is tried at most; more would take long, because a fake file system is slow.
SWEEP = 160
_ROOM_BYTES = 2**30
_PATIENCE_S = 60.0
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class FakeFullDisk:
    """From the beginning on there is room for so many bytes."""

    free_bytes: int

    def describe(self) -> str:
        return f"the disk has room for {self.free_bytes} bytes"


class _Unwatched:
    """The board of a process that the worker waits for itself."""

    def enter(self, unit: int, phase: str) -> None:
        return None

    def leave(self) -> None:
        return None

    def adopt(self) -> None:
        return None


class _Witness(Injector):
    """Notes each time that the disk was full, and gives room when it is lifted."""

    def __init__(self, directory: Path) -> None:
        super().__init__(str(directory))
        self.disk: FakeDisk | None = None

    def lift(self) -> None:
        if self.disk is not None:
            self.disk.limit(_ROOM_BYTES)

    def full(self) -> None:
        self.fired.append(Fired(_site(self._sites), "write", self.operation))


def _site(sites: CallSites) -> CallSite | None:
    """The innermost frame of the store: what is below it is pyfakefs."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if is_store_file(name) and "/pyfakefs/" not in name:
            return sites.resolve(frame.f_code, frame.f_lasti)
        frame = frame.f_back  # type: ignore[assignment]
    return None


# --- the forked process ---------------------------------------------------------------------------


class _Child:
    """Answers one question after another, in a process without the recorder's patches."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        question, self._ask = os.pipe()
        self._hear, reply = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            os.close(self._ask)
            os.close(self._hear)
            with contextlib.suppress(BaseException):
                _serve(question, reply, answer)
            os._exit(0)
        os.close(question)
        os.close(reply)

    def ask(self, question: Any) -> Any:
        """The answer; `None` if the process has ended, or takes too long and is ended."""
        try:
            _send(self._ask, question)
            if heard(self._hear, _PATIENCE_S):
                return _receive(self._hear)
        except (EOFError, OSError):
            pass  # it has ended
        self.close()
        return None

    def close(self) -> None:
        """End it, if that has not been done."""
        if self.process:
            os.close(self._ask)
            os.close(self._hear)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process, 9)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.process, 0)
            self.process = 0

    def __del__(self) -> None:
        self.close()


def _serve(question: int, reply: int, answer: Callable[[Any], Any]) -> None:
    uninstall()
    while True:
        _send(reply, answer(_receive(question)))


def _send(descriptor: int, value: Any) -> None:
    data = pickle.dumps(value)
    rest = memoryview(_LENGTH.pack(len(data)) + data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _receive(descriptor: int) -> Any:
    return pickle.loads(_exactly(descriptor, _LENGTH.unpack(_exactly(descriptor, _LENGTH.size))[0]))


def _exactly(descriptor: int, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = os.read(descriptor, size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return parts


# --- the engine -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Measured:
    """What the run without limit was like: why nothing can be tried, if so, operations, and bytes used at most."""

    refused: str
    operations: int
    used_bytes: int


class FakeDisksEngine(CallsEngine):
    """Limits the room on a disk in memory while one workload runs, at every amount."""

    fault_types = (FakeFullDisk,)

    def __init__(self, bench: Bench, workload: Workload, claim: str, promise: str) -> None:
        super().__init__(bench, workload, claim, promise)
        self.steps = (*workload.steps, Look(), Reopen(), *self.steps[-1:])
        self.child: _Child | None = None

    def rehearse(self) -> str:
        """Run the script without a limit; why nothing can be tried, or nothing."""
        if not available():
            return "pyfakefs is not installed"
        self.child = _Child(self._answer)
        measured = self.child.ask(None)
        if measured is None:
            return "the store does not get through its workload on a fake file system"
        self.count, self.used_bytes = measured.operations, measured.used_bytes
        return str(measured.refused)

    def faults(self) -> Iterator[FakeFullDisk]:  # type: ignore[override]
        every = range(self.used_bytes + 1)
        count = min(len(every), SWEEP)
        order = sorted(range(count), key=lambda number: (number % 8, number))  # first from all parts
        return (FakeFullDisk(every[number * len(every) // count]) for number in order)

    def attempt(self, fault: FakeFullDisk) -> Trial:  # type: ignore[override]
        trial = None if self.child is None or not self.child.process else self.child.ask(fault)
        return trial if isinstance(trial, Trial) else Trial(0, promise=self.promise)

    def ended(self, fault: FakeFullDisk, violation: Violation) -> Trial:  # type: ignore[override]
        return Trial(1, violation, None, self._told(fault.describe(), [], violation), (), self.promise)

    # --- in the child ------------------------------------------------------------------------------

    def _answer(self, fault: FakeFullDisk | None) -> Any:
        if fault is None:
            return self._measured()
        trial = self._on_disk(fault)
        if trial.violation is None and trial.fired:
            return self._on_disk(fault, Stop.AT_ONCE)  # later operations may have mended what the fault left
        return trial

    def _measured(self) -> _Measured:
        most = 0
        with self._disk() as (bench, witness, disk):
            def measure() -> None:
                nonlocal most
                most = max(most, disk.used_bytes)

            engine = self._inside(bench)
            session = Session(bench, witness)
            session.play(tuple(part for step in self.steps for part in (step, Act(measure))), self.last)
            errors = [*session.client.elsewhere, *session.client.errors.values()]
            violation = session.violation or (None if errors else engine._recovered(session)[0])
            refused = f"it calls {disk.refused[0]}, which can't be faked" if disk.refused else ""
        wrong = "" if violation is None else f"without any fault {violation.sentence}"
        return _Measured(refused or (errors or [wrong])[0], len(session.client.operations), most)

    def _on_disk(self, fault: FakeFullDisk, stop: Stop | None = None) -> Trial:
        with self._disk() as (bench, witness, disk):
            engine, session = self._inside(bench), Session(bench, witness)
            disk.limit(fault.free_bytes)
            session.play(self.steps, self.last, stop)
            fired = len(witness.fired)
            if not fired:
                return Trial(0, promise=self.promise)
            violation, unknown = engine._recovered(session)
            violation = worse(violation, session.violation)
        struck = tuple(Struck(item.site, item.call, "no space (fake)") for item in each_site(witness.fired))
        if violation is None:
            return Trial(fired, struck=struck, promise=self.promise, unknown=unknown)
        exhibit = self._told(fault.describe(), session.client.lines, violation)
        return Trial(fired, violation, blamed(session, violation).site, exhibit, struck, self.promise)

    @contextlib.contextmanager
    def _disk(self) -> Iterator[tuple[Bench, _Witness, FakeDisk]]:
        directory = self.bench.directory
        witness = _Witness(directory)
        with fake_disk(str(directory), witness.full) as disk:
            witness.disk = disk
            bench = dataclasses.replace(
                self.bench, directory=Path(str(directory)), materializer=Materializer(directory), board=_Unwatched()
            )
            yield bench, witness, disk

    def _inside(self, bench: Bench) -> CallsEngine:
        """The engine for the bench on the fake disk."""
        engine = CallsEngine(bench, self.workload, self.claim, self.promise)
        engine.spare = self.spare
        return engine

