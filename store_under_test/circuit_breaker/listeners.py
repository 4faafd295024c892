"""Tells listeners of transitions: each one once, in order, one at a time, and with no lock held."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable

from store_under_test.circuit_breaker.circuit import Transition

Listener = Callable[[Transition], object]

logger = logging.getLogger("store_under_test.circuit_breaker")


class Announcer:
    """A queue of news. Whoever comes first delivers it, also what others add meanwhile; nobody waits for anybody."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = tuple(listeners)
        self._pending: deque[tuple[Listener, Transition]] = deque()
        self._lock = threading.Lock()
        self._delivering = False
        self.errors = 0

    def add_listener(self, listener: Listener) -> None:
        """From the next transition on."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def put(self, transitions: Iterable[Transition]) -> None:
        """Queue news; the caller holds the lock under which it happened, so that the order is right."""
        self._pending.extend((listener, transition) for transition in transitions for listener in self._listeners)

    def deliver(self) -> None:
        """Deliver what is queued, unless another is at it already.

        An exception of a listener is logged and counted. What is no `Exception` (Ctrl-C) passes through; the rest of
        the news is delivered by the next one who comes.
        """
        while self._pending and self._may_deliver():
            try:
                while self._pending:
                    self._tell(*self._pending.popleft())
            finally:
                self._delivering = False

    def _may_deliver(self) -> bool:
        with self._lock:
            may, self._delivering = not self._delivering, True
            return may

    def _tell(self, listener: Listener, transition: Transition) -> None:
        try:
            listener(transition)
        except Exception:
            self.errors += 1
            logger.exception("a listener failed at %s -> %s", transition.before.value, transition.after.value)
