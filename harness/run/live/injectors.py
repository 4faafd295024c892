"""The faults that a schedule can name, carried out by gates in the process that runs the store.

Every injector stands between the store and the operating system only while it is started, so that all that it does
ends with its process at the latest. A full disk is counted in bytes by such a gate: nothing is really full. The wall
clock is that of the process (`timepiece`), not the machine's. Damage at rest is done while no such process runs
(`resting`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harness.inject import kills
from harness.inject.clocks import NANOSECONDS, Clock, ClockFault, ClockMoment, ClockShape
from harness.inject.nemesis import FAULTS, Injector, Schedule
from harness.inject.nemesis import Strike as Planned
from harness.record import kernel
from harness.record import originals as real
from harness.record.kernel import Call
from harness.run.live import real_clocks
from harness.run.live.forks import Voice, Word
from harness.run.live.gates import (
    Narrator,
    Strike,
    concerns,
    creates_or_empties,
    kill_this_process,
    position_of,
    site_here,
    stop_this_process,
)
from harness.run.live.timepiece import READINGS

_NUMBERS = {"eio": errno.EIO, "fsync-eio": errno.EIO, "enospc": errno.ENOSPC, "emfile": errno.EMFILE}
_GROUPS = {
    "eio": (kernel.READ, kernel.WRITE, kernel.SYNC),
    "fsync-eio": (kernel.SYNC,),
    "enospc": (kernel.WRITE, kernel.SIZE),
    "emfile": (kernel.OPEN, kernel.LIST),
}
_REMOVING = ("unlink", "remove", "rmdir")


class CallInjector:
    """An injector that is a gate: it does something to calls about one directory, or to the process at such a call.

    `within` is the real path of that directory. To look it up here would be a call that the store has not made.
    """

    def __init__(self, name: str, within: str, voice: Voice) -> None:
        self.name = name
        self.fired = 0
        self._within = within
        self._voice = voice
        self._engaged = contextlib.ExitStack()

    def start(self) -> None:
        self._engaged.enter_context(kernel.engage(self))

    def stop(self) -> None:
        self._engaged.close()

    def describe(self) -> str:
        return FAULTS[self.name].does

    def __call__(self, call: Call, make: Callable[..., Any]) -> Any:
        return self.at(call, make) if concerns(self._within, call) else make()

    def at(self, call: Call, make: Callable[..., Any]) -> Any:
        """What becomes of a call while this is started."""
        return make()

    def _strike(self, call: Call) -> None:
        """Say so first: the process may be gone right after."""
        self.fired += 1
        strike = Strike(call.name.removeprefix("file_"), site_here(), self.name)
        self._voice.say(Word.STRUCK, self.fired, pickle.dumps(strike))


class Killing(CallInjector):
    """Kills the process before a call; or inside the next write that reaches over the end of a page of its file."""

    die: Callable[[], None] = staticmethod(kill_this_process)

    def at(self, call: Call, make: Callable[..., Any]) -> Any:
        if self.name == "kill-in-write":
            cuts = kills.cuts(position_of(call), call.size_bytes) if call.group == kernel.WRITE else ()
            if not cuts:
                return make()
            make(cuts[0])
        self._strike(call)
        self.die()
        return None


class Stalling(CallInjector):
    """Stops the process before a call, once."""

    pause: Callable[[], None] = staticmethod(stop_this_process)

    def at(self, call: Call, make: Callable[..., Any]) -> Any:
        if not self.fired:
            self._strike(call)
            self._voice.say(Word.STALLED)
            self.pause()
        return make()


class Failing(CallInjector):
    """Lets calls fail before they have any effect, as the manual pages say that they may."""

    def at(self, call: Call, make: Callable[..., Any]) -> Any:
        if not self._can_fail(call):
            return make()
        self._strike(call)
        raise _os_error(_NUMBERS[self.name], call)

    def _can_fail(self, call: Call) -> bool:
        if call.group in _GROUPS[self.name]:
            return True
        if self.name != "enospc":
            return False
        return (call.group == kernel.NAME and call.name not in _REMOVING) or creates_or_empties(call)


class ShortWriting(CallInjector):
    """Writes half of what it is given, as write(2) may at any time."""

    def at(self, call: Call, make: Callable[..., Any]) -> Any:
        if call.group != kernel.WRITE or call.size_bytes < 2:
            return make()
        self._strike(call)
        return make(call.size_bytes // 2)


class FillingUp(CallInjector):
    """A disk on which files can grow by half of the next growing write, and not at all afterwards.

    Bytes are counted: what overwrites, and what makes or renames entries, needs no room. What is removed gives none,
    because others on the same disk are as short of it. A write is cut where room ends, as write(2) says, and the next
    one fails.
    """

    room_bytes: int | None = None

    def at(self, call: Call, make: Callable[..., Any]) -> Any:
        needed = self._growth_bytes(call)
        if not needed:
            return make()
        if self.room_bytes is None:
            self.room_bytes = needed // 2
        if needed <= self.room_bytes:
            self.room_bytes -= needed
            return make()
        fitting = call.size_bytes - needed + self.room_bytes
        self._strike(call)
        if call.group != kernel.WRITE or fitting <= 0:
            raise _os_error(errno.ENOSPC, call)
        self.room_bytes = 0
        return make(fitting)

    def _growth_bytes(self, call: Call) -> int:
        """By how much a file will be larger after this call."""
        if call.name == "posix_fallocate":
            return 1
        if call.group != kernel.WRITE or call.size_bytes < 1:
            return 0
        try:
            size = int(real.fstat(call.descriptor).st_size)
        except OSError:
            return 0
        return max(0, min(call.size_bytes, position_of(call) + call.size_bytes - size))


class SettingClocks(CallInjector):
    """Sets the wall clock of this process at a call, and sets it right in the end."""

    def at(self, call: Call, make: Callable[..., Any]) -> Any:
        clock = READINGS.clock
        if not self.fired and isinstance(clock, Clock):
            self._strike(call)
            off_s = FAULTS[self.name].off_s
            _step(clock, off_s)
            self._engaged.callback(_step, clock, -off_s)
        return make()


def _step(clock: Clock, seconds: float) -> None:
    clock.apply(ClockFault(ClockShape.STEP, seconds, ClockMoment.BETWEEN, 0))


def clock_of_this_machine() -> Clock:
    """A clock that shows what the real ones do, until it is set."""
    now_ns = real_clocks.time_ns()
    clock = Clock(real_clocks.monotonic_ns, now_ns // NANOSECONDS)
    _step(clock, now_ns % NANOSECONDS / NANOSECONDS)
    return clock


def _os_error(number: int, call: Call) -> OSError:
    return OSError(number, os.strerror(number), *call.paths[-1:])


#: How to make the injector of a fault that strikes at calls: `make(name, real path of the directory, voice)`.
INJECTORS: dict[str, Callable[[str, str, Voice], Injector]] = {
    "kill": Killing,
    "kill-in-write": Killing,
    "stall": Stalling,
    "eio": Failing,
    "enospc": Failing,
    "short-write": ShortWriting,
    "full-disk": FillingUp,
    "emfile": Failing,
    "fsync-eio": Failing,
    "clock-forward": SettingClocks,
    "clock-back": SettingClocks,
}


class Conductor(Narrator):
    """Counts calls, and starts and stops the injectors of a schedule: the first gate, so that it is asked first.

    An injector that strikes once, or that lasts, and found nothing that it could strike yet goes on until it does.
    """

    def __init__(self, directory: Path, voice: Voice, schedule: Schedule, before: int = 0) -> None:
        super().__init__(directory, voice, before)
        at_calls = [planned for planned in schedule.strikes if planned.fault in INJECTORS]
        self._waiting = [planned for planned in at_calls if planned.stop > before]
        self._active: list[tuple[Planned, Injector]] = []

    def at(self, number: int, call: Call, make: Callable[..., Any]) -> Any:
        self._stop(pair for pair in self._active if pair[0].stop < number and pair[1].fired)
        for planned in [planned for planned in self._waiting if planned.start <= number]:
            self._waiting.remove(planned)
            injector = INJECTORS[planned.fault](planned.fault, self._within, self._voice)
            self._active.append((planned, injector))
            injector.start()
        return super().at(number, call, make)

    def finish(self) -> None:
        """Stop everything, whether it has fired or not."""
        self._stop(self._active)

    def _stop(self, pairs: Iterable[tuple[Planned, Injector]]) -> None:
        ended = list(pairs)
        self._active = [pair for pair in self._active if pair not in ended]
        for _, injector in ended:
            injector.stop()
