"""What stress tests have in common: what the members of a crowd went through, as values, and the table of it."""

from __future__ import annotations

import os
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psutil

from benchmarks.measuring import middle
from benchmarks.table import Column, Table

#: (start, end) of a call, in seconds on the clock that all processes of a machine share (clock_gettime(2),
#: CLOCK_MONOTONIC).
Call = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Held:
    """What processes hold of the machine. Memory that several share counts for each of them."""

    resident_bytes: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class Stressed:
    """What so many `members` ("threads") of a crowd went through. `calls` are in the order of their ends.

    `alive` is how many there were when all had begun, `seconds` the time from then on; `begun` is what was held at that
    moment, `ended` when all calls had returned.
    """

    name: str
    members: str
    count: int
    alive: int
    seconds: float
    calls: tuple[Call, ...]
    begun: Held
    ended: Held


def held_by(processes: Iterable[int] = ()) -> Held:
    """By these processes, or by this one. Raises `psutil.Error` for one that is gone."""
    found = [psutil.Process(process) for process in processes or (os.getpid(),)]
    return Held(sum(item.memory_info().rss for item in found), sum(item.num_fds() for item in found))


def by_end(calls: Iterable[Call]) -> tuple[Call, ...]:
    """In the order of their ends."""
    return tuple(sorted(calls, key=lambda call: call[1]))


def overtaken(calls: Sequence[Call]) -> int:
    """How many calls that started later ended before one, at the most; `calls` are in the order of their ends."""
    starts: list[float] = []
    most = 0
    for started, _ in calls:
        most = max(most, len(starts) - bisect_left(starts, started))
        insort(starts, started)
    return most


def require(found: int, expected: int, what: str = "calls took effect") -> None:
    """Raises `RuntimeError` if something is lost, or counted twice."""
    if found != expected:
        raise RuntimeError(f"{found} of {expected} {what}")


def table(found: Sequence[Stressed], load: float) -> Table:
    """A row for each crowd. `load` is how many processes of others wanted to run when it began (getloadavg(3))."""
    columns = (
        Column("store"),
        Column("members"),
        Column("at once", ",d"),
        Column("calls", ",d"),
        Column("calls/s", ",.0f"),
        Column("median wait, ms", ",.1f"),
        Column("longest wait, s", ".2f"),
        Column("overtaken", ",d"),
        Column("resident, MiB", ",.0f"),
        Column("MiB after", ",.0f"),
        Column("descriptors", ",d"),
        Column("after", ",d"),
    )
    notes = (
        "A wait is from the call to its return. Memory and descriptors: when all had begun, and after the last call;",
        "of processes the sum, where memory that several share counts for each.",
        f"Load of the machine in the minute before: {load:.1f} on {os.cpu_count()} cores.",
    )
    return Table("stress", "Crowds on one store", columns, tuple(map(_row, found)), notes)


def _row(item: Stressed) -> tuple[object, ...]:
    waits = [ended - started for started, ended in item.calls]
    return (
        item.name,
        f"{item.count:,d} {item.members}",
        item.alive,
        len(item.calls),
        len(item.calls) / item.seconds,
        1e3 * middle(waits),
        max(waits),
        overtaken(item.calls),
        item.begun.resident_bytes / 2**20,
        item.ended.resident_bytes / 2**20,
        item.begun.descriptors,
        item.ended.descriptors,
    )
