"""How fast records become durable and are read again, beside SQLite, LMDB and the bare disk, all in one run.

Each round lets every store have its turn, so that a disk that is slow for a while is slow for all. Files are on the
disk, not in memory: where temporary directories are in memory, set `TMPDIR`.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contenders import HAS_LMDB, Contender, Sqlite, contenders
from benchmarks.table import Column, Table
from store_under_test.event_store import EventStore, NewEvent

RECORD = "x" * 200
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Size:
    """How much to measure."""

    callers: tuple[int, ...]
    rounds: int
    turn_s: float
    events: int
    native: bool = True


FULL = Size(callers=(1, 8, 64), rounds=5, turn_s=1.0, events=100_000)
QUICK = Size(callers=(1, 2), rounds=1, turn_s=0.02, events=2_000, native=False)


@dataclass(slots=True)
class Turns:
    """Appends per second of each turn, and how long each append took."""

    rates: list[float] = field(default_factory=list)
    latencies_ns: list[int] = field(default_factory=list)

    def quantile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies_ns)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e6


# --- appending ------------------------------------------------------------------------------------


def run_appends(size: Size) -> tuple[Table, ...]:
    """Durable appends of records of 200 bytes."""
    columns = (
        Column("store"),
        Column("callers", "d"),
        Column("appends per second", ",.0f"),
        Column("of the bare disk", ".0%"),
        Column("p50 ms", ",.2f"),
        Column("p99 ms", ",.2f"),
    )
    rows = [row for callers in size.callers for row in _appends(callers, size)]
    notes = [
        "Medians of the rounds. A caller waits until its record is durable. Who commits takes along what waits.",
    ]
    if not HAS_LMDB:
        notes.append("LMDB is not installed here (pip install lmdb).")
    return (Table("appends", "Durable appends", columns, tuple(rows), tuple(notes)),)


def _appends(callers: int, size: Size) -> list[tuple[object, ...]]:
    turns = {make: Turns() for make in contenders(native=size.native)}
    for _ in range(size.rounds):
        for make, found in turns.items():
            _turn(make, callers, size.turn_s, found)
    rates = {make: statistics.median(found.rates) for make, found in turns.items()}
    bare = next(iter(rates.values()))
    return [
        (make.name, callers, rates[make], rates[make] / bare, found.quantile_ms(0.5), found.quantile_ms(0.99))
        for make, found in turns.items()
    ]


def _turn(make: type[Contender], callers: int, seconds: float, found: Turns) -> None:
    directory = Path(tempfile.mkdtemp(prefix="appends-"))
    store = make(directory)
    try:
        latencies: list[list[int]] = [[] for _ in range(callers)]
        barrier = threading.Barrier(callers + 1)
        threads = [
            threading.Thread(target=_call, args=(store, seconds, own, barrier), daemon=True) for own in latencies
        ]
        for thread in threads:
            thread.start()
        barrier.wait()
        started = time.perf_counter()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - started
        found.rates.append(sum(map(len, latencies)) / elapsed)
        for own in latencies:
            found.latencies_ns += own
    finally:
        store.close()
        shutil.rmtree(directory)


def _call(store: Contender, seconds: float, latencies: list[int], barrier: threading.Barrier) -> None:
    clock = time.perf_counter_ns
    barrier.wait()
    ends = clock() + int(seconds * 1e9)
    while (before := clock()) < ends:
        store.append(RECORD)
        latencies.append(clock() - before)


# --- reading everything again ---------------------------------------------------------------------


def run_replay(size: Size) -> tuple[Table, ...]:
    """Opening a store and reading all of it, once in each round."""
    columns = (
        Column("store"),
        Column("events", ",d"),
        Column("seconds", ",.3f"),
        Column("events per second", ",.0f"),
        Column("of SQLite's time", ".2f"),
    )
    directory = Path(tempfile.mkdtemp(prefix="replay-"))
    try:
        readers = {"EventStore": _events(directory / "events", size), Sqlite.name: _table(directory / "sqlite", size)}
        seconds: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(size.rounds):
            for name, read in readers.items():
                started = time.perf_counter()
                assert read() == size.events
                seconds[name].append(time.perf_counter() - started)
    finally:
        shutil.rmtree(directory)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    base = medians[Sqlite.name]
    rows = tuple((name, size.events, taken, size.events / taken, taken / base) for name, taken in medians.items())
    notes = ("Opened, read to the end as rows or events with all their fields, checksums included in the EventStore.",)
    return (Table("replay", "Replay", columns, rows, notes),)


def _events(directory: Path, size: Size) -> Callable[[], int]:
    directory.mkdir()
    with EventStore.open(directory) as store:
        for start in range(0, size.events, BATCH):
            store.append_batch([NewEvent("record", "log", RECORD)] * min(BATCH, size.events - start))

    def read() -> int:
        with EventStore.open(directory) as again:
            return len(list(again.read()))

    return read


def _table(directory: Path, size: Size) -> Callable[[], int]:
    directory.mkdir()
    store = Sqlite(directory)
    for start in range(0, size.events, BATCH):
        store.commit([RECORD] * min(BATCH, size.events - start))
    store.close()

    def read() -> int:
        again = Sqlite(directory)
        try:
            return len(again.connection.execute("SELECT * FROM log ORDER BY sequence").fetchall())
        finally:
            again.close()

    return read
