"""What the worker of an endurance run does with several callers: as many threads that share one handle of the store.

Arrivals go to the callers in turn, so each has a queue of its own: an operation waits for those of its caller, not for
a free one. Each caller has a lane (`harness.measure.lanes`) with its own count of what has begun and ended; so a kill
leaves at most one operation of each in doubt. At the end of a window, and after a failure, all callers come to rest
before the harness looks at anything; what is due meanwhile waits, and that counts.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.errors import Unsupported
from harness.core.operations import for_store
from harness.measure.arrivals import Arrival
from harness.measure.lanes import shares
from harness.measure.openloop import RunClock, Sample, performed
from harness.measure.operations import Stream
from harness.measure.windows import Window
from harness.run.enduring_child import Context, Endurance, Endured, EndureJob, Failed, prepare
from harness.run.enduring_files import LeftOut, Place, Progress
from harness.run.enduring_lane import Lane
from harness.run.journal import Journal
from harness.run.recovering import Board, text_of_error

__all__ = ["endure", "prepare"]


def endure(context: Context, job: EndureJob, board: Board) -> Endured:
    place = Place(Path(job.root))
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(Journal(place.journal, job.fingerprint))
        progress = stack.enter_context(Progress(place.progress))
        counts = [stack.enter_context(Progress(place.of_caller(number).progress)) for number in range(job.callers)]
        return SharedEndurance(context.adapter(), job, board, place, journal, progress, counts=counts).run()


@dataclass(slots=True)
class Caller:
    """One thread: what it calls, and what is due next. `slice` is that of the schedule which this is in."""

    number: int
    lane: Lane
    arrivals: Iterator[Arrival] = field(init=False)
    due: Arrival | None = None
    slice: tuple[int, int] = (0, 0)
    operation: Any = None
    outcome: str = ""

    def next_due(self) -> Arrival:
        """What is due next, which stays so until it was `taken`."""
        if self.due is None:
            self.due = next(self.arrivals)
        return self.due

    def taken(self) -> None:
        self.due = None


class OneAtATime:
    """Puts the calls of several threads on a board that shows one: the oldest. What hangs is that in the end."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._lock = threading.Lock()
        self._inside: dict[int, None] = {}

    def enter(self, caller: int) -> None:
        with self._lock:
            self._inside[caller] = None
            if len(self._inside) == 1:
                self._board.enter(0, "apply")

    def leave(self, caller: int) -> None:
        with self._lock:
            was_oldest = next(iter(self._inside)) == caller
            del self._inside[caller]
            if was_oldest:
                self._board.leave()
                if self._inside:
                    self._board.enter(0, "apply")


@dataclass(slots=True)
class SharedEndurance(Endurance):
    """One part of a run with several callers; `counts` is how far each has come."""

    counts: list[Progress] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _failed: list[Failed] = field(default_factory=list)
    _broken: list[BaseException] = field(default_factory=list)
    _halted: bool = False
    _callers_cpu_ns: int = 0
    _calls: OneAtATime = field(init=False)

    def __post_init__(self) -> None:
        self._calls = OneAtATime(self.board)

    # --- lanes -----------------------------------------------------------------------------------

    def made_lanes(self) -> list[Lane]:
        seed, made = self.job.schedule.seed, self.adapter
        lanes = [
            Lane(made, Stream(made, seed, number), count, LeftOut(self.place.of_caller(number).left_out))
            for number, count in enumerate(self.counts)
        ]
        self.callers = [Caller(number, lane) for number, lane in enumerate(lanes)]
        self._count()
        return lanes

    def shares(self, snapshot: Any) -> list[Any] | None:
        return shares(snapshot, len(self.lanes))

    def _count(self) -> None:
        """Let the progress of the run tell how many operations all callers have begun."""
        begun = sum(count.begun for count in self.counts)
        if begun:
            self.progress.begin(begun - 1)

    # --- the run ---------------------------------------------------------------------------------

    def _go_on(self) -> None:
        job = self.job
        self.progress.at(self.progress.elapsed_ns, closed=False)
        self.clock = RunClock(self.time, self.progress.elapsed_ns)
        self.window = Window(self.clock.now_ns(), part=self.part)
        for caller in self.callers:
            caller.arrivals = self._arrivals_of(caller)
        while self.clock.now_ns() < job.until_ns:
            end_ns = self.window.from_ns + job.window_ns
            end_ns = job.until_ns if job.until_ns - end_ns < job.window_ns // 2 else end_ns
            self._round(end_ns)
            if self.clock.now_ns() >= end_ns:
                self._rest(last=end_ns >= job.until_ns)

    def _rest(self, *, last: bool) -> None:
        """A window has ended, and all callers are at rest."""
        if last and not self.job.closed_loop:
            for caller in self.callers:
                self._note_unstarted(caller)
        self._count()
        self.slice = min(caller.slice for caller in self.callers)
        self._end_window()
        self._callers_cpu_ns = 0

    def _note_unstarted(self, caller: Caller) -> None:
        until_ns = self.job.until_ns
        while (due := caller.next_due()).at_ns < until_ns:
            self.window.note(Sample(due.at_ns, until_ns, until_ns, until_ns, started=False), open_loop=True)
            caller.taken()

    def _round(self, end_ns: int) -> None:
        """All callers do what is due before `end_ns`, and come to rest. What has failed is settled then."""
        self._halted = False
        threads = [threading.Thread(target=self._turn, args=(caller, end_ns)) for caller in self.callers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._broken:
            raise self._broken[0]
        if self._failed:
            failed, self._failed = self._failed, []
            self._count()
            with self.clock.paused():
                self.settle(sorted(failed, key=lambda item: self.lanes.index(item.lane)))
        elif not self.job.closed_loop:
            self.clock.sleep_until_ns(end_ns)

    def used_ns(self, cpu_ns: int) -> int:
        return self._callers_cpu_ns

    # --- in the thread of a caller ---------------------------------------------------------------

    def _turn(self, caller: Caller, end_ns: int) -> None:
        began_ns = self.time.cpu_ns()
        try:
            self._serve(caller, end_ns)
        except BaseException as error:
            self._broken.append(error)
            self._halted = True
        with self._guard:
            self._callers_cpu_ns += self.time.cpu_ns() - began_ns

    def _serve(self, caller: Caller, end_ns: int) -> None:
        free_ns = self.clock.now_ns()
        while not self._halted:
            due = caller.next_due()
            if not self.job.closed_loop:
                if due.at_ns >= end_ns:
                    return
                if self.clock.now_ns() < due.at_ns:
                    self.clock.sleep_until_ns(due.at_ns)
            if self.clock.now_ns() >= end_ns:
                return
            caller.operation = caller.lane.stream.at(caller.lane.progress.begun)
            caller.taken()
            intended_ns = None if self.job.closed_loop else due.at_ns
            sample = performed(due, intended_ns, free_ns, lambda _: self._call_for(caller), self.clock)
            free_ns = sample.ended_ns
            with self._guard:
                self._account_for(caller, sample)

    def _call_for(self, caller: Caller) -> None:
        caller.outcome = "done"
        caller.lane.progress.begin(caller.lane.progress.begun)
        self._calls.enter(caller.number)
        try:
            self.adapter.apply(self.store, for_store(caller.operation))
        except Unsupported:
            caller.outcome = "unsupported"
        except Exception as error:
            caller.outcome = text_of_error(error) or type(error).__name__
        finally:
            self._calls.leave(caller.number)

    def _account_for(self, caller: Caller, sample: Sample) -> None:
        """Of one caller at a time."""
        lane, index = caller.lane, caller.lane.progress.begun - 1
        self.window.note(sample, open_loop=not self.job.closed_loop)
        self.window.store_cpu_ns += sample.store_cpu_ns
        if caller.outcome not in ("done", "unsupported"):
            self._failed.append(Failed(lane, index, caller.operation, caller.outcome))
            self._halted = True
            return
        if caller.outcome == "done":
            lane.ledger.happened(caller.operation)
        else:
            self.window.unsupported += 1
            lane.left_out.add(index)
        lane.progress.end(index, sample.ended_ns)
        self.progress.at(max(sample.ended_ns, self.progress.elapsed_ns), closed=False)

    # --- what comes ------------------------------------------------------------------------------

    def _arrivals_of(self, caller: Caller) -> Iterator[Arrival]:
        """What is still to come for a caller: every arrival of the schedule in its turn, from where the run stands."""
        number, first = self.slice
        passed = caller.lane.progress.begun
        while True:
            caller.slice = number, first
            arrivals = self.job.schedule.slice(number)
            for index, arrival in enumerate(arrivals, first):
                if index % len(self.counts) == caller.number and index // len(self.counts) >= passed:
                    yield arrival
            number, first = number + 1, first + len(arrivals)
