"""The event log under load that does not wait: agent sessions, appended in batches by many callers, for a while.

    python -m benchmarks.sustained --rate 10000 --seconds 600 --callers 16 --batch 10

Another process makes the sessions (store_under_test.event_store.sessions) and when each batch is due: when its last
event is. This one takes batch after batch, each with a caller that is free, at that time or as soon as one is. *Wait*,
*service* and *response* are told apart, and the generator's lateness, as in `harness.measure.openloop`. Memory growth
is the slope over the second half of the run, as in `harness.measure.growth`.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

from benchmarks.measuring import ratio
from benchmarks.sustained_load import Due, events_of, next_of
from benchmarks.table import Column, Table, as_text
from harness.measure.arrivals import Arrival
from harness.measure.enduring import growth
from harness.measure.growth import Slope
from harness.measure.latencies import Latencies, require_library
from harness.measure.openloop import RealClock, RunClock, Sample, run_open_loop, unfit
from harness.measure.windows import Held, Window
from store_under_test.event_store import EventStore
from store_under_test.event_store.event import MAX_BATCH_EVENTS

#: The smallest limit on a latency that the store is certified for, in ms: lateness is held against it.
LIMIT_MS = 10.0
SAMPLES = 200
#: The run as so many parts, of which the slowest is told.
PARTS = 10


@dataclass(frozen=True, slots=True)
class Load:
    """`rate` events per second for `seconds`, in batches of `batch`, from `callers` threads."""

    rate: float
    seconds: float
    callers: int
    batch: int
    seed: int = 0


@dataclass(slots=True)
class Sustained:
    """What a run measured."""

    load: Load
    window: Window = field(default_factory=lambda: Window(0))
    held: list[Held] = field(default_factory=list)
    at_ns: list[int] = field(default_factory=list)
    aggregates: int = 0
    processor_s: float = 0.0

    def note(self, sample: Sample) -> None:
        """Count a batch. Not for several threads at once."""
        self.window.note(sample, open_loop=True)
        if sample.started:
            self.window.lasted_ns = max(self.window.lasted_ns, sample.ended_ns)

    def hold(self, now_ns: int) -> None:
        """Remember how much was done by now, and how much memory is taken."""
        self.held.append(Held(0, self.window.operations, psutil.Process().memory_info().rss))
        self.at_ns.append(now_ns)

    def rates(self) -> list[float]:
        """Events per second in each of the `PARTS` of the run."""
        edges = [round(part * (len(self.held) - 1) / PARTS) for part in range(PARTS + 1)]
        return [self._rate(start, end) for start, end in itertools.pairwise(edges) if end > start]

    def _rate(self, start: int, end: int) -> float:
        done = self.load.batch * (self.held[end].done - self.held[start].done)
        return done / (self.at_ns[end] - self.at_ns[start]) * 1e9


# --- the load -------------------------------------------------------------------------------------


class Source:
    """What is due, in the order of time; any thread may ask for the next."""

    def __init__(self, stream: IO[bytes], until_ns: int) -> None:
        self._stream = stream
        self._until_ns = until_ns
        self._lock = threading.Lock()
        self.stopped = False

    def __iter__(self) -> Iterator[Arrival]:
        return self

    def __next__(self) -> Arrival:
        with self._lock:
            if self.stopped:
                raise StopIteration
            at_ns, plain = next_of(self._stream)
        if at_ns >= self._until_ns:
            raise StopIteration
        return Due(at_ns, 0, events_of(plain))


@contextlib.contextmanager
def _source(load: Load) -> Iterator[Source]:
    """The load, from a process of its own that is a pipe ahead."""
    command = [sys.executable, "-m", "benchmarks.sustained_load", str(load.seed), str(load.rate), str(load.batch)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            process.stdout.peek(1)  # type: ignore[attr-defined]  # it is a BufferedReader: the first batch is made
            yield Source(process.stdout, round(load.seconds * 1e9))
        finally:
            process.kill()


# --- the run --------------------------------------------------------------------------------------


def run(directory: Path, load: Load) -> Sustained:
    """Append the load to a new log in `directory`."""
    found, guard = Sustained(load), threading.Lock()
    with EventStore.open(directory) as store, _source(load) as source:
        clock, used_s = RunClock(RealClock()), time.process_time()
        callers = [_Caller(store, source, clock, load, found, guard) for _ in range(load.callers)]
        for caller in callers:
            caller.start()
        _watch(callers, found, clock, guard)
        found.processor_s = time.process_time() - used_s
        found.aggregates = len(store.views.state.versions)
    errors = [caller.error for caller in callers if caller.error is not None]
    if errors:
        raise errors[0]
    return found


def _watch(callers: Sequence[_Caller], found: Sustained, clock: RunClock, guard: threading.Lock) -> None:
    """Take `SAMPLES` readings, evenly spread, until all callers have ended; fewer, if one has failed."""
    end_ns = found.load.seconds * 1e9
    for number in range(SAMPLES + 1):
        clock.sleep_until_ns(round(number * end_ns / SAMPLES))
        if any(caller.error for caller in callers):
            break
        with guard:
            found.hold(clock.now_ns())
    for caller in callers:
        caller.join()
    found.window.lasted_ns = max(found.window.lasted_ns, *found.at_ns, 1)


class _Caller(threading.Thread):
    """One caller: appends what is due whenever it is free."""

    def __init__(
        self, store: EventStore, source: Source, clock: RunClock, load: Load, found: Sustained, guard: threading.Lock
    ) -> None:
        super().__init__(daemon=True)
        self.error: Exception | None = None
        self._store, self._source, self._clock = store, source, clock
        self._load, self._found, self._guard = load, found, guard

    def run(self) -> None:
        began_ns = time.thread_time_ns()
        try:
            run_open_loop(self._source, self._append, self._clock, self._note, round(self._load.seconds * 1e9))
        except Exception as error:
            self.error = error
            self._source.stopped = True
        with self._guard:
            self._found.window.generator_cpu_ns += time.thread_time_ns() - began_ns

    def _append(self, arrival: Arrival) -> None:
        assert isinstance(arrival, Due)
        self._store.append_batch(arrival.events)

    def _note(self, sample: Sample) -> None:
        with self._guard:
            self._found.note(sample)
            self._found.window.generator_cpu_ns -= sample.store_cpu_ns


# --- the figures ----------------------------------------------------------------------------------


def tables(found: Sustained) -> tuple[Table, Table]:
    """What was reached, and how long batches took."""
    return _reached(found), _latencies(found)


def _latencies(found: Sustained) -> Table:
    window = found.window
    kinds = {
        "wait (due until begun)": window.wait,
        "service (in the store)": window.service,
        "response (due until durable)": window.response,
        "lateness (of the generator)": window.lateness,
    }
    shares = (50.0, 95.0, 99.0, 99.9)
    figures = (Column(f"p{share:g}", ",.2f") for share in shares)
    columns = (Column("a batch of events, ms"), *figures, Column("max", ",.2f"))
    rows = tuple((name, *(times.at_ms(share) for share in shares), _max_ms(times)) for name, times in kinds.items())
    notes = (
        f"Batches of {found.load.batch}, {found.load.callers} callers. A dash: fewer than ten batches lie beyond it.",
        fitness(window),
    )
    return Table("latency", "Open loop: how long a batch takes", columns, rows, notes)


def fitness(window: Window) -> str:
    """Whether the generator gave its load in time, in a sentence."""
    late_ms = window.lateness.at_ms(99.0)
    why_not = unfit(lateness_p99_ms=late_ms, cpu_share=window.cpu_share, smallest_bound_ms=LIMIT_MS)
    if late_ms is None:
        why_not = why_not or "fewer than 1,000 batches tell too little of the generator"
    return f"Unfit to judge latencies: {why_not}." if why_not else "The generator was in time."


def _max_ms(times: Latencies) -> float | None:
    return times.max_ms if times.count else None


def _reached(found: Sustained) -> Table:
    window, rates, grown = found.window, found.rates(), growth(found.held)
    columns = (Column("what"), Column("asked for", ",.0f"), Column("reached", ",.1f"))
    rows: list[tuple[object, ...]] = [
        ("events per second, whole run", found.load.rate, found.load.batch * window.throughput_per_s),
        (f"events per second, slowest {PARTS}th part", None, min(rates, default=math.nan)),
        ("processor time for an event, us", None, ratio(1e6 * found.processor_s, found.load.batch * window.operations)),
        ("batches due and never begun", None, window.unstarted),
        ("memory at the end, MiB", None, found.held[-1].resident_bytes / 2**20),
        ("memory gained for an event, bytes", None, grown and grown.estimate / found.load.batch),
    ]
    notes = [f"{found.load.batch * window.operations:,} events of {found.aggregates:,} aggregates."]
    notes += [] if grown is None else [_interval(grown, found.load.batch)]
    notes.append(f"The generator used {window.cpu_share:.0%} of a core here, beside its process that makes the load.")
    return Table("sustained", "Load that does not wait", columns, tuple(rows), tuple(notes))


def _interval(grown: Slope, batch: int) -> str:
    low, high = grown.low / batch, grown.high / batch
    return f"Memory gained for an event lies between {low:,.1f} and {high:,.1f} bytes (95 %), in the second half."


# --- the command line -----------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and print the tables. Returns the exit status."""
    load, base = _options(arguments)
    require_library()
    directory = Path(tempfile.mkdtemp(prefix="sustained-", dir=base))
    try:
        for found in tables(run(directory, load)):
            print(as_text(found))
    finally:
        shutil.rmtree(directory)
    return 0


def _options(arguments: Sequence[str] | None) -> tuple[Load, Path | None]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sustained", description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=10_000.0, metavar="R", help="events per second (10,000)")
    parser.add_argument("--seconds", type=float, default=600.0, metavar="S", help="how long (600)")
    parser.add_argument("--callers", type=int, default=16, metavar="N", help="threads (16)")
    parser.add_argument("--batch", type=int, default=10, metavar="N", help="events that are appended at once (10)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the sessions (0)")
    parser.add_argument("--directory", type=Path, metavar="DIR", help="keep the log below this one meanwhile")
    made: Any = parser.parse_args(arguments)
    for name, most in (("rate", 1e9), ("seconds", 1e9), ("callers", 1000), ("batch", MAX_BATCH_EVENTS)):
        if not 0 < getattr(made, name) <= most:
            parser.error(f"--{name} {getattr(made, name):g} makes no load: say more than 0 and at most {most:,.0f}")
    if made.directory is not None and not made.directory.is_dir():
        parser.error(f"--directory {made.directory} is no directory: make it first, or name another")
    return Load(made.rate, made.seconds, made.callers, made.batch, made.seed), made.directory


if __name__ == "__main__":
    raise SystemExit(main())
