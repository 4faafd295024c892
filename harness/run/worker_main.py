"""What runs inside a worker process: it gets a `Setup`, prepares once, then does one job after another.

A worker calls into somebody's store, so it trusts nothing: what it needs to answer lies on descriptors out
of the usual reach, and every process that is not the one that was asked ends before it can answer.
A `Board` in shared memory tells the parent, without any system call, which call into the store is running.

Only the harness starts this; it imports little, because it is imported for every fresh worker.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import functools
import gc
import importlib
import mmap
import os
import pickle
import resource
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

from harness.core.errors import HarnessFault
from harness.observe.spans import VARIABLE
from harness.run import containment

BOARD_BYTES = 4096
HEADER = struct.Struct("<Q")
# Asks for stacks. SIGUSR1 and SIGUSR2 a store may handle itself; the last real-time signals are nobody's.
STACK_SIGNAL: int = getattr(signal, "SIGRTMAX", signal.SIGUSR2 + 1) - 1
LOST_CHANNEL_STATUS = 70

# The board is made of 64-bit words; the names of the phases follow them.
_COUNT, _UNIT, _PHASE, _PROCESS, _ANSWERS, _LOST, _SENDING = range(7)
_PHASES_AT = 64
_PHASE_BYTES = 64
_PHASES = (BOARD_BYTES - _PHASES_AT) // _PHASE_BYTES
_HIGHEST_DESCRIPTOR = 4096


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker needs to know, once.

    `task` is "package.module:function". The module also has `prepare(setup) -> context`; the function is
    called as `function(context, job, board)` for each job, and its result is pickled. With `private_mount` a
    tmpfs of `mount_bytes` covers `directory`. `memory_bytes` limits the address space, 0 does not.
    With isolation "fork" every job runs in a child forked after `prepare`, where no job ran before; with
    "fresh" in a child forked before it, which prepares by itself: no code of the store ran there before.
    """

    task: str
    adapter: str = ""
    directory: str = ""
    private_mount: bool = False
    memory_bytes: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    isolation: Literal["warm", "fork", "fresh"] = "warm"
    mount_bytes: int = 2**30


@dataclass(frozen=True, slots=True)
class BoardState:
    """What a worker was doing at one moment; `unit` and `phase` tell the call that it is in, or the last."""

    count: int
    unit: int
    phase: str
    process: int
    answers: int
    lost_channel: bool
    sending: bool = False

    @property
    def in_call(self) -> bool:
        return self.count % 2 == 1


class _PhaseCodes(dict[str | int, int]):
    """Codes of phases, written to the board when first used. Those that find no room share the last."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory

    def __missing__(self, phase: str | int) -> int:
        code = min(len(self), _PHASES - 1)
        start = _PHASES_AT + code * _PHASE_BYTES
        name = phase if isinstance(phase, str) else str(int(phase))
        text = name.encode(errors="replace")[:_PHASE_BYTES]
        self._memory[start : start + _PHASE_BYTES] = text.ljust(_PHASE_BYTES, b"\0")
        self[phase] = code
        return code


class Board:
    """Which call into the store is running.

    Written by the one thread of a worker that makes calls, read by the parent.
    """

    __slots__ = ("__weakref__", "_codes", "_count", "_foreign", "_hooked", "_memory", "_words")

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, BOARD_BYTES)
        self._words = memoryview(self._memory).cast("q")
        self._codes = _PhaseCodes(self._memory)
        self._count = 0
        self._foreign = False
        self._hooked = False

    def enter(self, unit: int, phase: str | int) -> None:
        """A call into the store begins: which one, for which of the units of the job."""
        if self._foreign:
            os._exit(0)
        words = self._words
        words[_UNIT] = unit
        words[_PHASE] = self._codes[phase]
        words[_COUNT] = self._count = (self._count + 1) | 1

    def leave(self) -> None:
        """The call has ended, however it did."""
        if self._foreign:
            os._exit(0)
        self._words[_COUNT] = self._count = (self._count + 2) & ~1

    def adopt(self) -> None:
        """This process makes the calls from now on; what it forks ends when it comes back from a call.

        The fork is noticed by a hook of `os.fork`, because asking for the process id is a system call.
        """
        self._foreign = False
        if not self._hooked and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._mark_foreign)
            self._hooked = True
        self._count = (self._words[_COUNT] + 1) & ~1
        self._words[_PROCESS] = os.getpid()

    def answering(self) -> None:
        """The result of a job is being sent."""
        self._words[_SENDING] = 1

    def answered(self) -> None:
        """The result of a job has been sent whole."""
        self._words[_ANSWERS] += 1
        self._words[_SENDING] = 0

    def lose_channel(self) -> None:
        """The store has closed the descriptor that answers are sent through."""
        self._words[_LOST] = 1

    def read(self) -> BoardState:
        count, unit, code, process, answers, lost, sending = self._words[: _SENDING + 1]
        start = _PHASES_AT + min(max(code, 0), _PHASES - 1) * _PHASE_BYTES
        phase = self._memory[start : start + _PHASE_BYTES].rstrip(b"\0").decode(errors="replace")
        return BoardState(count, unit, phase, process, answers, bool(lost), bool(sending))

    def close(self) -> None:
        self._words.release()
        self._memory.close()

    def _mark_foreign(self) -> None:
        self._foreign = True


class ChannelLost(Exception):
    """The descriptor is closed, or another file by now."""


class Channel:
    """Messages to and from the parent, each led by its length, on a descriptor that a store may close.

    Raises `ChannelLost` if that has happened, or the parent is gone.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._identity = self._look()

    def receive(self) -> bytes | None:
        """The next message; `None` when the parent has no more."""
        header = self._read(HEADER.size)
        return None if header is None else self._read(HEADER.unpack(header)[0])

    def send(self, message: bytes) -> None:
        """Send it whole."""
        if self._look() != self._identity:
            raise ChannelLost
        for part in (HEADER.pack(len(message)), message):
            left = memoryview(part)
            while left:
                left = left[self._guard(os.write, left) :]

    def _read(self, size: int) -> bytes | None:
        parts = []
        while size:
            part = self._guard(os.read, min(size, 1 << 20))
            if not part:
                return None
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _look(self) -> tuple[int, int]:
        status = self._guard(os.fstat)
        return status.st_dev, status.st_ino

    def _guard(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(self._descriptor, *arguments)
        except OSError as error:
            raise ChannelLost from error


@dataclass(frozen=True, slots=True)
class _Task:
    function: Callable[[Any, Any, Board], Any]
    context: Callable[[], Any]  # what was prepared, or prepares
    helpers: frozenset[int]  # children that `prepare` has started


def main(channel_descriptor: int, board_descriptor: int, stacks_descriptor: int, parent: int) -> NoReturn:
    """Serve jobs until the parent closes the channel, then end with all children. Never returns."""
    containment.die_with_parent(parent)
    stacks = out_of_reach(stacks_descriptor)
    faulthandler.enable(stacks)
    faulthandler.register(STACK_SIGNAL, stacks, all_threads=True)
    channel = Channel(out_of_reach(channel_descriptor))
    board = Board(board_descriptor)
    os.close(board_descriptor)
    board.adopt()
    try:
        _serve(channel, board, parent)
    except ChannelLost:
        board.lose_channel()
        os._exit(LOST_CHANNEL_STATUS)
    containment.kill_children()
    os._exit(0)


def out_of_reach(descriptor: int) -> int:
    """A copy with a high number: daemons close, and stores reuse, the low ones."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    limit = _HIGHEST_DESCRIPTOR if soft == resource.RLIM_INFINITY else min(soft, _HIGHEST_DESCRIPTOR)
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, max(limit - 16, 3))
    os.close(descriptor)
    return copy


def _serve(channel: Channel, board: Board, parent: int) -> None:
    message = channel.receive()
    if message is None:
        return
    owner = os.getpid()
    try:
        setup: Setup = pickle.loads(message)
        task = _prepare(setup, parent)
    except BaseException:
        return channel.send(_fault())
    if os.getpid() != owner:
        os._exit(0)
    gc.freeze()  # what has been imported is walked through by no collection, and copied for no child that makes one
    run = _run_here if setup.isolation == "warm" or not containment.CAN_FORK else _run_in_child
    home, mask = os.getcwd(), _umask()
    while (message := channel.receive()) is not None:
        with contextlib.suppress(OSError):
            os.chdir(home)
        os.umask(mask)
        run(channel, board, task, message)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _prepare(setup: Setup, parent: int) -> _Task:
    if setup.private_mount:
        _enter_private_mount(setup)
    containment.contain(setup.memory_bytes)
    containment.become_subreaper()
    containment.die_with_parent(parent)  # again: a change of credentials may have undone it
    module_name, _, function_name = setup.task.partition(":")
    with _compiled_once(os.path.dirname(setup.directory)):
        module = importlib.import_module(module_name)
    prepare = functools.partial(module.prepare, setup)
    if setup.isolation != "fresh" or not containment.CAN_FORK:
        context = prepare()
        prepare = functools.partial(_same, context)
    return _Task(getattr(module, function_name), prepare, containment.child_ids())


@contextlib.contextmanager
def _compiled_once(directory: str) -> Iterator[None]:
    """Where no bytecode may be written beside the sources (PYTHONDONTWRITEBYTECODE), keep it in `directory`, that of
    the run, while our own modules are imported: else every worker compiles all of them again."""
    if not (sys.dont_write_bytecode and directory):
        yield
        return
    before, sys.pycache_prefix = sys.pycache_prefix, os.path.join(directory, "compiled")
    sys.dont_write_bytecode = False
    try:
        yield
    finally:
        sys.dont_write_bytecode, sys.pycache_prefix = True, before


def _same(context: Any) -> Any:
    return context


def _enter_private_mount(setup: Setup) -> None:
    from pathlib import Path

    from harness.run import namespaces

    directory = Path(setup.directory)
    if not namespaces.enter_private_mount(directory, setup.mount_bytes):
        reason = namespaces.refusal(directory, setup.mount_bytes)
        raise HarnessFault(f"No private mount over {directory}: {reason}.")


def _run_here(channel: Channel, board: Board, task: _Task, message: bytes) -> None:
    owner = os.getpid()
    answer = _answer(task, message, board)
    if os.getpid() != owner:  # a child that the store forked, and that came back into our code
        os._exit(0)
    if board.read().in_call:  # the task has not said so
        board.leave()
    board.answering()
    channel.send(answer)
    board.answered()
    containment.reap_children()


def _run_in_child(channel: Channel, board: Board, task: _Task, message: bytes) -> None:
    worker, answers = os.getpid(), board.read().answers
    try:
        child = os.fork()
    except OSError:  # no memory, too many processes
        return channel.send(_fault())
    if child == 0:
        containment.die_with_parent(worker)
        board.adopt()
        _run_here(channel, board, task, message)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    containment.kill_children(spared=task.helpers)
    state = board.read()
    if state.answers > answers:
        return None
    if state.sending or state.lost_channel:
        _end_like(status)
    return channel.send(pickle.dumps(("died", os.waitstatus_to_exitcode(status))))


def _end_like(status: int) -> NoReturn:
    """The child died over its answer: die in the same way, for nobody could read another one."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(OSError):  # SIGKILL takes no handler
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))


def _answer(task: _Task, message: bytes, board: Board) -> bytes:
    """The message that tells what became of a job. It comes behind a line: the span that it is done in, if any."""
    traceparent, _, job = message.partition(b"\n")
    try:
        if traceparent:
            os.environ[VARIABLE] = traceparent.decode("ascii")
        return pickle.dumps(("done", task.function(task.context(), pickle.loads(job), board)))
    except BaseException:
        return _fault()


def _fault() -> bytes:
    import traceback

    return pickle.dumps(("fault", traceback.format_exc()))
