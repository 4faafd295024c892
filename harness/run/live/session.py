"""One trial under a clock of its own: the clock, the gate that dates files by it, and the client that goes by it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.inject.clocks import Clock, ClockFault, ClockMoment
from harness.record import kernel
from harness.run.live import real_clocks, timepiece
from harness.run.live.bench import Bench, Client
from harness.run.live.timepiece import FileTimes
from harness.run.recovering import Board


@dataclass(slots=True)
class ClockBoard:
    """A board that also tells the clock when a call begins."""

    board: Board
    clock: Clock

    def enter(self, unit: int, phase: str) -> None:
        self.clock.begin_call()
        self.board.enter(unit, phase)

    def leave(self) -> None:
        self.board.leave()

    def adopt(self) -> None:
        self.board.adopt()


@dataclass(slots=True)
class Session:
    """One trial: its clock, the gate that dates files, and a client that goes by that clock."""

    clock: Clock
    files: FileTimes
    bench: Bench
    client: Client
    calls: int = 0

    @classmethod
    def begin(cls, bench: Bench, fault: ClockFault | None, sees: Callable[[Any], bool] | None = None) -> Session:
        clock = Clock(real_clocks.monotonic_ns, sees=sees)
        if fault is not None:
            clock = Clock(real_clocks.monotonic_ns, fault.start_s, sees)
        files = FileTimes(clock, str(bench.directory))
        if fault is not None and fault.moment is ClockMoment.INSIDE:
            files = FileTimes(clock, str(bench.directory), fault.index, lambda: clock.apply(fault))
        bench = dataclasses.replace(bench, board=ClockBoard(bench.board, clock))
        return cls(clock, files, bench, Client(bench))

    @contextlib.contextmanager
    def running(self, fault: ClockFault | None) -> Iterator[None]:
        with timepiece.engaged(self.clock, "" if fault is None else fault.zone), kernel.engage(self.files):
            yield
