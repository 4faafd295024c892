"""The results that count towards the threshold. Pure bookkeeping: times come from outside and never go back."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from store_under_test.circuit_breaker.settings import Consecutive, LastCalls, LastSeconds


class Window(Protocol):
    """Results of one closed spell."""

    def add(self, failed: bool, now_s: float) -> None:
        """One more result."""

    def failures(self, now_s: float) -> int:
        """How many failures count at this moment."""

    def is_met(self, now_s: float) -> bool:
        """Whether the threshold is reached."""


class ConsecutiveWindow:
    """Counts failures in a row."""

    def __init__(self, rule: Consecutive) -> None:
        self._rule = rule
        self._failures = 0

    def add(self, failed: bool, now_s: float) -> None:
        self._failures = self._failures + 1 if failed else 0

    def failures(self, now_s: float) -> int:
        return self._failures

    def is_met(self, now_s: float) -> bool:
        return self._failures >= self._rule.failures


class SlidingWindow:
    """Results with their times; what falls out of the window is subtracted when it does."""

    def __init__(self, rule: LastCalls | LastSeconds) -> None:
        self._rule = rule
        self._results: deque[tuple[float, bool]] = deque()
        self._failures = 0

    def add(self, failed: bool, now_s: float) -> None:
        self._results.append((now_s, failed))
        self._failures += failed
        self._forget(now_s)

    def failures(self, now_s: float) -> int:
        self._forget(now_s)
        return self._failures

    def is_met(self, now_s: float) -> bool:
        return self.failures(now_s) >= self._rule.failures and len(self._results) >= self._rule.minimum_calls

    def _forget(self, now_s: float) -> None:
        while self._results and self._is_outside(self._results[0][0], now_s):
            _, failed = self._results.popleft()
            self._failures -= failed

    def _is_outside(self, oldest_s: float, now_s: float) -> bool:
        if isinstance(self._rule, LastCalls):
            return len(self._results) > self._rule.calls
        return now_s - oldest_s >= self._rule.seconds


def window_for(rule: Consecutive | LastCalls | LastSeconds) -> Window:
    """An empty window."""
    return ConsecutiveWindow(rule) if isinstance(rule, Consecutive) else SlidingWindow(rule)
