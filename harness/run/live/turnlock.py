"""The lock of a recorder whose threads take turns (`turnstile`): to ask for it is a step.

A recorder makes every call that changes something under one lock. Whoever had it and waited for its turn would stop
all others. So the step comes before the lock, and the thread keeps its turn until the call is made and noted. After a
call that made something durable comes one more step: what others did meanwhile may be taken for durable as well.
"""

from __future__ import annotations

from harness.record import originals as real
from harness.record.callsite import CallSites, call_site
from harness.run.live.turnstile import Turnstile

_SITES = CallSites()


class TurnLock:
    """Re-entrant. `returns` are the steps, from 1, at which threads came back from a call that made something
    durable."""

    def __init__(self, turnstile: Turnstile) -> None:
        self.returns: list[int] = []
        self._turnstile = turnstile
        self._real = real.RLock()
        self._count = 0
        self._syncing: set[int] = set()

    def before_sync(self) -> None:
        """The thread that calls this is about to make something durable, as a recorder says."""
        member = self._turnstile.me()
        if member is not None:
            self._syncing.add(member.place)

    def acquire(self) -> bool:
        member = self._turnstile.me()
        if member is not None and not member.inside:
            self._turnstile.step(_SITES.resolve(*call_site(2)))
            member.inside = True
        self._real.acquire()
        self._count += 1
        return True

    def release(self) -> None:
        self._count -= 1
        held = self._count > 0
        self._real.release()
        member = self._turnstile.me()
        if member is None or held:
            return
        member.inside = False
        if member.place in self._syncing:
            self._syncing.discard(member.place)
            self.returns.append(self._turnstile.steps + 1)
            self._turnstile.step(_SITES.resolve(*call_site(2)))

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *details: object) -> None:
        self.release()
