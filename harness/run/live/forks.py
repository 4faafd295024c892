"""Parts of a trial that run in a process of their own, which may be killed or stopped, and what they tell meanwhile.

A child is forked from the worker, where no store has run, and says through a pipe what happens: every message is one
write, shorter than PIPE_BUF or made whole before the next, so none is missed or cut when the child is killed. The
parent reads until the last writer of the pipe is gone, then takes the child off the process table, so that a store
that asks whether the holder of a lock is alive learns that it is not, and ends whatever the child left running.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NoReturn

from harness.core.errors import HarnessFault
from harness.core.history import Outcome
from harness.core.trace import CallSite
from harness.inject.kills import Called, Settled
from harness.record import originals as real
from harness.run import containment
from harness.run.descriptors import which_heard
from harness.run.live.polling import repeats
from harness.run.recovering import Board, Step
from harness.run.worker_main import out_of_reach

_HEADER = struct.Struct("<BiI")
#: A moment in nanoseconds, as it is said.
MOMENT = struct.Struct("<q")
_READ_BYTES = 1 << 16
#: How often a pipe that stays open is looked at: a process that the child left behind may hold it.
_LOOK_S = 0.05
_SHORT_LOOK_S = 0.005
#: A process that is found asleep so often in a row waits for something.
_ASLEEP_LOOKS = 4
#: Children that somebody still listens to, by process.
_running: dict[int, Child] = {}


class Word(IntEnum):
    """What a child says. With each goes a number, and what is written behind it."""

    STEP = 1  # a call into the store begins; its name
    BEGUN = 2  # operation `number`
    ACKNOWLEDGED = 3  # operation `number`; "synced" if it was a durability point
    FAILED = 4  # operation `number`; the error
    UNSUPPORTED = 5  # operation `number` of the workload as it was asked for
    TROUBLE = 6  # opening or closing raised; the error
    CALLED = 7  # a call of the store; pickled `Called`
    STALLED = 8  # the child is about to stop
    STRUCK = 9  # a fault struck at call `number`; pickled details
    ANSWER = 10  # pickled
    DONE = 11
    FAULT = 12  # the harness failed; the traceback
    READY = 13  # the child has got as far as it was to get by itself
    INVOKED = 14  # operation `number` of one of several clients; when
    COMPLETED = 15  # operation `number`; pickled `Completion`
    READ = 16  # a line of the store asked for the time; pickled site and how it asked


class Voice:
    """The child's end of the pipe. What the store forks has none."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = out_of_reach(descriptor)
        os.register_at_fork(after_in_child=self.fall_silent)

    def say(self, word: Word, number: int = -1, payload: bytes = b"") -> None:
        if self._descriptor >= 0:
            rest = memoryview(_HEADER.pack(word, number, len(payload)) + payload)
            while rest:
                rest = rest[real.write(self._descriptor, rest) :]

    def fall_silent(self) -> None:
        if self._descriptor >= 0:
            real.close(self._descriptor)
            self._descriptor = -1


@dataclass(frozen=True, slots=True)
class Completion:
    """What became of an operation: when, by the clock of all processes, and the answer or the error."""

    at_ns: int
    outcome: Outcome
    answer: Any = None
    error: str = ""


@dataclass(slots=True)
class Part:
    """One operation of one of several clients: when it was invoked, what became of it, and where in the `course` of
    its process it began and ended; as long as it has not ended, `to` is beyond everything."""

    invoked_ns: int
    since: int
    completion: Completion | None = None
    to: int = sys.maxsize


@dataclass(slots=True)
class Told:
    """What a child has told until it ended.

    `begun`, `settled` and `synced` count operations, as an oracle wants to know them. `status` is that of waitpid(2).
    `parts` are the operations of one of several clients, by number.
    `readers` are the lines that asked for the time since it was wrong, each once.
    `struck` are the faults that struck, each with a number, details, and the index of the operation that was under
    way or -1. `orphans` counts processes that it left running.
    """

    begun: int = 0
    settled: int = 0
    synced: int = 0
    acknowledged: set[int] = field(default_factory=set)
    errors: dict[int, str] = field(default_factory=dict)
    unsupported: set[int] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)
    course: list[Called | Settled] = field(default_factory=list)
    struck: list[tuple[int, Any, int]] = field(default_factory=list)
    parts: dict[int, Part] = field(default_factory=dict)
    readers: list[tuple[CallSite, str]] = field(default_factory=list)
    step: str = ""
    answer: Any = None
    done: bool = False
    ready: bool = False
    stalled: bool = False
    status: int = 0
    orphans: int = 0
    seconds: float = 0.0

    @property
    def killed(self) -> bool:
        return os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGKILL

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        if os.WIFSIGNALED(self.status):
            return signal.Signals(os.WTERMSIG(self.status)).name
        return f"exit status {os.waitstatus_to_exitcode(self.status)}"

    def hear(self, word: int, number: int, payload: bytes) -> None:
        match word:
            case Word.STEP:
                self.step = payload.decode()
            case Word.BEGUN:
                self.begun = max(self.begun, number + 1)
            case Word.ACKNOWLEDGED | Word.FAILED:
                self._settle(word, number, payload)
            case Word.UNSUPPORTED:
                self.unsupported.add(number)
            case Word.TROUBLE:
                self.troubles.append(payload.decode(errors="replace"))
            case Word.CALLED:
                self.course.append(pickle.loads(payload))
            case Word.STALLED:
                self.stalled = True
            case Word.STRUCK:
                under_way = self.begun - 1 if self.begun > self.settled else -1
                self.struck.append((number, pickle.loads(payload), under_way))
            case Word.ANSWER:
                self.answer = pickle.loads(payload)
            case Word.READY:
                self.ready = True
            case Word.INVOKED:
                self.parts[number] = Part(MOMENT.unpack(payload)[0], len(self.course))
            case Word.COMPLETED:
                part = self.parts[number]
                part.completion, part.to = pickle.loads(payload), len(self.course)
            case Word.READ:
                self.readers.append(pickle.loads(payload))
            case Word.DONE:
                self.done = True
            case Word.FAULT:
                raise HarnessFault(f"A trial failed in its process:\n{payload.decode(errors='replace')}")

    def _settle(self, word: int, number: int, payload: bytes) -> None:
        self.settled = max(self.settled, number + 1)
        self.course.append(Settled(number, acknowledged=word == Word.ACKNOWLEDGED))
        if word == Word.FAILED:
            self.errors[number] = payload.decode(errors="replace")
            return
        self.acknowledged.add(number)
        if payload == b"synced":
            self.synced = number + 1


@dataclass(slots=True)
class SpokenBoard:
    """A board that also tells the parent which call into the store begins: the process may die in it."""

    board: Board
    voice: Voice

    def enter(self, unit: int, phase: str) -> None:
        self.voice.say(Word.STEP, payload=str(phase).encode())
        self.board.enter(unit, phase)

    def leave(self) -> None:
        self.board.leave()

    def adopt(self) -> None:
        self.board.adopt()


Work = Callable[[Voice], None]


class Child:
    """A forked process that does `work`, and ends. Raises `OSError` where it can't be forked."""

    def __init__(self, board: Board, work: Work, unit: int = 0) -> None:
        self.told = Told()
        self._board = board
        self._unit = unit
        self._buffer = bytearray()
        self._at_end = False
        self._spared = containment.child_ids()
        self._started = time.perf_counter()
        self._reader, writer = os.pipe()
        self.pid = self._fork(work, writer)
        real.close(writer)
        _running[self.pid] = self

    def _fork(self, work: Work, writer: int) -> int:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            real.close(self._reader)
            real.close(writer)
            raise
        if pid == 0:
            containment.die_with_parent(parent)
            _running.clear()
            real.close(self._reader)
            _work_and_exit(self._board, work, writer)
        return pid

    # --- in the parent ---------------------------------------------------------------------------

    def listen(
        self, *, kill_after_s: float | None = None, stalled: Callable[[], None] | None = None
    ) -> Told:
        """Hear it until it ends. It is killed when the time is over; `stalled` is called while it stands still."""
        deadline = None if kill_after_s is None else self._started + kill_after_s
        try:
            while self._hear(deadline):
                if self.told.stalled:
                    self.told.stalled = False
                    self._wait_for_stop_and_go_on(stalled)
                if deadline is not None and time.perf_counter() >= deadline:
                    os.kill(self.pid, signal.SIGKILL)
                    deadline = None
        except BaseException:  # ours: nothing of it may go on
            os.kill(self.pid, signal.SIGKILL)
            raise
        finally:
            self._finish()
        return self.told

    def hear_until_ready(self, seconds: float, stalled: Callable[[], None] | None = None) -> bool:
        """Hear it until it is ready, or stands still, or has ended, or so long; whether it has not ended. With
        `stalled`, which is called while it stands still, it goes on after that."""
        deadline = time.perf_counter() + seconds
        while not (self.told.ready or self.told.stalled) and time.perf_counter() < deadline:
            if not self._hear(deadline):
                return False
            if self.told.stalled and stalled is not None:
                self.told.stalled = False
                self._wait_for_stop_and_go_on(stalled)
        return True

    def hear_a_little(self) -> bool:
        """Take what it says within a moment; whether it has not ended."""
        return self._hear(time.perf_counter() + _SHORT_LOOK_S)

    def hear_until_it_waits(self, seconds: float) -> None:
        """Hear it until it has ended or stopped, or stands waiting (for a lock, say), or so long; `listen` goes on from
        there.

        Sleep counts as waiting, and trying the same again and again, but not that a busy machine does not let a process
        run, or that a disk keeps it.
        """
        deadline = time.perf_counter() + seconds
        asleep, began = 0, len(self.told.course)
        while asleep < _ASLEEP_LOOKS and not self.told.stalled and (now := time.perf_counter()) < deadline:
            if not self._hear(min(deadline, now + _SHORT_LOOK_S)) or repeats(self.told.course[began:]):
                return
            asleep = asleep + 1 if containment.is_asleep(self.pid) else 0

    def go_on(self) -> None:
        """If it has stopped, it goes on."""
        if self.told.stalled:
            self.told.stalled = False
            self._wait_for_stop_and_go_on(None)

    @property
    def seconds(self) -> float:
        """How long ago it began."""
        return time.perf_counter() - self._started

    def has_ended(self) -> bool:
        """Whether it has, without taking it off the process table."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _hear(self, deadline: float | None) -> bool:
        """Take what has been said; whether there may be more."""
        left = _LOOK_S if deadline is None else max(0.0, min(_LOOK_S, deadline - time.perf_counter()))
        if self._speaks(left):
            return self._take()
        if not self.has_ended():
            return True
        while self._speaks(0.0) and self._take():  # said between the look at the pipe and the end
            pass
        return False

    def _speaks(self, seconds: float) -> bool:
        """Whether it says something, or ends, within so many seconds. What others say meanwhile is taken: whoever is
        not heard stands still once its pipe is full, perhaps with a lock in its hands."""
        deadline = time.perf_counter() + seconds
        while True:
            others = {child._reader: child for child in _running.values() if child is not self and not child._at_end}
            speaking = which_heard((self._reader, *others), max(0.0, deadline - time.perf_counter()))
            for reader in speaking & others.keys():
                others[reader]._take()
            if self._reader in speaking or time.perf_counter() >= deadline:
                return self._reader in speaking

    def _take(self) -> bool:
        """Hear what is in the pipe; `False` at its end."""
        data = real.read(self._reader, _READ_BYTES)
        self._at_end = not data
        self._buffer += data
        while (message := self._message()) is not None:
            self.told.hear(*message)
        return bool(data)

    def _message(self) -> tuple[int, int, bytes] | None:
        if len(self._buffer) < _HEADER.size:
            return None
        word, number, length = _HEADER.unpack_from(self._buffer)
        end = _HEADER.size + length
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[_HEADER.size : end])
        del self._buffer[:end]
        return word, number, payload

    def _wait_for_stop_and_go_on(self, meanwhile: Callable[[], None] | None) -> None:
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):  # somebody has killed it instead
            self.told.status = status
            return
        if meanwhile is not None:
            meanwhile()
        self._board.adopt()  # a call that never returns after this is noticed
        self._board.enter(self._unit, Step.OPERATION)
        os.kill(self.pid, signal.SIGCONT)

    def _finish(self) -> None:
        real.close(self._reader)
        told = self.told
        if not told.status:
            _, told.status = os.waitpid(self.pid, 0)
        told.seconds = time.perf_counter() - self._started
        _running.pop(self.pid, None)
        spared = self._spared | _running.keys()
        told.orphans = len(containment.child_ids() - spared)
        if told.orphans:
            containment.kill_children(spared)
        self._board.adopt()


def _work_and_exit(board: Board, work: Work, writer: int) -> NoReturn:
    status = 0
    gc.freeze()  # a collection would touch, and so copy, every page that is shared with the parent
    try:
        voice = Voice(writer)
        try:
            board.adopt()
            work(voice)
            voice.say(Word.DONE)
        except BaseException:
            voice.say(Word.FAULT, payload=traceback.format_exc().encode())
    except BaseException:  # nobody listens any more
        status = 1
    finally:
        os._exit(status)
