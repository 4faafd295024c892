"""The wall clock of a machine on which several processes work: who sets it sets it for all of them, while they run.

How far it is off stands in memory that they share. Nothing else is changed: the monotonic clock goes on, and who
sleeps sleeps.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

from harness.core.trace import CallSite
from harness.inject.clocks import NANOSECONDS
from harness.record.callsite import CallSites
from harness.run.live import real_clocks
from harness.run.live.timepiece import FileTimes

#: What asks for the time, in words.
READING, STATUS = "reading the clock", "stat"
_OFF, _APPLIED = 0, 1


class MachineClock:
    """Shared by this process and all that are forked from it.

    `tell` hears of each line that asked for the time since the clock was set, and how it asked. With `sees` only the
    lines for which it is true are shown the clock as it was set; the others read the right time.
    """

    def __init__(self) -> None:
        self._words = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")
        self._sites = CallSites()
        self.tell: Callable[[CallSite, str], None] = lambda site, how: None
        self.sees: Callable[[CallSite | None], bool] | None = None

    def begin(self) -> None:
        """A trial begins: nobody has set it."""
        self._words[_OFF] = self._words[_APPLIED] = 0

    def set_by(self, seconds: float) -> None:
        """It shows so many seconds more from now on."""
        self._words[_OFF] = int(seconds * NANOSECONDS)
        self._words[_APPLIED] = 1

    @property
    def applied(self) -> bool:
        return bool(self._words[_APPLIED])

    def wall_ns(self, reader: Any = None) -> int:
        """Nanoseconds since 1970; `reader` is who asks."""
        if not self.applied:
            return self.shown_ns()
        site = self.asked(reader, READING)
        if self.sees is None or self.sees(site):
            return self.shown_ns()
        now_ns: int = real_clocks.time_ns()
        return now_ns

    def shown_ns(self) -> int:
        """The same, read by nobody in particular."""
        return int(real_clocks.time_ns()) + self._words[_OFF]

    def monotonic_ns(self, real_ns: int) -> int:
        """What a monotonic clock shows that really shows `real_ns`."""
        return real_ns

    def wait(self, seconds: float, waiter: Any = None) -> None:
        """Time really passes: the others are at work meanwhile."""
        real_clocks.sleep(seconds)

    def asked(self, reader: Any, how: str) -> CallSite | None:
        """Tell of a `reader`; its line."""
        site = None if reader is None else self._sites.resolve(*reader)
        if site is not None:
            self.tell(site, how)
        return site


class ToldTimes(FileTimes):
    """Dates files by a clock of the machine, and tells it who looked at the times of files since it was set."""

    def __init__(self, clock: MachineClock, directory: str) -> None:
        super().__init__(clock, directory)
        self._machine = clock

    def __call__(self, call: Any, make: Callable[..., Any]) -> Any:
        try:
            return super().__call__(call, make)
        finally:
            while self.looked:
                self._machine.asked(self.looked.pop(), STATUS)
