"""Counts what a workload costs a store, in a worker where nothing else runs.

With the calls of the store gated: system calls and bytes. In a process where nothing at all is patched: calls of Python
functions (`sys.setprofile`; frames of the harness and of the import system are left out, calls of functions written in
C do not count), and the blocks of memory that the open store holds after the workload (`sys.getallocatedblocks`).
There, the workload ran once before, so that what is done once in a process is no part of it.
"""

from __future__ import annotations

import _thread
import contextlib
import dataclasses
import gc
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from harness.core.costs import BLOCKS, PYTHON_CALLS, READ, WRITTEN
from harness.core.errors import Unsupported, UsageError
from harness.core.operations import for_store
from harness.core.workload import Reopen, Workload
from harness.record import get_ready, install, kernel
from harness.record.callsite import HARNESS, is_of_the_store
from harness.run.loading import load_adapter
from harness.run.recording import empty
from harness.run.recovering import Board, Step
from harness.run.worker_main import Setup

OPEN, SNAPSHOT, CLOSE, EVERYTHING = "open", "snapshot", "close", "everything"
#: Audit events that tell of a process. None tells of threads in every version of Python: those are noticed by name.
_PROCESSES = ("os.fork", "os.forkpty", "os.posix_spawn", "subprocess.Popen")
_STARTERS = (
    *((_thread, name) for name in ("start_new_thread", "start_new", "start_joinable_thread")),
    *((threading, name) for name in ("_start_new_thread", "_start_joinable_thread")),
)


@dataclass(frozen=True, slots=True)
class CostJob:
    """Run `workload` and count; `gated` says what."""

    workload: Workload
    gated: bool


@dataclass(frozen=True, slots=True)
class Counted:
    """What one run cost, by operation and unit; `others` are what the store started besides: threads, processes.

    `ended` is false where the workload could not be run to its end; then the counts mean nothing.
    """

    operations: dict[str, int]
    amounts: dict[tuple[str, str], int]
    others: tuple[str, ...] = ()
    ended: bool = True


@dataclass(slots=True)
class Context:
    """What a worker keeps: the adapter, and a directory for its store."""

    adapter: Any
    directory: Path


def prepare(setup: Setup) -> Context:
    if setup.extra["gated"]:
        install(reading=True)
    try:
        adapter = load_adapter(setup.adapter)
    except UsageError:  # though the parent could
        adapter = None
    if setup.extra["gated"]:
        get_ready()
    directory = Path(setup.directory)
    if setup.extra.get("separate"):  # without a mount of its own
        directory = directory / str(os.getpid())
    directory.mkdir(parents=True, exist_ok=True)
    _watch_for_others()
    return Context(adapter, directory)


def count(context: Context, job: CostJob, board: Board) -> Counted:
    _others.clear()
    run = _Run(context.adapter, context.directory, board, job.workload)
    try:
        counted = _gated(run) if job.gated else _plain(run)
    except (Exception, SystemExit):  # of a store that does not open again, read or close: other scenarios tell
        return Counted({}, {}, ended=False)
    return dataclasses.replace(counted, others=tuple(sorted(_others)))


_others: set[str] = set()


def _watch_for_others() -> None:
    """None of this is taken back: the process ends with its job."""
    sys.addaudithook(_heard)
    for module, name in _STARTERS:
        if hasattr(module, name):
            setattr(module, name, _noticing(getattr(module, name)))


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _PROCESSES:
        _others.add("processes")


def _noticing(start: Callable[..., Any]) -> Callable[..., Any]:
    def noticed(*arguments: Any, **keywords: Any) -> Any:
        _others.add("threads")
        return start(*arguments, **keywords)

    return noticed


class _Run:
    """One run of the workload. `kind` is the operation in progress, empty between two."""

    def __init__(self, adapter: Any, directory: Path, board: Board, workload: Workload) -> None:
        self._adapter_class = adapter
        self._directory = directory
        self._board = board
        self._workload = workload
        self.kind = ""
        self.operations: Counter[str] = Counter()

    def run(self, before: Callable[[], None] = lambda: None, at_the_end: Callable[[], None] = lambda: None) -> None:
        """All of it, in an empty directory; `before` is called first, `at_the_end` before the store is closed."""
        empty(self._directory)
        self.operations.clear()
        before()
        self._open()
        for step in self._workload.steps:
            if isinstance(step, Reopen):
                self._close()
                self._open()
            else:
                self._apply(step)
        at_the_end()
        self._during(SNAPSHOT, Step.SNAPSHOT, self._adapter.snapshot, self._store)
        self._close()

    def _open(self) -> None:
        self._adapter = self._during(OPEN, Step.OPEN, self._adapter_class)
        self.operations[OPEN] -= 1  # making the adapter and opening the store are one opening
        self._store = self._during(OPEN, Step.OPEN, self._adapter.open, self._directory)

    def _close(self) -> None:
        self._during(CLOSE, Step.CLOSE, self._adapter.close, self._store)
        self._store = self._adapter = None

    def _apply(self, step: Any) -> None:
        """What a store refuses costs something as well, but for what it can't take."""
        name = type(step).__name__
        try:
            self._during(name, Step.OPERATION, self._adapter.apply, self._store, for_store(step))
        except Unsupported:
            self.operations[name] -= 1
        except Exception:
            return

    def _during(self, kind: str, step: Step, function: Callable[..., Any], *arguments: Any) -> Any:
        """A call into the store, which goes to the account of `kind`."""
        self.operations[kind] += 1
        self._board.enter(0, step)
        self.kind = kind
        try:
            return function(*arguments)
        finally:
            self.kind = ""
            self._board.leave()


def _gated(run: _Run) -> Counted:
    amounts: Counter[tuple[str, str]] = Counter()

    def gate(call: kernel.Call, make: Callable[..., Any]) -> Any:
        if not run.kind or not is_of_the_store(2):
            return make()
        amounts[run.kind, f"{call.group} calls"] += 1
        result = make()
        if call.group in (kernel.READ, kernel.WRITE):
            amounts[run.kind, READ if call.group == kernel.READ else WRITTEN] += _size(result)
        return result

    with kernel.engage(gate):
        run.run()
    return Counted(_positive(run.operations), dict(amounts))


def _positive(operations: Counter[str]) -> dict[str, int]:
    return {name: number for name, number in operations.items() if number > 0}


def _size(result: Any) -> int:
    """How many bytes a call says that it read or wrote."""
    if isinstance(result, int):
        return result
    return len(result) if isinstance(result, bytes | bytearray) else 0


@dataclass(slots=True)
class _Profile:
    """Counts calls of Python functions that are not the harness's own."""

    run: _Run
    counts: Counter[str] = field(default_factory=Counter)
    ours: dict[str, bool] = field(default_factory=dict)

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and self.run.kind:
            file = frame.f_code.co_filename
            ours = self.ours.get(file)
            if ours is None:
                ours = self.ours[file] = file.startswith((HARNESS, "<frozen importlib"))
            if not ours:
                self.counts[self.run.kind] += 1


def _plain(run: _Run) -> Counted:
    """Once to warm up, once for the memory, once for the calls; nothing is collected in between."""
    run.run()
    blocks: list[int] = []
    profile = _Profile(run)
    gc.collect()
    gc.disable()
    try:
        run.run(lambda: blocks.append(_blocks()), lambda: blocks.append(_blocks()))
        with _profiled(profile):
            run.run()
    finally:
        gc.enable()
    amounts = {(kind, PYTHON_CALLS): number for kind, number in profile.counts.items()}
    return Counted(_positive(run.operations), {**amounts, (EVERYTHING, BLOCKS): max(0, blocks[1] - blocks[0])})


def _blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


@contextlib.contextmanager
def _profiled(profile: _Profile) -> Iterator[None]:
    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)
