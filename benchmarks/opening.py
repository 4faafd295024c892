"""How opening an event log grows with its length: time, and peak resident memory.

    python -m benchmarks.opening --events 10000000

Logs of a hundredth, a tenth and all of so many small events (1,000 aggregates, batches of 1,000) are built, compacted
and closed, so that snapshot and indexes are there; each is then opened in fresh processes. "cold": its files were
dropped from the page cache before, as far as the kernel does that; "warm": once more right after. Ten million
events take about a GB below `--directory`, or the temporary directory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import middle, ratio, slope
from benchmarks.opened import Opened
from benchmarks.table import Column, Table, as_text
from store_under_test.event_store import EventStore, NewEvent

AGGREGATES = 1000
BATCH = 1000
REPETITIONS = 3
PARTS = (100, 10, 1)


@dataclass(frozen=True, slots=True)
class Built:
    """A log: how many events, how long building it took, how large it is, and its openings."""

    events: int
    built_s: float
    disk_bytes: int
    cold: tuple[Opened, ...]
    warm: tuple[Opened, ...]


def build(directory: Path, events: int) -> None:
    """A log of `events` small events in `directory`, compacted and closed."""
    with EventStore.open(directory) as store:
        for start in range(0, events, BATCH):
            store.append_batch([_event(number) for number in range(start, min(start + BATCH, events))])
        store.compact()


def _event(number: int) -> NewEvent:
    return NewEvent("counted", f"aggregate-{number % AGGREGATES:04}", number, timestamp=float(number))


def measured(directory: Path, events: int, repetitions: int) -> Built:
    """Build a log and open it `repetitions` times, cold and warm."""
    started = time.perf_counter()
    build(directory, events)
    built_s = time.perf_counter() - started
    found: list[tuple[Opened, Opened]] = []
    for _ in range(repetitions):
        _drop_from_cache(directory)
        found.append((_opened_afresh(directory, events), _opened_afresh(directory, events)))
    cold, warm = zip(*found, strict=True)
    return Built(events, built_s, sum(path.stat().st_size for path in directory.iterdir()), cold, warm)


def _opened_afresh(directory: Path, events: int) -> Opened:
    command = [sys.executable, "-m", "benchmarks.opened", str(directory)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = Opened(**json.loads(done.stdout))
    if found.events != events:
        raise RuntimeError(f"of {events} events the log opens with {found.events}")
    return found


def _drop_from_cache(directory: Path) -> None:
    """Ask the kernel to forget the pages of all files; they have been synced. Nothing where it can't be asked."""
    for path in directory.iterdir() if hasattr(os, "posix_fadvise") else ():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def table(logs: Sequence[Built]) -> Table:
    """Times and memory for each log, beside those of the smallest one."""
    columns = (
        Column("events"),
        Column("on disk, MiB", ",.0f"),
        Column("built, s", ",.1f"),
        Column("opened cold, s", ".3f"),
        Column("warm, s", ".3f"),
        Column("time / first", ".2f"),
        Column("peak, MiB", ",.1f"),
        Column("opening alone, MiB", ",.1f"),
        Column("memory / first", ".2f"),
        Column("first query, ms", ",.1f"),
    )
    times, peaks = [_warm_s(log) for log in logs], [_gained(log) for log in logs]
    sizes = [float(log.events) for log in logs]
    notes = (
        f"Medians of {len(logs[0].warm)} openings in processes of their own. {AGGREGATES:,} aggregates.",
        f"Slope over the number of events, both logarithmic: time {slope(sizes, times):.2f}, "
        f"memory of the opening alone {slope(sizes, peaks):.2f} (0: does not grow, 1: linear).",
        "The first query asks for at most 1,000 events of one aggregate, cold.",
    )
    return Table("opening", "Opening a log of N events", columns, tuple(_rows(logs)), notes)


def _rows(logs: Sequence[Built]) -> Iterator[tuple[object, ...]]:
    for log in logs:
        yield (
            f"{log.events:,}",
            log.disk_bytes / 2**20,
            log.built_s,
            middle([opened.open_s for opened in log.cold]),
            _warm_s(log),
            ratio(_warm_s(log), _warm_s(logs[0])),
            middle([opened.peak_bytes for opened in log.warm]) / 2**20,
            _gained(log) / 2**20,
            ratio(_gained(log), _gained(logs[0])),
            1e3 * middle([opened.query_s for opened in log.cold]),
        )


def _warm_s(log: Built) -> float:
    return middle([opened.open_s for opened in log.warm])


def _gained(log: Built) -> float:
    return middle([opened.peak_bytes - opened.before_bytes for opened in log.warm])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.opening", description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000_000, metavar="N", help="in the largest log (10,000,000)")
    parser.add_argument("--directory", type=Path, metavar="DIR", help="build the logs below this one")
    options = parser.parse_args(arguments)
    if options.events < max(PARTS):
        parser.error(f"--events {options.events} leaves the smallest log empty: say {max(PARTS)} or more")
    if options.directory is not None and not options.directory.is_dir():
        parser.error(f"--directory {options.directory} is no directory: make it first, or name another")
    logs = []
    for part in PARTS:
        print(f"opening: {options.events // part:,} events ...", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="opening-", dir=options.directory) as directory:
            logs.append(measured(Path(directory), options.events // part, REPETITIONS))
    print(as_text(table(logs)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
