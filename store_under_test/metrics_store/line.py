"""Threads of one process that wait for the same thing, in the order of their coming.

If each of them polled, thousands would wake each other's processor up all the time; so the first in the line polls,
and the others sleep until they are the first.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Line:
    """A queue of threads. Each has a lock of its own, which is free once it is the first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: deque[threading.Lock] = deque()

    def __len__(self) -> int:
        return len(self._turns)

    @contextmanager
    def place(self) -> Iterator[threading.Lock]:
        """The last place, for the block; the lock in it can be acquired by whom is the first."""
        turn = threading.Lock()
        with self._lock:
            if self._turns:
                turn.acquire()
            self._turns.append(turn)
        try:
            yield turn
        finally:
            self._leave(turn)

    def _leave(self, turn: threading.Lock) -> None:
        with self._lock:
            was_first = self._turns[0] is turn
            self._turns.remove(turn)
            if was_first and self._turns:
                self._turns[0].release()
