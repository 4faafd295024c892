"""What the worker of an endurance run does: find out where the run stands, go on, and look at the store at the end.

The store is called from one thread; `enduring_callers` has several. Many clients are many sources of operations that
wait for their turn: while one of them is served, those that are due wait, and that counts. The harness itself works in
pauses of the clock of the run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from harness.core.errors import Unsupported
from harness.core.operations import describe, for_store, safe_repr
from harness.judge.ledger import Standing
from harness.measure.arrivals import Arrival, Schedule
from harness.measure.openloop import Clock, RealClock, RunClock, Sample, run_closed_loop, run_open_loop
from harness.measure.operations import Stream
from harness.measure.windows import NOTHING, Reading, Window
from harness.run.enduring_files import LeftOut, Place, Progress
from harness.run.enduring_lane import Lane
from harness.run.journal import Journal
from harness.run.loading import load_adapter
from harness.run.recovering import Board, text_of_error
from harness.run.worker_main import Setup

#: So many operations may fail before a run ends early: each is settled by a look at the whole store.
MOST_FAILURES = 10
#: A run ends early when its file system has less than this left.
LEAST_FREE_BYTES = 256 * 2**20
#: Bare syncs of a page in each pause between two windows.
_BARE_SYNCS = 4
_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class EndureJob:
    """Endure until `until_ns` of the time of the run. With `only_look` the store is opened and looked at, nothing
    else.
    """

    schedule: Schedule
    root: str
    fingerprint: str
    until_ns: int
    window_ns: int
    closed_loop: bool = False
    only_look: bool = False
    callers: int = 1


@dataclass(frozen=True, slots=True)
class Endured:
    """How far the run came. `wrong` tells what the store shows and should not, `stopped` why the run ended early."""

    operations: int
    elapsed_ns: int
    looks: int
    wrong: str = ""
    kind: str = ""
    stopped: str = ""
    first_error: str = ""


@dataclass(slots=True)
class Context:
    """What the worker keeps: the adapter class."""

    adapter: Any


def prepare(setup: Setup) -> Context:
    return Context(load_adapter(setup.adapter))


def endure(context: Context, job: EndureJob, board: Board) -> Endured:
    place = Place(Path(job.root))
    with Journal(place.journal, job.fingerprint) as journal, Progress(place.progress) as progress:
        return Endurance(context.adapter(), job, board, place, journal, progress).run()


@dataclass(frozen=True, slots=True)
class Failed:
    """An operation of a lane that raised: its number, and the error in words."""

    lane: Lane
    index: int
    operation: Any
    error: str


class _WrongState(Exception):
    """The store shows a state that it can't be in, or none at all. Arguments: the kind, and what was seen."""


class _Stop(Exception):
    """The run ends here, for a reason that is nobody's fault or can't be told."""


@dataclass(slots=True)
class Endurance:
    """One part of a run: from where it stands to its end, or to what ends it early. `time` is what it goes by."""

    adapter: Any
    job: EndureJob
    board: Board
    place: Place
    journal: Journal
    progress: Progress
    time: Clock = field(default_factory=RealClock)
    store: Any = None
    lanes: list[Lane] = field(default_factory=list)
    clock: RunClock = field(init=False)
    window: Window = field(init=False)
    windows: int = 0
    part: int = 0
    slice: tuple[int, int] = (0, 0)
    looks: int = 0
    first_error: str = ""
    failures: int = 0
    before: Reading = NOTHING
    _operation: Any = None
    _outcome: str = ""
    _cpu_ns: int = 0
    _paused_ns: int = 0

    def run(self) -> Endured:
        self.lanes = self.made_lanes()
        self._load()
        wrong, kind, stopped = "", "", ""
        try:
            self._resume()
            if not self.job.only_look:
                if self.progress.elapsed_ns < self.job.until_ns:
                    self._go_on()
                self._end()
        except _WrongState as error:
            kind, wrong = error.args
        except _Stop as error:
            stopped = str(error)
            self._close_in_order()
        progress = self.progress
        return Endured(progress.begun, progress.elapsed_ns, self.looks, wrong, kind, stopped, self.first_error)

    def made_lanes(self) -> list[Lane]:
        """The operations, by who calls."""
        stream = Stream(self.adapter, self.job.schedule.seed)
        return [Lane(self.adapter, stream, self.progress, LeftOut(self.place.left_out))]

    def shares(self, snapshot: Any) -> list[Any] | None:
        """What of a snapshot belongs to which lane; `None` where something belongs to none."""
        return [snapshot]

    # --- where the run stands ----------------------------------------------------------------

    def _load(self) -> None:
        entries = self.journal.load()
        windows = [name for name in entries if name.startswith("window/")]
        self.windows = len(windows)
        if windows:
            number, first = entries[max(windows)]["slice"]
            self.slice = (number, first)
        self.failures = len([name for name in entries if name.startswith("failed/")])
        self.part = len([name for name in entries if name.startswith("part/")])
        self.looks = len([name for name in entries if name.startswith("look/")])

    def _resume(self) -> None:
        """Open the store and see that it holds what it must."""
        if not self.job.only_look:
            self.journal.append(f"part/{self.part}", self.progress.elapsed_ns)
        self.before = self._reading()
        self._open()
        snapshot = self._snapshot()
        found = self._standing(snapshot)
        if found is None:
            raise self._wrong(snapshot)
        self._looked()
        for lane, stands in zip(self.lanes, found, strict=True):
            lane.ledger = stands.ledger
            if not self.job.only_look:
                lane.go_on_from(stands)

    def _looked(self) -> None:
        """The store was found to hold what it must."""
        if not self.job.only_look:
            self.journal.append(f"look/{self.looks}", self.progress.begun)
        self.looks += 1

    def _standing(self, snapshot: Any, owed: int | None = None) -> list[Standing] | None:
        """Which of the operations of each lane the store shows, if it shows all that it owes."""
        shares, closed = self.shares(snapshot), self.progress.closed
        if shares is None:
            return None
        lanes = zip(self.lanes, shares, strict=True)
        found = [lane.standing(share, closed=closed, owed=owed) for lane, share in lanes]
        known = [stands for stands in found if stands is not None]
        return known if len(known) == len(found) else None

    def _wrong(self, snapshot: Any) -> _WrongState:
        """The store shows what it must not: operations too few, or what no number of them leads to."""
        begun = self.progress.begun
        earlier = self._standing(snapshot, owed=0)
        killed = "" if self.progress.closed or not begun else " and a kill"
        after = f"after {begun:,} operations{killed} the store shows"
        if earlier is not None:
            kept = sum(stands.operations for stands in earlier)
            return _WrongState("lost_acknowledged", f"{after} the state after {kept:,} of them")
        return _WrongState("torn_operation", f"{after} {_short(snapshot)}, which no number of them leads to")

    # --- the run -----------------------------------------------------------------------------

    def _go_on(self) -> None:
        self.progress.at(self.progress.elapsed_ns, closed=False)
        self.clock = RunClock(self.time, self.progress.elapsed_ns)
        self.window = Window(self.clock.now_ns(), part=self.part)
        self._cpu_ns = self.clock.cpu_ns()
        loop = run_closed_loop if self.job.closed_loop else run_open_loop
        loop(self._arrivals(), self._perform, self.clock, self._note, self.job.until_ns)
        if not self.job.closed_loop:
            self.clock.sleep_until_ns(self.job.until_ns)
        self._end_window()

    def _arrivals(self) -> Iterator[Arrival]:
        """What is still to come, each when its operation has been made."""
        number, first = self.slice
        while True:
            with self.clock.paused():
                arrivals = self.job.schedule.slice(number)
            for index, arrival in enumerate(arrivals, first):
                if index >= self.progress.begun:
                    if self.clock.now_ns() < self.job.until_ns:  # else it will not be started
                        self._make_ready(index)
                    yield arrival
            self.slice = number, first = number + 1, first + len(arrivals)

    def _make_ready(self, index: int) -> None:
        stream = self.lanes[0].stream
        if not stream.holds(index):
            with self.clock.paused():
                stream.at(index)

    def _perform(self, arrival: Arrival) -> None:
        index = self.progress.begun
        self._operation = self.lanes[0].stream.at(index)
        self._outcome = "done"
        self.progress.begin(index)
        self.board.enter(0, "apply")
        try:
            self.adapter.apply(self.store, for_store(self._operation))
        except Unsupported:
            self._outcome = "unsupported"
        except Exception as error:
            self._outcome = text_of_error(error) or type(error).__name__
        finally:
            self.board.leave()

    def _note(self, sample: Sample) -> None:
        self.window.note(sample, open_loop=not self.job.closed_loop)
        if sample.started:
            self.window.store_cpu_ns += sample.store_cpu_ns
            self._account(self.progress.begun - 1)
            self.progress.end(self.progress.begun - 1, sample.ended_ns)
        now_ns = self.clock.now_ns()
        last = self.job.until_ns - now_ns < self.job.window_ns // 2
        if now_ns - self.window.from_ns >= self.job.window_ns and not last:  # what is left then joins this one
            self._end_window()

    def _account(self, index: int) -> None:
        lane = self.lanes[0]
        if self._outcome == "done":
            lane.ledger.happened(self._operation)
        elif self._outcome == "unsupported":
            self.window.unsupported += 1
            lane.left_out.add(index)
        else:
            with self.clock.paused():
                self._settle(index)

    def _settle(self, index: int) -> None:
        """An operation has failed: open the store again, and see whether it has happened."""
        self.settle([Failed(self.lanes[0], index, self._operation, self._outcome)])

    def settle(self, failed: Sequence[Failed]) -> None:
        """Operations have failed, one of a lane at most: open the store again, and see which of them have happened."""
        told = [f"{describe(item.operation)} raised {item.error}" for item in failed]
        for item, text in zip(failed, told, strict=True):
            self.window.failed += 1
            self.failures += 1
            self.first_error = self.first_error or text
            self.journal.append(f"failed/{self.failures:03}", text)
            item.lane.ledger.in_doubt(item.operation)
        self._close_quietly()
        self._open()
        snapshot = self._snapshot()
        happened = self._settled(snapshot)
        if happened is None:
            kind, seen = self._wrong(snapshot).args
            raise _WrongState(kind, f"{told[0]}; {seen}")
        self._looked()
        for item in failed:
            if happened[self.lanes.index(item.lane)] == 0:
                item.lane.left_out.add(item.index)
            item.lane.progress.end(item.index, self.clock.now_ns())
        if self.failures >= MOST_FAILURES:
            self.progress.at(self.clock.now_ns(), closed=False)
            raise _Stop(f"{self.failures} operations failed, the first time as {self.first_error}")

    def _settled(self, snapshot: Any) -> list[int] | None:
        """For each lane which of the states that it may be in the store shows; `None` if it shows none of one."""
        shares = self.shares(snapshot)
        if shares is None:
            return None
        found = [lane.ledger.settle(share) for lane, share in zip(self.lanes, shares, strict=True)]
        known = [number for number in found if number is not None]
        return known if len(known) == len(found) else None

    # --- the end of a window -------------------------------------------------------------------

    def _end_window(self) -> None:
        now_ns, cpu_ns = self.clock.now_ns(), self.clock.cpu_ns()
        window = self.window
        with self.clock.paused():
            window.to_ns, window.done = now_ns, self.progress.begun
            window.lasted_ns = now_ns - window.from_ns
            window.generator_cpu_ns = max(self.used_ns(cpu_ns) - window.store_cpu_ns, 0)
            window.paused_ns, self._paused_ns = self.clock.paused_ns - self._paused_ns, self.clock.paused_ns
            window.reading = self._held()
            for took_ns in _bare_syncs(self.place.floor, self.time):
                window.bare.record(took_ns)
            self._write(window)
            if shutil.disk_usage(self.place.root).free < LEAST_FREE_BYTES:
                self.progress.at(now_ns, closed=False)
                raise _Stop(f"the file system has less than {LEAST_FREE_BYTES >> 20} MiB left")
            window.begin(now_ns)
        self._cpu_ns = self.clock.cpu_ns()

    def used_ns(self, cpu_ns: int) -> int:
        """Processor time of all threads that called the store in this window; `cpu_ns` is that of this one."""
        return cpu_ns - self._cpu_ns

    def _write(self, window: Window) -> None:
        self.journal.append(f"window/{self.windows:09}", {**window.to_json(), "slice": self.slice})
        self.windows += 1

    def _held(self) -> Reading:
        reading = self._reading()
        descriptors = max(reading.descriptors - self.before.descriptors, 0)
        return Reading(reading.resident_bytes, descriptors, reading.disk_bytes)

    def _reading(self) -> Reading:
        process = psutil.Process()
        return Reading(process.memory_info().rss, process.num_fds(), _allocated_bytes(self.place.store))

    # --- the store -----------------------------------------------------------------------------

    def _end(self) -> None:
        """Close the store, open it again, and see that it holds what it must."""
        self._close_in_order()
        self._open()
        snapshot = self._snapshot()
        if self._settled(snapshot) is None:
            raise self._wrong(snapshot)
        self._looked()
        self._close_in_order()

    def _close_in_order(self) -> None:
        if self.store is None:
            return
        self._call("close", lambda: self.adapter.close(self.store))
        self.store = None
        now_ns = self.clock.now_ns() if hasattr(self, "clock") else self.progress.elapsed_ns
        self.progress.at(min(now_ns, self.job.until_ns), closed=True)

    def _close_quietly(self) -> None:
        with contextlib.suppress(_WrongState):
            self._call("close", lambda: self.adapter.close(self.store))

    def _open(self) -> None:
        self.store = self._call("open", lambda: self.adapter.open(self.place.store))

    def _snapshot(self) -> Any:
        return self._call("snapshot", lambda: self.adapter.snapshot(self.store))

    def _call(self, phase: str, call: Callable[[], Any]) -> Any:
        """A call into the store; that it raises without any fault is what the store shows."""
        self.board.enter(0, phase)
        try:
            return call()
        except Exception as error:
            told = f"after {self.progress.begun:,} operations {phase} raised {text_of_error(error)}"
            raise _WrongState("cannot_open", told) from error
        finally:
            self.board.leave()


def _short(value: Any) -> str:
    text = safe_repr(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text):,} characters)"


def _allocated_bytes(directory: Path) -> int:
    """What all files below take on the disk; a file that goes away meanwhile counts for nothing."""
    found = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                found += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return found


def _bare_syncs(path: Path, clock: Clock) -> Iterator[int]:
    """What overwriting a page and syncing it takes on this disk now, in nanoseconds: the floor under every latency."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(descriptor).st_size < _PAGE_BYTES:
            os.pwrite(descriptor, bytes(_PAGE_BYTES), 0)
            os.fsync(descriptor)
        for number in range(_BARE_SYNCS):
            began_ns = clock.now_ns()
            os.pwrite(descriptor, bytes([number]) * _PAGE_BYTES, 0)
            os.fdatasync(descriptor)
            yield clock.now_ns() - began_ns
    finally:
        os.close(descriptor)
