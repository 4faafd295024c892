"""How fast histories of concurrent clients are judged, and how much memory that takes.

The histories are those of a store that works: each operation takes effect at one moment within its interval, and of the
unanswered ones every second never does. In the last rows one read is stale, or values are not unique, so that a search
has to decide.
"""

from __future__ import annotations

import random
import time
import tracemalloc
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.measuring import middle, ratio
from benchmarks.table import Column, Table
from harness.core.history import Called, History, Outcome, history_of
from harness.core.models import KEY_VALUE, LOG
from harness.core.operations import Append, Get, Put, Read
from harness.history.checking import check


@dataclass(frozen=True, slots=True)
class Shape:
    """A history to be made: `unanswered` is a share, `values` how many different ones there are (0: all)."""

    operations: int
    clients: int
    keys: int
    unanswered: float = 0.0
    values: int = 0
    stale: bool = False
    log: bool = False

    @property
    def label(self) -> str:
        if self.log:
            return "log"
        special = ", a stale read" if self.stale else f", {self.values} values" if self.values else ""
        return f"{self.keys:,} {'key' if self.keys == 1 else 'keys'}{special}"


@dataclass(frozen=True, slots=True)
class Size:
    """Which histories, and how often each is judged."""

    shapes: tuple[Shape, ...]
    repetitions: int


FULL = Size(
    (
        Shape(10, 4, 1),
        Shape(100, 4, 1, 0.1),
        Shape(1_000, 8, 10, 0.1),
        Shape(10_000, 16, 100),
        Shape(10_000, 16, 100, 0.2),
        Shape(100_000, 64, 1_000, 0.2),
        Shape(5_000, 16, 1, 0.003, stale=True),
        Shape(2_000, 6, 10, 0.005, values=8),
        Shape(10_000, 16, 1, 0.1, log=True),
        Shape(100_000, 64, 1, 0.1, log=True),
    ),
    repetitions=3,
)
QUICK = Size((Shape(10, 4, 1), Shape(60, 4, 1, 0.1, stale=True), Shape(60, 4, 1, 0.1, log=True)), repetitions=1)


def run(size: Size) -> tuple[Table, ...]:
    """All shapes, one after another."""
    columns = (
        Column("history"),
        Column("operations", ",d"),
        Column("clients", "d"),
        Column("unanswered, %", ".1f"),
        Column("verdict"),
        Column("decided by"),
        Column("ms", ",.1f"),
        Column("operations/s", ",.0f"),
        Column("peak memory, MiB", ".1f"),
    )
    notes = (
        "Processor time of the whole check, the contradiction made small and told included; median. "
        "Memory is what the check allocates on top of the history.",
    )
    rows = tuple(_row(shape, size.repetitions) for shape in size.shapes)
    return (Table("histories", "Judging histories of concurrent clients", columns, rows, notes),)


def _row(shape: Shape, repetitions: int) -> tuple[Any, ...]:
    history = made(shape)
    model = LOG if shape.log else KEY_VALUE
    times = []
    for _ in range(repetitions):
        start = time.process_time()
        checked = check(history, model)
        times.append(time.process_time() - start)
    tracemalloc.start()
    check(history, model)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    spent = middle(times)
    return (
        shape.label,
        shape.operations,
        shape.clients,
        100 * shape.unanswered,
        checked.verdict.value,
        " and ".join(checked.deciders),
        1e3 * spent,
        ratio(shape.operations, spent),
        peak / 2**20,
    )


def made(shape: Shape, seed: int = 1) -> History:
    """The history of a store that works, or, with `stale`, of one that once does not."""
    store = _Store(shape, random.Random(seed))
    called = [store.call(number) for number in range(shape.operations)]
    if shape.stale:
        reads = [one for one in called if isinstance(one.operation, Get) and one.outcome is Outcome.OK and one.answer]
        old, late = reads[len(reads) // 2], reads[min(len(reads) // 2 + 40, len(reads) - 1)]
        called[late.number] = replace(late, answer=old.answer)
    if shape.log:
        return history_of(called, final=store.records, has_final=True)
    return history_of(called)


class _Store:
    """A store in memory, and clients that call it one after another, each when it is free."""

    def __init__(self, shape: Shape, rnd: random.Random) -> None:
        self._shape = shape
        self._rnd = rnd
        self._free = [0] * shape.clients
        self._moment = 0
        self._values: dict[str, str] = {}
        self.records: list[str] = []

    def call(self, number: int) -> Called:
        rnd, clients = self._rnd, self._shape.clients
        client = rnd.randrange(clients)
        begins = max(self._free[client], self._moment - rnd.randrange(clients))
        self._moment = max(self._moment + 1, begins)
        ends = self._moment + 1 + rnd.randrange(clients)
        self._free[client] = ends + 1
        unanswered = rnd.random() < self._shape.unanswered
        happens = not unanswered or rnd.random() < 0.5
        operation, answer = (self._log if self._shape.log else self._key)(number, happens)
        if unanswered:
            return Called(number, client, operation, begins)
        return Called(number, client, operation, begins, ends, Outcome.OK, answer)

    def _key(self, number: int, happens: bool) -> tuple[Any, Any]:
        key = f"k{self._rnd.randrange(self._shape.keys)}"
        if self._rnd.random() < 0.5:
            return Get(key), self._values.get(key)
        value = f"v{number % self._shape.values if self._shape.values else number}"
        if happens:
            self._values[key] = value
        return Put(key, value), None

    def _log(self, number: int, happens: bool) -> tuple[Any, Any]:
        if self._rnd.random() < 0.3:
            start = max(0, len(self.records) - 8)
            return Read(start), self.records[start:]
        position = len(self.records)
        if happens:
            self.records.append(f"r{number}")
        return Append(f"r{number}"), position
