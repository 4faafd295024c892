"""Crowds on one store: do all calls take effect, how long does one wait, and who is overtaken?

    python -m benchmarks.stress --threads 10000
    python -m benchmarks.stress --processes 32
    python -m benchmarks.stress --tasks 500

Threads share one handle of a MetricsStore (a read-modify-write that is durable) or one circuit breaker; processes open
one MetricsStore, or write one structured log; tasks of asyncio share an EventStore, a MetricsStore or a breaker. No
call ends before all have begun theirs. Afterwards what is stored, or counted, has to add up to the calls: a lost
update, or a record that is not whole, ends the run. *Overtaken* is how many calls that came later were served before
one, at the most: 0 in a fair line.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import stressed_processes, stressed_tasks, stressed_threads
from benchmarks.stressed import Stressed, table
from benchmarks.table import as_text

#: What is measured where nothing is asked for: how many of each, and the calls of each.
USUAL = {"threads": (10_000, 1), "processes": (32, 20), "tasks": (500, 5)}


def threads(directory: Path, count: int, calls: int) -> Iterator[Stressed]:
    """The stores that threads share."""
    yield stressed_threads.on_metrics_store(directory, count, calls)
    yield stressed_threads.on_breaker(count, calls)


def processes(directory: Path, count: int, calls: int) -> Iterator[Stressed]:
    """The stores that processes share."""
    yield stressed_processes.on_metrics_store(directory, count, calls)
    yield stressed_processes.on_log(directory, count, calls)


def tasks(directory: Path, count: int, calls: int) -> Iterator[Stressed]:
    """The stores that tasks share."""
    yield stressed_tasks.on_event_store(directory, count, calls)
    yield stressed_tasks.on_metrics_store(directory, count, calls)
    yield stressed_tasks.on_breaker(count, calls)


CROWDS: dict[str, Callable[[Path, int, int], Iterator[Stressed]]] = {
    "threads": threads,
    "processes": processes,
    "tasks": tasks,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stress", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for name, (count, calls) in USUAL.items():
        parser.add_argument(f"--{name}", type=int, metavar="N", help=f"so many, of {calls} calls ({count})")
    parser.add_argument("--calls", type=int, metavar="N", help="so many of each instead")
    parser.add_argument("--directory", type=Path, help="where the stores stand (a temporary directory)")
    given = parser.parse_args(arguments)
    wanted = {name: getattr(given, name) for name in CROWDS if getattr(given, name) is not None}
    wanted = wanted or {name: count for name, (count, _) in USUAL.items()}
    if min(1 if given.calls is None else given.calls, *wanted.values()) < 1:
        parser.error("there is nothing to do: all numbers are 1 or more")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=given.directory) as directory:
        made = (CROWDS[name](Path(directory), count, given.calls or USUAL[name][1]) for name, count in wanted.items())
        print(as_text(table([found for crowd in made for found in crowd], load)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
