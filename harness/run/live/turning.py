"""Clocks that are turned in a program: those of one process that holds a store.

Nothing is changed before the first turn. From there on the calls into the store go by a clock of their own, which
begins with the real time; so do the times of the files that they write.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.program import TurnClock
from harness.core.trace import CallSite
from harness.inject.clocks import ZONE, Clock, ClockFault, ClockMoment, ClockShape, ClockState
from harness.record import kernel
from harness.run.live import real_clocks, timepiece
from harness.run.live.timepiece import FileTimes, sites_of

_SHAPES = {
    "set": ClockShape.STEP,
    "stop": ClockShape.STANDS,
    "summer ends": ClockShape.SUMMER_ENDS,
    "summer begins": ClockShape.SUMMER_BEGINS,
}


@dataclass(frozen=True, slots=True)
class Turned:
    """Clocks for another process to go on with; `reader` is the last line that read them."""

    state: ClockState
    zone: str
    reader: CallSite | None


class TurnedClocks:
    """What the store in this process reads instead of the real clocks, once they were turned."""

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        self._clock: Clock | None = None
        self._files: FileTimes | None = None
        self._zone = ""
        self._reader: CallSite | None = None

    def turn(self, turn: TurnClock) -> None:
        """It happens now."""
        clock = self._clock or self._go_by(Clock.going_on(real_clocks.monotonic_ns, real_clocks.time_ns()))
        if turn.turn == "right":
            clock.put_right()
            return
        self._reader = None
        shape = _SHAPES[turn.turn]
        if shape in (ClockShape.SUMMER_ENDS, ClockShape.SUMMER_BEGINS):
            self._zone = ZONE
            clock.pass_change(shape)
            return
        clock.apply(ClockFault(shape, turn.seconds, ClockMoment.BETWEEN, 0))

    def resume(self, turned: Turned) -> None:
        """Go on with the clocks of a process that is gone."""
        self._zone, self._reader = turned.zone, turned.reader
        self._go_by(Clock.resumed(real_clocks.monotonic_ns, turned.state))

    def turned(self) -> Turned | None:
        """For `resume`; `None` as long as nothing was turned."""
        return None if self._clock is None else Turned(self._clock.state(), self._zone, self._reader)

    def _go_by(self, clock: Clock) -> Clock:
        timepiece.install()
        self._clock, self._files = clock, FileTimes(clock, self._directory)
        return clock

    @contextlib.contextmanager
    def calling(self) -> Iterator[None]:
        """A call into the store."""
        if self._clock is None or self._files is None:
            yield
            return
        self._clock.begin_call()
        self._clock.readers.clear()
        self._files.looked.clear()
        try:
            with timepiece.engaged(self._clock, self._zone), kernel.engage(self._files):
                yield
        finally:
            self._reader = _last(self._clock.readers) or self._reader

    @property
    def overdue(self) -> bool:
        """Whether a call has waited for longer than anybody would."""
        return self._clock is not None and self._clock.overdue

    def reader(self) -> CallSite | None:
        """The last line that read a clock since it was turned; if none did, that read the times of a file just now."""
        if self._reader is not None or self._files is None:
            return self._reader
        return _last(self._files.looked)


def _last(readers: list[Any]) -> CallSite | None:
    """The last line of the store among them."""
    return next(reversed(sites_of(readers).values()), None)
