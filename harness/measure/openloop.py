"""Running operations on a schedule, or one after another, with every moment kept apart.

Open loop: each operation has an intended start, fixed before the run. Its *response* time counts from there, and is its
*wait* (from the intended to the real start, behind slower operations) and its *service* time (in the store). When the
run ends, what was due and had not been started counts with the time that it had waited by then, which is less than it
would have waited: overload shows, and cannot be hidden by stopping.

Closed loop: the next operation starts when the one before was answered. That tells service times and the highest rate,
and nothing about what clients would have waited, so it is always labelled "service time".

The generator checks itself. Its *lateness* is how long it took from when an operation could have been started (it was
due, and the one before it had ended) until it was; its share of the processor is what it used outside of the store. All
times are integers in nanoseconds, from a clock that is a parameter.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from harness.measure.arrivals import Arrival

#: More than this share of the smallest bound on a latency, and lateness at its 99th percentile decides the result.
MOST_LATENESS = 0.10
#: More than this share of a core, and the generator may be what limits the rate.
MOST_CPU = 0.70


class Clock(Protocol):
    """Monotonic nanoseconds, waiting for one of them, and processor time of this thread."""

    def now_ns(self) -> int: ...

    def sleep_until_ns(self, moment_ns: int) -> None: ...

    def cpu_ns(self) -> int: ...


class RealClock:
    """The monotonic clock of the system."""

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def sleep_until_ns(self, moment_ns: int) -> None:
        while (left_ns := moment_ns - time.monotonic_ns()) > 0:
            time.sleep(left_ns / 1e9)

    def cpu_ns(self) -> int:
        return time.thread_time_ns()


class RunClock:
    """The time of a run: it goes on where an earlier part of the run ended, and stands still in pauses.

    In a pause the clients stand still too, all of them: the harness does its own work there, such as writing down a
    window or looking at the state. So that work is in no latency. Pauses are for moments in which no operation runs.
    """

    def __init__(self, clock: Clock, elapsed_ns: int = 0) -> None:
        self._clock = clock
        self._origin_ns = clock.now_ns() - elapsed_ns
        self.paused_ns = 0
        self.paused_cpu_ns = 0

    def now_ns(self) -> int:
        return self._clock.now_ns() - self._origin_ns

    def sleep_until_ns(self, moment_ns: int) -> None:
        self._clock.sleep_until_ns(moment_ns + self._origin_ns)

    def cpu_ns(self) -> int:
        """Of this thread, without what it used in pauses."""
        return self._clock.cpu_ns() - self.paused_cpu_ns

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        began_ns, cpu_ns = self._clock.now_ns(), self._clock.cpu_ns()
        try:
            yield
        finally:
            lasted_ns = self._clock.now_ns() - began_ns
            self._origin_ns += lasted_ns
            self.paused_ns += lasted_ns
            self.paused_cpu_ns += self._clock.cpu_ns() - cpu_ns


@dataclass(frozen=True, slots=True)
class Sample:
    """The moments of one operation. `free_ns` is when the one before it had ended.

    One that was never started has `started` False, and the end of the run as its start and end.
    """

    intended_ns: int
    free_ns: int
    started_ns: int
    ended_ns: int
    store_cpu_ns: int = 0
    started: bool = True

    @property
    def wait_ns(self) -> int:
        return self.started_ns - self.intended_ns

    @property
    def service_ns(self) -> int:
        return self.ended_ns - self.started_ns

    @property
    def response_ns(self) -> int:
        return self.ended_ns - self.intended_ns

    @property
    def lateness_ns(self) -> int:
        return self.started_ns - max(self.intended_ns, self.free_ns)


Perform = Callable[[Arrival], None]
Note = Callable[[Sample], None]


def run_open_loop(
    arrivals: Iterable[Arrival], perform: Perform, clock: RunClock, note: Note, until_ns: int
) -> None:
    """Perform what is due before `until_ns` at its time, or as soon as the one before has ended."""
    free_ns = clock.now_ns()
    for arrival in arrivals:
        if arrival.at_ns >= until_ns:
            return
        if clock.now_ns() < arrival.at_ns:
            clock.sleep_until_ns(arrival.at_ns)
        if clock.now_ns() >= until_ns:
            note(Sample(arrival.at_ns, until_ns, until_ns, until_ns, started=False))
            continue
        sample = performed(arrival, arrival.at_ns, free_ns, perform, clock)
        free_ns = sample.ended_ns
        note(sample)


def run_closed_loop(
    arrivals: Iterable[Arrival], perform: Perform, clock: RunClock, note: Note, until_ns: int
) -> None:
    """Perform one after another until `until_ns`; the moments of the arrivals count for nothing."""
    free_ns = clock.now_ns()
    for arrival in arrivals:
        if clock.now_ns() >= until_ns:
            return
        sample = performed(arrival, None, free_ns, perform, clock)
        free_ns = sample.ended_ns
        note(sample)


def performed(
    arrival: Arrival, intended_ns: int | None, free_ns: int, perform: Perform, clock: RunClock
) -> Sample:
    """Perform one operation that is due at `intended_ns`, or, where that is `None`, whenever one is free."""
    cpu_ns = clock.cpu_ns()
    started_ns = clock.now_ns()
    perform(arrival)
    ended_ns = clock.now_ns()
    due_ns = started_ns if intended_ns is None else intended_ns
    return Sample(due_ns, free_ns, started_ns, ended_ns, clock.cpu_ns() - cpu_ns)


def unfit(*, lateness_p99_ms: float | None, cpu_share: float, smallest_bound_ms: float | None) -> str:
    """Why this machine could not give the load, "" if it could.

    `smallest_bound_ms` is the smallest limit on a latency, `None` where there is none: then lateness decides nothing.
    """
    if cpu_share > MOST_CPU:
        return (
            f"the generator used {cpu_share:.0%} of a core (at most {MOST_CPU:.0%}): "
            "what was measured may be its own speed"
        )
    late = lateness_p99_ms is not None and smallest_bound_ms is not None
    if late and lateness_p99_ms > MOST_LATENESS * smallest_bound_ms:  # type: ignore[operator]
        return (
            f"the generator was late by {lateness_p99_ms:.3g} ms at its 99th percentile, more than "
            f"{MOST_LATENESS:.0%} of the smallest limit on a latency ({smallest_bound_ms:g} ms)"
        )
    return ""
