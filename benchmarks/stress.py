"""Thousands of threads on one store: do all come through, how long does one wait, and who is overtaken?

    python -m benchmarks.stress --threads 10000

Each thread makes its calls on one handle of a MetricsStore (a read-modify-write that is durable) or through one circuit
breaker. No call ends before all threads have begun theirs. Afterwards what is stored, or counted, has to add up to the
calls: a lost update ends the run. *Overtaken* is how many that came later were served before one, at the most: 0 in a
fair line.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.measuring import middle
from benchmarks.table import Column, Table, as_text
from store_under_test.circuit_breaker import CircuitBreaker
from store_under_test.metrics_store import MetricsStore
from store_under_test.metrics_store.state import DashboardState

STACK_BYTES = 256 * 1024
TIMEOUT_S = 3600.0
_AGENT = {"role": "counted", "status": "busy", "last_seen": "2024-02-29T12:00:00+00:00", "metadata": {}}


@dataclass(frozen=True, slots=True)
class Stressed:
    """What the threads went through. `calls` are (start, end) in seconds, in the order of their ends.

    `seconds` are those from when all threads had begun. Memory and descriptors are those of that moment.
    """

    name: str
    threads: int
    alive: int
    seconds: float
    calls: tuple[tuple[float, float], ...]
    resident_bytes: int
    descriptors: int


class Crowd:
    """So many threads that make so many calls each. What one of them raises is raised by `end`."""

    def __init__(self, call: Callable[[], object], threads: int, calls: int) -> None:
        self._call, self._calls = call, calls
        self._done: list[tuple[float, float]] = []
        self._errors: list[BaseException] = []
        self._members = [threading.Thread(target=self._work) for _ in range(threads)]
        self._alive, self._began = 0, 0.0
        self._held = (0, 0)

    def start(self) -> None:
        """All of them, while no call can end."""
        before = threading.stack_size(STACK_BYTES)
        for member in self._members:
            member.start()
        threading.stack_size(before)
        own = psutil.Process()
        self._alive = sum(member.is_alive() for member in self._members)
        self._held = (own.memory_info().rss, own.num_fds())
        self._began = time.perf_counter()

    def end(self, name: str) -> Stressed:
        """Wait for all of them."""
        for member in self._members:
            member.join()
        if self._errors:
            raise self._errors[0]
        seconds = time.perf_counter() - self._began
        ordered = tuple(sorted(self._done, key=lambda pair: pair[1]))
        return Stressed(name, len(self._members), self._alive, seconds, ordered, *self._held)

    def _work(self) -> None:
        try:
            for _ in range(self._calls):
                started = time.perf_counter()
                self._call()
                self._done.append((started, time.perf_counter()))
        except BaseException as error:
            self._errors.append(error)


def overtaken(calls: Sequence[tuple[float, float]]) -> int:
    """How many calls that started later ended before one, at the most; `calls` are in the order of their ends."""
    starts: list[float] = []
    most = 0
    for started, _ in calls:
        most = max(most, len(starts) - bisect_left(starts, started))
        insort(starts, started)
    return most


def on_metrics_store(directory: Path, threads: int, calls: int) -> Stressed:
    """Each call counts one task of an agent; the count has to come out right."""

    def count(state: DashboardState) -> None:
        agent = state["agents"].setdefault("one", {**_AGENT, "tasks_completed": 0})  # type: ignore[typeddict-item]
        agent["tasks_completed"] += 1

    with MetricsStore(directory / "stress.json", timeout=TIMEOUT_S) as store:
        crowd = Crowd(lambda: store.update(count), threads, calls)
        store.update(lambda state: crowd.start())  # they wait for the lock meanwhile
        found = crowd.end("MetricsStore")
        _require(store.load()["agents"]["one"]["tasks_completed"], threads * calls)
    return found


def on_breaker(threads: int, calls: int) -> Stressed:
    """All calls are good, and all are counted."""
    breaker, go = CircuitBreaker(), threading.Event()
    crowd = Crowd(lambda: breaker.call(go.wait), threads, calls)
    crowd.start()
    go.set()
    found = crowd.end("CircuitBreaker")
    metrics = breaker.metrics()
    _require(metrics.successes, threads * calls)
    _require(metrics.calls, threads * calls)
    return found


def _require(found: int, expected: int) -> None:
    if found != expected:
        raise RuntimeError(f"{found} of {expected} calls took effect")


def table(found: Sequence[Stressed]) -> Table:
    """A row for each store."""
    columns = (
        Column("store"),
        Column("threads", ",d"),
        Column("alive at once", ",d"),
        Column("calls/s", ",.0f"),
        Column("median wait, ms", ",.1f"),
        Column("longest wait, s", ".2f"),
        Column("overtaken", ",d"),
        Column("resident, MiB", ",.0f"),
        Column("descriptors", ",d"),
    )
    notes = ("A wait is from the call to its return. Memory and descriptors: when all threads had begun.",)
    return Table("stress", "Thousands of threads on one store", columns, tuple(map(_row, found)), notes)


def _row(item: Stressed) -> tuple[object, ...]:
    waits = [ended - started for started, ended in item.calls]
    return (
        item.name,
        item.threads,
        item.alive,
        len(item.calls) / item.seconds,
        1e3 * middle(waits),
        max(waits),
        overtaken(item.calls),
        item.resident_bytes / 2**20,
        item.descriptors,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stress", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--threads", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=1, help="of each thread (1)")
    parser.add_argument("--directory", type=Path, help="where the store stands (a temporary directory)")
    given = parser.parse_args(arguments)
    if min(given.threads, given.calls) < 1:
        parser.error("there is nothing to do: --threads and --calls are 1 or more")
    with tempfile.TemporaryDirectory(dir=given.directory) as directory:
        found = [on_metrics_store(Path(directory), given.threads, given.calls), on_breaker(given.threads, given.calls)]
    print(as_text(table(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
