"""What a failing call leads to: the calls that come after it, locks that stay taken, and children that are forked.

A call that finds a lock taken is answered as the kernel would, though nobody has it: a real holder would have to be
another process, which changes the store. Waiting takes no time (`timepiece`), as long as the store sleeps by Python's
clock in one thread; otherwise the lock is free again after `_PATIENCE_S`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.inject.calls import HELD_S, LOOKS_MOST, CallFault, Seen
from harness.inject.clocks import NANOSECONDS, Clock
from harness.record import kernel
from harness.record import originals as real
from harness.record.callsite import is_of_the_store
from harness.record.kernel import Call
from harness.run.live import real_clocks, timepiece

#: How long a lock stays taken for a store that really waits, in seconds.
_PATIENCE_S = 2.0
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
#: Devices: nothing is stored in them.
_NO_FILES = ("/dev/",)


def reads_outside(call: Call, path: str) -> bool:
    """Whether a line of the store reads a file, or lists a directory, that is not among its own."""
    if call.group not in (kernel.OPEN, kernel.READ, kernel.LIST) or not path.startswith("/"):
        return False
    return not (call.flags & _WRITING or path.startswith(_NO_FILES)) and is_of_the_store(2)


@dataclass(slots=True)
class Aftermath:
    """Hears of every call after the one that was struck, but for those that are struck too.

    Without `then` it lists the places, each with the number of its first call among those of its name. Else the call
    that `then` names is struck as well; `place` is its index in the list of all that was struck, -1 before.
    """

    then: CallFault | None = None
    found: list[tuple[Seen, int]] = field(default_factory=list)
    place: int = -1
    _counts: dict[str, int] = field(default_factory=dict)
    _places: set[tuple[str, str, bool]] = field(default_factory=set)
    _over: bool = False

    def meets(self, seen: Seen, site: Callable[[], Any], struck: int) -> CallFault | None:
        """What strikes this call, after `struck` others were."""
        if self._over:
            return None
        number = self._counts[seen.name] = self._counts.get(seen.name, 0) + 1
        if self.then is None:
            self._list(dataclasses.replace(seen, site=str(site())), number)
            return None
        if (seen.name, number) != (self.then.name, self.then.number):
            return None
        self.place = struck
        return self.then

    def _list(self, seen: Seen, number: int) -> None:
        key = (seen.site, seen.name, seen.creates)
        if key not in self._places:
            self._places.add(key)
            self.found.append((seen, number))

    def again(self) -> Aftermath:
        """The same for another run."""
        return Aftermath(self.then)

    def end(self, child: Aftermath) -> None:
        """Only what a child did counts, and no more is to come."""
        self.found, self.place, self._over = child.found, child.place, True


# --- locks ----------------------------------------------------------------------------------------


class LocksHeld:
    """The descriptors with which the store has a lock."""

    def __init__(self) -> None:
        self._descriptors: set[int] = set()

    @property
    def held(self) -> bool:
        return bool(self._descriptors)

    def is_tried(self, call: Call) -> bool:
        """Whether the call asks for a lock that its descriptor has not, and would not wait for it."""
        if call.group != kernel.LOCK or call.flags & fcntl.LOCK_UN:
            return False
        return bool(call.flags & fcntl.LOCK_NB) and call.descriptor not in self._descriptors

    def make(self, call: Call, make: Callable[..., Any], size_bytes: int | None = None) -> Any:
        """Make a call that locks, unlocks or closes, and write down what it did."""
        if call.group == kernel.CLOSE or call.flags & fcntl.LOCK_UN:
            self._descriptors.discard(call.descriptor)
            return make()
        result = make()
        self._descriptors.add(call.descriptor)
        return result


class Taken:
    """Somebody has the lock, until the store has waited, or looked, often enough."""

    def __init__(self) -> None:
        self._looks = 0
        self._since: tuple[float, float] | None = None

    def is_over(self) -> bool:
        """Whether the lock is free, when somebody looks."""
        clock = timepiece.READINGS.clock
        waited_s = clock.waited_ns / NANOSECONDS if isinstance(clock, Clock) else 0.0
        now_s = real_clocks.monotonic()
        self._since = self._since or (waited_s, now_s)
        self._looks += 1
        long = waited_s - self._since[0] >= HELD_S or now_s - self._since[1] >= _PATIENCE_S
        return long or self._looks > LOOKS_MOST


@contextlib.contextmanager
def no_waiting(wanted: bool) -> Iterator[None]:
    """Whoever sleeps in the block does not, if that is wanted; the wall clock begins with what it is."""
    if not wanted:
        yield
        return
    timepiece.install()
    with timepiece.engaged(Clock(real_clocks.monotonic_ns, int(real_clocks.time()))):
        yield


# --- forks ----------------------------------------------------------------------------------------


def forked(tell: Callable[[], Any]) -> Any:
    """Fork; what `tell` says in the child, when what the store has to be done there is done. `None` if it died.

    An exception in a function for children goes to nobody (os.register_at_fork), so it is not printed either.
    """
    reader, writer = os.pipe()
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks in a process with threads
            child = os.fork()
        if child == 0:
            _tell_and_exit(tell, writer)
    finally:
        sys.unraisablehook = hook
    real.close(writer)
    parts = []
    while part := real.read(reader, 1 << 16):
        parts.append(part)
    real.close(reader)
    os.waitpid(child, 0)
    return pickle.loads(b"".join(parts)) if parts else None


def _tell_and_exit(tell: Callable[[], Any], writer: int) -> None:
    try:
        rest = memoryview(pickle.dumps(tell()))
        while rest:
            rest = rest[real.write(writer, rest) :]
    finally:
        os._exit(0)
