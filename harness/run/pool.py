"""Warm worker processes for jobs that call into somebody's store, and what became of each job.

A worker is a fresh interpreter that prepares once and then takes one job after another, or forks a child for
each. The parent looks at its `Board` every few hundredths of a second. A call that lasts longer than the time
limit is a hang; a process that ends during a call has died of it. Both are outcomes (`Interrupted`), and where
the worker itself is gone, a fresh one takes over. Whatever goes wrong outside of calls is ours, and raises
`HarnessFault`.

Time is added up in small steps between two looks, at most `_LONGEST_STEP_S` each, so that a machine that
stood still makes no hangs. Nor does an overloaded one: a call that could run but was not let is given
up to `_PATIENCE` times its limit.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import psutil

from harness.core.errors import HarnessFault
from harness.observe.spans import NO_SPAN, Span
from harness.run import containment
from harness.run.tracing import result_attributes
from harness.run.worker_main import BOARD_BYTES, HEADER, STACK_SIGNAL, Board, BoardState, Setup

BETWEEN_LIMIT_S = 600.0

_TICK_S = 0.025
_LONGEST_STEP_S = 4 * _TICK_S
_PATIENCE = 4
_STARVING = (psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP)
_STACKS_LIMIT_S = 1.0
_FAREWELL_LIMIT_S = 2.0
_RECEIVE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Done:
    """The task returned `result`."""

    result: Any


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The job did not end, because the call `phase` of `unit` hung, or the process died in it.

    `phase` is as it was given to `Board.enter`, a number in digits. `detail` tells the exit status or signal
    and the memory in use; `stacks` those of all threads, if they could still be written.
    """

    unit: int
    phase: str
    how: Literal["hang", "died"]
    detail: str
    stacks: str


Outcome = Done | Interrupted


def _untraced(job: Any) -> Span:
    return NO_SPAN


class Pool:
    """Up to `size` workers. Use it as a context manager: after it no process is left.

    `time_limit_s` is for one call into the store, `between_limit_s` for preparing, and for what the task
    does between two calls; `variables` are set in the environment of the workers. `begin` makes the span of a job
    when a worker gets it. Iterate from a thread that lives as long as the pool: the kernel kills a worker when the
    thread that started it ends.
    """

    def __init__(
        self,
        setup: Setup,
        size: int,
        time_limit_s: float,
        *,
        between_limit_s: float = BETWEEN_LIMIT_S,
        variables: Mapping[str, str] | None = None,
        begin: Callable[[Any], Span] = _untraced,
    ) -> None:
        self._setup = pickle.dumps(setup)
        self._directory = os.path.dirname(setup.directory)  # that of the run
        self._memory_bytes = setup.memory_bytes
        self._size = size
        self._variables = dict(variables or {})
        self._begin = begin
        self._time_limit_s = time_limit_s
        self._between_limit_s = between_limit_s
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()
        self._next_index = 0
        self._looked_at = time.monotonic()
        self._resources = contextlib.ExitStack()
        self._resources.enter_context(containment.subreaping())
        self._resources.callback(self._selector.close)

    def run(self, jobs: Iterable[Any]) -> Iterator[tuple[int, Any, Outcome]]:
        """Do all jobs; yields (number of the job, job, outcome) as they finish.

        Jobs are taken when a worker is free, and asked for again after each outcome: an iterator over a queue
        may get new jobs on the way. Raises `HarnessFault` if the task raises, or a worker fails outside of
        calls. Leaving early kills the workers that are still busy.
        """
        source = enumerate(jobs, self._next_index)
        self._looked_at = time.monotonic()
        try:
            while self._dispatch(source):
                yield from self._collect()
        finally:
            for worker in [worker for worker in self._workers if worker.job is not None]:
                self._give_up(worker)

    def close(self) -> None:
        """End all workers and everything that they started. Closing twice is harmless."""
        for worker in self._workers:
            worker.dismiss()
        deadline = time.monotonic() + _FAREWELL_LIMIT_S
        while any(worker.is_alive() for worker in self._workers) and time.monotonic() < deadline:
            time.sleep(0.002)
        while self._workers:
            self._discard(self._workers[0])
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _dispatch(self, source: Iterator[tuple[int, Any]]) -> bool:
        """Give each free worker a job, starting workers as needed; whether any is busy then."""
        busy = sum(worker.job is not None for worker in self._workers)
        while busy < self._size:
            index, job = next(source, (None, None))
            if index is None:
                break
            self._next_index = index + 1
            self._free_worker().start_job(index, job, self._begin(job))
            busy += 1
        return busy > 0

    def _free_worker(self) -> _Worker:
        for worker in [worker for worker in self._workers if worker.job is None]:
            if worker.is_alive():
                return worker
            self._discard(worker)  # what a store left behind in it has ended it since
        worker = _Worker(self._setup, self._directory, self._variables)
        self._workers.append(worker)
        self._selector.register(worker.channel, selectors.EVENT_READ, worker)
        return worker

    def _collect(self) -> list[tuple[int, Any, Outcome]]:
        """Wait for a moment; what has finished in it."""
        for worker in self._workers:
            worker.register(self._selector)
        for key, events in self._selector.select(_TICK_S):
            key.data.exchange(events)
        now = time.monotonic()
        step_s, self._looked_at = min(now - self._looked_at, _LONGEST_STEP_S), now
        finished: list[tuple[int, Any, Outcome]] = []
        busy = [(worker, worker.job) for worker in self._workers if worker.job is not None]
        for worker, job in busy:
            outcome = self._told(worker, job, step_s)
            if outcome is not None:
                finished.append((job.index, job.content, outcome))
        return finished

    def _told(self, worker: _Worker, job: _Job, step_s: float) -> Outcome | None:
        """What became of the job, also for those who follow its span."""
        try:
            outcome = self._outcome(worker, step_s)
        except HarnessFault as fault:
            job.span.end(error=str(fault))
            raise
        if outcome is not None:
            _end(job.span, outcome)
        return outcome

    def _outcome(self, worker: _Worker, step_s: float) -> Outcome | None:
        """What became of its job; `None` while it is at it."""
        alive = worker.is_alive()  # asked first: what it sent before it died is then complete
        if not alive:
            worker.exchange(selectors.EVENT_READ)
        answered = worker.take_result()
        if isinstance(answered, Done):
            worker.finish_job()
            return answered
        if answered is not None:
            return self._died(worker, answered.status)
        if not alive:
            return self._died(worker, worker.process.returncode)
        worker.watch.look(worker.board.read(), step_s, worker.process.pid)
        return self._overdue(worker)

    def _died(self, worker: _Worker, status: int) -> Interrupted:
        """The process that had the job has ended: the worker itself, or the child that it had forked for it."""
        state = worker.board.read()
        worker.watch.look(state, 0.0, worker.process.pid)  # what was seen in an earlier call is no news
        detail = _ending(status) + worker.watch.memory(self._memory_bytes)
        stacks = worker.stacks()
        called = worker.has_called(state)
        if worker.is_alive():
            worker.finish_job()
        else:
            self._discard(worker)
        if state.lost_channel and called:
            detail = "the store closed descriptors that it had not opened"
        elif not (state.in_call and called):
            raise _fault("died", detail, stacks)
        return Interrupted(state.unit, state.phase, "died", detail, stacks)

    def _overdue(self, worker: _Worker) -> Interrupted | None:
        state, watch = worker.watch.state, worker.watch
        in_call = state.in_call and worker.has_called(state)
        if not watch.is_overdue(self._time_limit_s if in_call else self._between_limit_s):
            return None
        used = watch.condition() + watch.memory(self._memory_bytes)
        detail = f"no return within {watch.age_s:.1f} s, {used}"
        stacks = worker.ask_for_stacks()
        self._discard(worker)
        if not in_call:
            raise _fault("is stuck", detail, stacks)
        return Interrupted(state.unit, state.phase, "hang", detail, stacks)

    def _give_up(self, worker: _Worker) -> None:
        if worker.job is not None:
            worker.job.span.end(error="given up")
        self._discard(worker)

    def _discard(self, worker: _Worker) -> None:
        if worker in self._workers:
            self._workers.remove(worker)
        worker.end(self._selector)


def run_once(setup: Setup, job: Any, time_limit_s: float) -> Outcome:
    """Do one job in a fresh interpreter. Raises as `Pool.run`."""
    with Pool(setup, 1, time_limit_s) as pool:
        [(_, _, outcome)] = pool.run([job])
    return outcome


def _end(span: Span, outcome: Outcome) -> None:
    if isinstance(outcome, Done):
        span.end({"harness.outcome": "done", **result_attributes(outcome.result)})
    else:
        span.end({"harness.outcome": outcome.how}, error=f"{outcome.phase}: {outcome.detail}")


def _fault(what: str, detail: str, stacks: str) -> HarnessFault:
    return HarnessFault(f"A worker {what} outside of any call into the store: {detail}.\n{stacks}".rstrip())


def _ending(status: int) -> str:
    """In words, how a process ended."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


# --- one worker, as its parent sees it ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Job:
    index: int
    content: Any
    count_before: int
    span: Span


@dataclass(frozen=True, slots=True)
class _Ended:
    """The child that had the job ended without an answer; `status` as in `Popen.returncode`."""

    status: int


class _Worker:
    def __init__(self, setup: bytes, directory: str, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._marker = containment.new_marker(directory)
        self._outgoing = bytearray()
        self._incoming = bytearray()
        self._at_end = False
        self.job: _Job | None = None
        self._resources = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            undo.push(self._resources)
            self._start()
            undo.pop_all()
        self.watch = _Watch(self.board.read())
        self._post(setup)

    def _start(self) -> None:
        self.channel, theirs = socket.socketpair()
        self._resources.enter_context(self.channel)
        self.channel.setblocking(False)
        board = _anonymous_file(BOARD_BYTES)
        self._stacks = _anonymous_file(0)
        self._resources.callback(os.close, self._stacks)
        try:
            self.board = Board(board)
            self._resources.callback(self.board.close)
            self.process = self._spawn(theirs.fileno(), board)
        finally:
            os.close(board)
            theirs.close()

    def _spawn(self, channel: int, board: int) -> subprocess.Popen[bytes]:
        descriptors = (channel, board, self._stacks)
        arguments = ", ".join(map(str, (*descriptors, os.getpid())))
        code = f"from harness.run.worker_main import main; main({arguments})"
        try:
            return subprocess.Popen(
                containment.fresh_interpreter(code),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stacks,  # until it is contained: an interpreter that cannot start says why
                pass_fds=descriptors,
                env={**containment.neutral_environment(self._marker), **self._variables},
                start_new_session=True,
            )
        except OSError as error:
            raise HarnessFault(f"A worker could not be started: {error}.") from error

    def start_job(self, index: int, content: Any, span: Span) -> None:
        state = self.board.read()
        self.job = _Job(index, content, state.count, span)
        self.watch = _Watch(state)
        self._post(span.traceparent.encode("ascii") + b"\n" + pickle.dumps(content))

    def finish_job(self) -> None:
        self.job = None
        os.ftruncate(self._stacks, 0)

    def has_called(self, state: BoardState) -> bool:
        """Whether its job has got as far as the store."""
        return self.job is not None and state.count > self.job.count_before

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def _post(self, message: bytes) -> None:
        self._outgoing += HEADER.pack(len(message)) + message
        self.exchange(selectors.EVENT_WRITE)

    def register(self, selector: selectors.BaseSelector) -> None:
        """Have the selector wait for what this worker waits for."""
        if self._at_end:  # it would be ready for ever
            with contextlib.suppress(KeyError):
                selector.unregister(self.channel)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)
        if selector.get_key(self.channel).events != events:
            selector.modify(self.channel, events, self)

    def exchange(self, events: int) -> None:
        """Send and receive as much as is possible without waiting."""
        try:
            while events & selectors.EVENT_WRITE and self._outgoing:
                del self._outgoing[: self.channel.send(self._outgoing)]
            while events & selectors.EVENT_READ and not self._at_end:
                received = self.channel.recv(_RECEIVE_BYTES)
                self._incoming += received
                self._at_end = not received
        except BlockingIOError:
            pass
        except OSError:  # the other side is closed: the worker is dying, or has lost its channel
            self._outgoing.clear()
            self._at_end = True

    def take_result(self) -> Done | _Ended | None:
        """The result of its job, or how the child ended that had it, if either has come.

        Raises `HarnessFault` if the task raised.
        """
        while (message := self._take_message()) is not None:
            try:
                kind, content = pickle.loads(message)
            except Exception as error:
                raise HarnessFault(f"The result of a task cannot be read here: {error!r}.") from error
            if kind == "fault":
                raise HarnessFault(f"A task failed in its worker:\n{content}")
            if kind == "done":
                return Done(content)
            if kind == "died":
                return _Ended(content)
        return None

    def _take_message(self) -> bytes | None:
        if len(self._incoming) < HEADER.size:
            return None
        end = HEADER.size + HEADER.unpack_from(self._incoming)[0]
        if len(self._incoming) < end:
            return None
        message = bytes(self._incoming[HEADER.size : end])
        del self._incoming[:end]
        return message

    def stacks(self) -> str:
        size = os.fstat(self._stacks).st_size
        return os.pread(self._stacks, size, 0).decode(errors="replace")

    def ask_for_stacks(self) -> str:
        """Have it write the stacks of its threads; waits a second at most."""
        os.ftruncate(self._stacks, 0)
        with contextlib.suppress(OSError):
            os.kill(_process_at_work(self.watch.state, self.process.pid), STACK_SIGNAL)
        deadline, before = time.monotonic() + _STACKS_LIMIT_S, ""
        while time.monotonic() < deadline:
            time.sleep(0.02)
            now = self.stacks()
            if now and now == before:
                return now
            before = now
        return before

    def dismiss(self) -> None:
        """Ask it to end; at once, if it is at work."""
        if self.job is not None:
            containment.kill_tree(self.process, self._marker)
        with contextlib.suppress(OSError):
            self.channel.shutdown(socket.SHUT_RDWR)

    def end(self, selector: selectors.BaseSelector) -> None:
        """Kill it with everything that it started, and let go of what we held for it."""
        with contextlib.suppress(KeyError):
            selector.unregister(self.channel)
        containment.kill_tree(self.process, self._marker)
        self._resources.close()


def _anonymous_file(size: int) -> int:
    """A file without a name, in memory where the system has that."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    # Both sides share the position; after a truncation the next write shall be the first.
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    return descriptor


# --- how long a call has lasted -------------------------------------------------------------


def _process_at_work(state: BoardState, worker: int) -> int:
    """The child that a worker forked for its job, or the worker. A store may have scribbled on the board."""
    try:
        return state.process if psutil.Process(state.process).ppid() == worker else worker
    except (psutil.Error, ValueError):
        return worker


class _Watch:
    """Adds up how long a worker has been in the same call, or outside of any."""

    def __init__(self, state: BoardState) -> None:
        self.state = state
        self.age_s = 0.0
        self._process: psutil.Process | None = None
        self._cpu_before_s = 0.0
        self._cpu_s = 0.0
        self._status = ""
        self._resident_bytes = 0

    def look(self, state: BoardState, step_s: float, worker: int) -> None:
        """Take note of what the worker does, `step_s` seconds after the last look."""
        if (state.count, state.process) != (self.state.count, self.state.process):
            self.age_s, self._process = 0.0, None
            self._status, self._resident_bytes = "", 0
        else:
            self.age_s += step_s
            with contextlib.suppress(psutil.Error):
                self._examine(state, worker)
        self.state = state

    def _examine(self, state: BoardState, worker: int) -> None:
        first = self._process is None
        process = self._process or psutil.Process(_process_at_work(state, worker))
        with process.oneshot():
            times = process.cpu_times()
            self._status = process.status()
            self._resident_bytes = process.memory_info().rss
        if first:
            self._cpu_before_s = times.user + times.system
        self._cpu_s = times.user + times.system - self._cpu_before_s
        self._process = process

    def is_overdue(self, limit_s: float) -> bool:
        """Whether its time is over. Who could run but gets no processor, or waits for a disk, has more."""
        starved = self._status in _STARVING and self._cpu_s < 0.9 * limit_s - _LONGEST_STEP_S
        return self.age_s >= limit_s * (_PATIENCE if starved else 1)

    def condition(self) -> str:
        return f"{self._status or 'not seen'}, {self._cpu_s:.1f} s of processor time"

    def memory(self, limit_bytes: int) -> str:
        """In words, the memory in use when last seen. Empty if it never was: a quick call."""
        if not self._resident_bytes:
            return ""
        limit = f", limit {limit_bytes >> 20} MiB" if limit_bytes else ""
        return f", {self._resident_bytes >> 20} MiB resident{limit}"
