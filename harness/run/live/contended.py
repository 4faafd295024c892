"""Two processes at one store while a clock goes wrong: one stops inside its operation, the other goes on.

The first is a forked child that stops at an I/O call, perhaps with a lock in its hands; the second is this process, for
which waiting takes no time (`timepiece`). The first goes on when the second has returned, or sits in a call of the
kernel for too long: a lock that the kernel keeps makes it wait for the first, and no clock can change that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from harness.core.models import DOCUMENT, KEY_VALUE, LOG
from harness.core.operations import Append, Compact, Put, Save, Sync, describe
from harness.core.trace import empty_image
from harness.core.workload import Workload
from harness.inject.clocks import PATIENCE_S, ClockFault, ClockMoment
from harness.judge.classify import Violation
from harness.judge.contended import Attempted, judge_contended
from harness.record import originals as real
from harness.run import containment
from harness.run.descriptors import heard
from harness.run.live.bench import Bench, Client, NoBoard
from harness.run.live.session import Session
from harness.run.live.timepiece import FileTimes
from harness.run.recovering import Step, StoreFailed, TolerantModel

#: How often a stopped child looks at what the other process does, and how often that lets it know that it waits.
_LOOK_S = 0.05
_NEWS_NS = 20_000_000


@dataclass(frozen=True, slots=True)
class Encounter:
    """What came of it. `stopped`: the first process got as far as the call; `calls` are those of its operation;
    `alone`: it went on by itself, because the second was stuck in the kernel."""

    stopped: bool
    alone: bool = False
    overdue: bool = False
    calls: int = 0
    violation: Violation | None = None
    lines: tuple[str, ...] = ()


class Pair:
    """Two processes that each carry out one operation after the same beginning."""

    def __init__(self, bench: Bench, workload: Workload) -> None:
        self.bench = bench
        self.operations = pair_of(bench.adapter.model, workload)
        beginning = [step for step in workload.operations if not isinstance(step, Sync | Compact)][:1]
        self.beginning = Workload(workload.name, tuple(beginning))

    def meet(self, session: Session, fault: ClockFault, *, happens: bool = True) -> Encounter:
        """One encounter. The first process stops at the I/O call of `fault`; without `happens` clocks go right."""
        self.bench.materializer.place(empty_image())
        with session.running(fault):
            client = session.client
            client.run(self.beginning)
            done = tuple(client.operations)
            first = _Child(session, self.operations[0], fault, happens)
            try:
                stopped = session.bench.call(Step.OPERATION, first.stopped)
                if stopped:
                    session.clock.on_wait = first.waiter(session, fault if happens else None)
                second = Client(session.bench)
                if stopped:
                    second.run(Workload("second", self.operations[1:]))
                overdue = session.clock.overdue
                session.clock.on_wait = lambda: None
                answer = session.bench.call(Step.OPERATION, first.result)
            finally:
                first.end()
            if not stopped or answer is None or done != self.beginning.operations:
                return Encounter(False, calls=0 if answer is None else answer.calls)
            violation = self._judge(session, done, answer, second)
        self.bench.surroundings.restore()
        lines = (*client.lines[:1], *self._lines(fault, answer, second))
        return Encounter(True, answer.alone, overdue or answer.overdue, answer.calls, violation, lines)

    def _judge(self, session: Session, done: tuple[Any, ...], answer: _Answer, second: Client) -> Violation | None:
        model = TolerantModel(self.bench.adapter.model)
        before = model.initial()
        for operation in done:
            before = model.step(before, operation)[0]
        attempted = [Attempted(self.operations[0], not answer.error)]
        if second.operations:
            attempted.append(Attempted(self.operations[1], not second.errors))
        session.clock.put_right()
        try:
            recovered = session.bench.recoverer().read()
        except StoreFailed as failure:
            return Violation("cannot_open", failure.sentence())
        return judge_contended(model, before, attempted, recovered)

    def _lines(self, fault: ClockFault, answer: _Answer, second: Client) -> Iterator[str]:
        first = describe(self.operations[0], limit=120)
        yield f"{first}  # in one process, stopped at I/O call {fault.index + 1}"
        yield f"<{fault.action()}{'' if fault.moment is ClockMoment.HELD else ' while the other waits'}>"
        yield from (f"{line}, in another process" for line in second.lines)
        yield f"{first}  # goes on, {f'raised {answer.error}' if answer.error else 'acknowledged'}"


@dataclass(frozen=True, slots=True)
class _Answer:
    error: str
    calls: int
    overdue: bool
    alone: bool


class _Child:
    """The first process. It opens the store, and stops inside its operation."""

    def __init__(self, session: Session, operation: Any, fault: ClockFault, happens: bool) -> None:
        self._news, news = os.pipe()
        going_on, self._go_on = os.pipe()
        parent = os.getpid()
        self.process = os.fork()
        if self.process == 0:
            _live(session, operation, fault, happens, _Pipes(news, going_on), parent)
        real.close(news)
        real.close(going_on)

    def stopped(self) -> bool:
        """Wait until it has stopped, or ended; whether it stopped."""
        return bool(real.read(self._news, 1) == b"s")

    def waiter(self, session: Session, fault: ClockFault | None) -> Callable[[], None]:
        """What to do whenever the second process waits: let the first know, now and then, and have the fault happen.

        A fault that is not to happen while somebody waits happens now.
        """
        waiting = [fault] if fault is not None and fault.moment is ClockMoment.WAITING else []
        if fault is not None and not waiting:
            session.clock.apply(fault)
        told_ns = [0]

        def wait() -> None:
            while waiting:
                session.clock.apply(waiting.pop())
            now_ns = session.clock.source_ns()
            if now_ns - told_ns[0] > _NEWS_NS:
                told_ns[0] = now_ns
                real.write(self._go_on, b"w")

        return wait

    def result(self) -> _Answer | None:
        """Let it go on, and wait for its answer; `None` if it has died."""
        with contextlib.suppress(BrokenPipeError):
            real.write(self._go_on, b"g")
        parts = []
        while part := real.read(self._news, 65536):
            parts.append(part)
        try:
            answer: _Answer = pickle.loads(b"".join(parts))
        except (EOFError, pickle.UnpicklingError):
            return None
        return answer

    def end(self) -> None:
        real.close(self._news)
        real.close(self._go_on)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process, 9)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.process, 0)


@dataclass(frozen=True, slots=True)
class _Pipes:
    """What a child has of its parent: it tells its news, and hears when to go on."""

    news: int
    going_on: int

    def told_to_go_on(self, other: int) -> bool:
        """Wait for the word; `False` if the process `other` sleeps in the kernel, and won't say it."""
        before = ""
        while True:
            if heard(self.going_on, _LOOK_S):
                before = ""
                if real.read(self.going_on, 1) != b"w":
                    return True
            else:
                now = _doing(other)
                if now == before:
                    return False
                before = now if "(sleeping)" in now else ""


def _doing(process: int) -> str:
    """What a process is at, from proc(5): its state, and how often it has been switched to and from. While it sleeps in
    one call of the kernel this stays the same; one that only gets no processor is not sleeping."""
    descriptor = real.open(f"/proc/{process}/status", os.O_RDONLY)
    try:
        lines = real.read(descriptor, 1 << 16).decode().splitlines()
    finally:
        real.close(descriptor)
    return "\n".join(line for line in lines if line.startswith(("State", "voluntary", "nonvoluntary")))


def _live(session: Session, operation: Any, fault: ClockFault, happens: bool, pipes: _Pipes, parent: int) -> NoReturn:
    """What the child does; it never returns into the code of its parent."""
    try:
        containment.die_with_parent(parent)

        alone: list[bool] = []

        def stop() -> None:
            real.write(pipes.news, b"s")
            alone.append(not pipes.told_to_go_on(parent))
            if happens:
                session.clock.apply(fault)  # it is the same machine's clock

        answer = _first(session, operation, FileTimes(session.clock, session.files.directory, fault.index, stop), pipes)
        real.write(pipes.news, pickle.dumps(dataclasses.replace(answer, alone=any(alone))))
    finally:
        os._exit(0)


def _first(session: Session, operation: Any, files: FileTimes, pipes: _Pipes) -> _Answer:
    """Open, one operation, close."""
    client = Client(dataclasses.replace(session.bench, board=NoBoard()))
    calls = 0
    if client.open():
        session.files.take_turns(files)
        client.step(operation)
        calls = files.calls
        session.files.take_turns(None)
        client.close()
    if calls <= files.index:
        real.write(pipes.news, b"-")
    error = next(iter([*client.errors.values(), *client.elsewhere]), "")
    return _Answer(error, calls, session.clock.overdue, alone=False)


def pair_of(model: Any, workload: Workload) -> tuple[Any, ...]:
    """Two operations that don't undo each other."""
    if model is KEY_VALUE:
        return (Put("k5", "by one process"), Put("k6", "by another process"))
    if model is LOG:
        return (Append("by one process"), Append("by another process"))
    if model is DOCUMENT:
        return (Save({"by": "one process"}), Save({"by": "another process"}))
    return tuple(step for step in workload.operations if not isinstance(step, Sync | Compact))[-2:]


def overdue() -> Violation:
    return Violation("hang", f"a process waited for more than {PATIENCE_S:g} seconds by the monotonic clock")
