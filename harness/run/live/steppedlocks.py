"""Locks that a `Turnstile` knows of: to take one is a step, and who has to wait for it gives its turn away."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable
from typing import Any

from harness.judge.lock_order import Hold
from harness.record.callsite import CallSites, call_site
from harness.run.live.turnstile import Turnstile

_SITES = CallSites()


class SteppedLock:
    """As `threading.Lock`. A `signal` is a lock that another thread than the one which took it will free, as in a
    `Condition`: nobody owns it."""

    def __init__(self, turnstile: Turnstile, *, signal: bool = False) -> None:
        self._real = _thread.allocate_lock()
        self._turnstile = turnstile
        self._signal = signal
        self._known_as = ("", "") if signal else turnstile.locks.made(_SITES.resolve(*call_site(1)))
        self.owner: int | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        member = self._turnstile.me()
        if member is None:
            taken = self._real.acquire(blocking, timeout)
        else:
            wanted = None if self._signal else Hold(*self._known_as, _SITES.resolve(*call_site(1)))
            if wanted is not None:
                self._turnstile.step(wanted.site)
                if blocking and timeout < 0:
                    self._turnstile.asks(member, wanted)
            deadline = None if timeout < 0 else time.monotonic() + timeout
            taken = self._real.acquire(False)
            while not taken and blocking:
                left = -1.0 if deadline is None else max(0.0, deadline - time.monotonic())
                woken = self._turnstile.wait_for(self, member, left)
                taken = self._real.acquire(False)
                if not woken and not taken:
                    break
            if taken and wanted is not None:
                self.owner = member.place
                self._turnstile.locks.took(member.place, wanted)
        return taken

    def release(self) -> None:
        owner, self.owner = self.owner, None
        self._real.release()
        if not self._signal:
            member = self._turnstile.me()
            self._turnstile.locks.freed(self._known_as[0], None if member is None else member.place, owner)
        self._turnstile.freed(self)

    def taken(self) -> bool:
        return self._real.locked()

    locked = taken

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *details: object) -> None:
        self.release()

    def _at_fork_reinit(self) -> None:
        self._real = _thread.allocate_lock()
        self.owner = None


class SteppedRLock:
    """As `threading.RLock`, with what a `Condition` wants of it."""

    def __init__(self, turnstile: Turnstile) -> None:
        self._block = SteppedLock(turnstile)
        self._thread: int | None = None
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._thread == _thread.get_ident():
            self._count += 1
            return True
        taken = self._block.acquire(blocking, timeout)
        if taken:
            self._thread, self._count = _thread.get_ident(), 1
        return taken

    def release(self) -> None:
        if self._thread != _thread.get_ident():
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            self._thread = None
            self._block.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *details: object) -> None:
        self.release()

    def _is_owned(self) -> bool:
        return self._thread == _thread.get_ident()

    def _release_save(self) -> tuple[int, int | None]:
        state = (self._count, self._thread)
        self._count, self._thread = 0, None
        self._block.release()
        return state

    def _acquire_restore(self, state: tuple[int, int | None]) -> None:
        self._block.acquire()
        self._count, self._thread = state

    def _at_fork_reinit(self) -> None:
        self._block._at_fork_reinit()
        self._thread, self._count = None, 0


class _Maker(type):
    """A maker of locks, as there is one in `threading`: real ones as long as nobody takes turns in this process."""

    real: Callable[[], Any]
    stepped: Callable[[Turnstile], Any]

    def __call__(cls) -> Any:
        return cls.stepped(_turnstiles[-1]) if _turnstiles else cls.real()

    def __instancecheck__(cls, instance: object) -> bool:
        return type(instance) in (cls.stepped, type(cls.real()))


class Lock(metaclass=_Maker):
    """For `threading.Lock`, and found there when it is unpickled."""

    __module__ = "threading"
    real = _thread.allocate_lock
    stepped = SteppedLock


class RLock(metaclass=_Maker):
    """For `threading.RLock`."""

    __module__ = "threading"
    real = _thread.RLock
    stepped = SteppedRLock


_turnstiles: list[Turnstile] = []


def get_ready() -> None:
    """Replace the makers of locks. Before a store is imported: what it takes of `threading` by name makes stepped locks
    too, once there is a turnstile."""
    patched: Any = threading
    patched.Lock, patched.RLock = Lock, RLock


def install(turnstile: Turnstile) -> None:
    """From now on the locks that are made in this process are stepped. For a process that will end soon: it is never
    undone. Who had the makers of locks under other names before `get_ready` makes real ones."""
    get_ready()
    _turnstiles.append(turnstile)
    patched: Any = threading
    patched._allocate_lock = lambda: SteppedLock(turnstile, signal=True)
