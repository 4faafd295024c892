"""Gates that count a store's calls, and strike at one of them: kill the process, stop it, or let a call fail.

Only calls about the store's directory count: what a module reads while it is imported, or a time zone from /usr, is
not the store's I/O.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import pickle
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.trace import CallSite
from harness.inject import kills
from harness.inject.kills import Called, Kill, Moment
from harness.record import kernel
from harness.record import originals as real
from harness.record.callsite import CallSites, call_site
from harness.record.kernel import Call
from harness.run.live.forks import Voice, Word

_SITES = CallSites()
_LASTING = (kernel.WRITE, kernel.SYNC, kernel.SIZE, kernel.NAME)


def kill_this_process() -> None:
    """SIGKILL takes effect before this returns."""
    os.kill(os.getpid(), signal.SIGKILL)


def stop_this_process() -> None:
    """SIGSTOP; returns when somebody sends SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)


def site_here() -> CallSite | None:
    """The line of the store that makes the call which a gate is being asked about."""
    return _SITES.resolve(*call_site(2))


def concerns(within: str, call: Call) -> bool:
    """Whether a call is about the directory with the real path `within`, or something in it."""
    paths = call.paths or (call.path(),)
    return any(path == within or path.startswith(within + "/") for path in paths)


class Counter:
    """A gate that numbers the calls about one directory from 1, beginning after `before` others."""

    def __init__(self, directory: Path, before: int = 0) -> None:
        self._within = os.path.realpath(directory)
        self._numbers = itertools.count(before + 1)
        self.count = before

    def __call__(self, call: Call, make: Callable[..., Any]) -> Any:
        if not concerns(self._within, call):
            return make()
        number = self.count = next(self._numbers)
        return self.at(number, call, make)

    def at(self, number: int, call: Call, make: Callable[..., Any]) -> Any:
        """What becomes of the call with this number."""
        return make()


# --- watching -----------------------------------------------------------------------------------


class Narrator(Counter):
    """Says every call, before it is made."""

    def __init__(self, directory: Path, voice: Voice, before: int = 0) -> None:
        super().__init__(directory, before)
        self._voice = voice
        self._locks = Locks()

    def at(self, number: int, call: Call, make: Callable[..., Any]) -> Any:
        held = self._locks.held
        self._locks.note(call)
        called = self._described(call, locked=held or self._locks.held)
        self._voice.say(Word.CALLED, number, pickle.dumps(called))
        return make()

    def _described(self, call: Call, *, locked: bool) -> Called:
        parts = kills.cuts(position_of(call), call.size_bytes) if call.group == kernel.WRITE else ()
        creates = creates_or_empties(call)
        changes = creates or (call.group in _LASTING and call.group != kernel.SYNC and call.size_bytes != 0)
        lasting = creates or call.group in _LASTING
        return Called(call.name.removeprefix("file_"), site_here(), parts, changes, lasting, locked)


@dataclass(slots=True)
class Locks:
    """Which locks the process holds: descriptors with flock(2) or lockf(3), and files created to be alone."""

    descriptors: set[int] = field(default_factory=set)
    files: set[str] = field(default_factory=set)

    @property
    def held(self) -> bool:
        return bool(self.descriptors or self.files)

    def note(self, call: Call) -> None:
        if call.group == kernel.LOCK:
            (self.descriptors.discard if call.flags & fcntl.LOCK_UN else self.descriptors.add)(call.descriptor)
        elif call.group == kernel.CLOSE:
            self.descriptors.discard(call.descriptor)
        elif call.group == kernel.OPEN and call.flags & os.O_EXCL and call.flags & os.O_CREAT:
            self.files.add(call.path())
        elif call.group == kernel.NAME:
            self.files.difference_update(call.paths)


def position_of(call: Call) -> int:
    """The file offset at which a write will begin."""
    if call.position >= 0:
        return call.position
    try:
        if real.fcntl(call.descriptor, fcntl.F_GETFL) & os.O_APPEND:
            return int(real.fstat(call.descriptor).st_size)
        return int(real.lseek(call.descriptor, 0, os.SEEK_CUR))
    except (OSError, ValueError):  # a pipe, or no descriptor at all
        return 0


def creates_or_empties(call: Call) -> bool:
    """Whether an open will make a file, or cut one."""
    if call.group != kernel.OPEN or not call.flags & (os.O_CREAT | os.O_TRUNC):
        return False
    try:
        status = real.stat(call.path())
    except OSError:
        return bool(call.flags & os.O_CREAT)
    return bool(call.flags & os.O_TRUNC and status.st_size)


# --- striking -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Strike:
    """Where a fault struck: the call and its line, and the fault in a word."""

    call: str
    site: CallSite | None
    fault: str


class Stops(Counter):
    """Kills the process at the call that `kill` names, or stops it there."""

    def __init__(
        self,
        directory: Path,
        voice: Voice,
        kill: Kill,
        *,
        die: Callable[[], None] = kill_this_process,
        stop: Callable[[], None] = stop_this_process,
    ) -> None:
        super().__init__(directory)
        self._voice = voice
        self._kill = kill
        self._die = die
        self._stop = stop

    def at(self, number: int, call: Call, make: Callable[..., Any]) -> Any:
        if number != self._kill.number or self._kill.moment is Moment.ACKNOWLEDGED:
            return make()
        match self._kill.moment:
            case Moment.STALLED:
                self._strike(number, call)
                self._voice.say(Word.STALLED)
                self._stop()
                return make()
            case Moment.INSIDE:
                result = make(self._kill.part_bytes)
            case Moment.AFTER:
                result = make()
            case _:
                result = None
        self._strike(number, call)
        self._die()
        return result

    def acknowledged(self, operation: int) -> None:
        """The client has been told so, and told others."""
        if self._kill == Kill(Moment.ACKNOWLEDGED, operation):
            self._voice.say(Word.STRUCK, 0, pickle.dumps(Strike("", None, "kill")))
            self._die()

    def _strike(self, number: int, call: Call) -> None:
        strike = Strike(call.name.removeprefix("file_"), site_here(), "kill")
        self._voice.say(Word.STRUCK, number, pickle.dumps(strike))
