"""The faults that a schedule can name, carried out by gates in the process that runs the store.

Every injector stands between the store and the operating system only while it is started, so that all that it does
ends with its process at the latest.
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
from harness.inject.nemesis import FAULTS, Injector, Schedule
from harness.inject.nemesis import Strike as Planned
from harness.record import kernel
from harness.record.kernel import Call
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

_NUMBERS = {"eio": errno.EIO, "enospc": errno.ENOSPC}
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
        number = _NUMBERS[self.name]
        raise OSError(number, os.strerror(number), *call.paths[-1:])

    def _can_fail(self, call: Call) -> bool:
        if self.name == "eio":
            return call.group in (kernel.READ, kernel.WRITE, kernel.SYNC)
        if call.group == kernel.NAME:
            return call.name not in _REMOVING
        return call.group in (kernel.WRITE, kernel.SIZE) or creates_or_empties(call)


class ShortWriting(CallInjector):
    """Writes half of what it is given, as write(2) may at any time."""

    def at(self, call: Call, make: Callable[..., Any]) -> Any:
        if call.group != kernel.WRITE or call.size_bytes < 2:
            return make()
        self._strike(call)
        return make(call.size_bytes // 2)


#: How to make the injector of a fault: `make(name, real path of the directory, voice)`.
INJECTORS: dict[str, Callable[[str, str, Voice], Injector]] = {
    "kill": Killing,
    "kill-in-write": Killing,
    "stall": Stalling,
    "eio": Failing,
    "enospc": Failing,
    "short-write": ShortWriting,
}


class Conductor(Narrator):
    """Counts calls, and starts and stops the injectors of a schedule: the first gate, so that it is asked first.

    An injector that strikes once, or that lasts, and found nothing that it could strike yet goes on until it does.
    """

    def __init__(self, directory: Path, voice: Voice, schedule: Schedule, before: int = 0) -> None:
        super().__init__(directory, voice, before)
        self._waiting = [planned for planned in schedule.strikes if planned.stop > before]
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
