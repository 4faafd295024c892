"""Thousands of threads on one handle of a MetricsStore, or through one circuit breaker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.counting import TIMEOUT_S, counted, counting
from benchmarks.stressed import Call, Held, Stressed, by_end, held_by, require
from store_under_test.circuit_breaker import CircuitBreaker
from store_under_test.metrics_store import MetricsStore

STACK_BYTES = 256 * 1024


class Crowd:
    """So many threads that make so many calls each. What one of them raises is raised by `end`."""

    def __init__(self, call: Callable[[], object], threads: int, calls: int) -> None:
        self._call, self._calls = call, calls
        self._done: list[Call] = []
        self._errors: list[BaseException] = []
        self._members = [threading.Thread(target=self._work) for _ in range(threads)]
        self._alive, self._began = 0, 0.0
        self._held = Held(0, 0)

    def start(self) -> None:
        """All of them, while no call can end."""
        before = threading.stack_size(STACK_BYTES)
        for member in self._members:
            member.start()
        threading.stack_size(before)
        self._alive = sum(member.is_alive() for member in self._members)
        self._held = held_by()
        self._began = time.monotonic()

    def end(self, name: str) -> Stressed:
        """Wait for all of them."""
        for member in self._members:
            member.join()
        if self._errors:
            raise self._errors[0]
        seconds = time.monotonic() - self._began
        count = len(self._members)
        return Stressed(name, "threads", count, self._alive, seconds, by_end(self._done), self._held, held_by())

    def _work(self) -> None:
        try:
            for _ in range(self._calls):
                started = time.monotonic()
                self._call()
                self._done.append((started, time.monotonic()))
        except BaseException as error:
            self._errors.append(error)


def on_metrics_store(directory: Path, threads: int, calls: int) -> Stressed:
    """Each call counts one task of an agent; the count has to come out right."""
    with MetricsStore(directory / "threads.json", timeout=TIMEOUT_S) as store:
        crowd = Crowd(lambda: store.update(counting("one")), threads, calls)
        store.update(lambda state: crowd.start())  # they wait for the lock meanwhile
        found = crowd.end("MetricsStore")
        require(counted(store)["one"], threads * calls)
    return found


def on_breaker(threads: int, calls: int) -> Stressed:
    """All calls are good, and all are counted."""
    breaker, go = CircuitBreaker(), threading.Event()
    crowd = Crowd(lambda: breaker.call(go.wait), threads, calls)
    crowd.start()
    go.set()
    found = crowd.end("CircuitBreaker")
    metrics = breaker.metrics()
    require(metrics.successes, threads * calls)
    require(metrics.calls, threads * calls)
    return found
