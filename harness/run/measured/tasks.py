"""What the measuring process does: a fresh interpreter in which nothing is patched, on a real directory.

Imported by workers; `prepare` loads the adapter as all workers do, and installs no recorder.
"""

from __future__ import annotations

import contextlib
import gc
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from harness.core.errors import UsageError
from harness.measure.closed_loop import Client, ClosedLoop, Measured, Meter, Times, Watch
from harness.measure.floor import BareDisk, Syncs, in_turn
from harness.measure.load import read_load
from harness.run.loading import load_adapter
from harness.run.measured.meter import ProcessMeter
from harness.run.recovering import text_of_error
from harness.run.worker_main import Board, Setup

#: How often a store is opened again.
OPENINGS = 5
#: Operations at most that allocations are counted over.
_COUNTED = 2_000
_FILLED_AT_ONCE = 100
_NS = 1_000_000_000


class CountingMeter(Meter, Protocol):
    """A meter that also counts descriptors, and can give free memory back to the system."""

    def settle(self) -> None: ...

    def descriptors(self) -> int: ...


@dataclass(frozen=True, slots=True)
class MeasureJob:
    """Measure `operations` of the load in `load_file`, after `warm_up` others at its beginning.

    `operation_syncs` and `opening_syncs` are what the bare disk has to make, every `disk_every` operations. About
    `seconds` are spent on operations at most, and a quarter of that on each further part. `snapshots` is how many are
    taken. What else the load has is applied until the store holds `held` operations, before it is opened again.
    `allocated` tells to count what Python objects hold.
    """

    load_file: str
    operations: int
    warm_up: int
    disk_every: int
    seconds: float
    operation_syncs: tuple[Syncs, ...] = ()
    opening_syncs: tuple[Syncs, ...] = ()
    snapshots: int = 0
    held: int = 0
    allocated: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """What the measuring process has. `misuse`: why the adapter can't be loaded here."""

    adapter: Any
    directory: Path
    misuse: str = ""


def prepare(setup: Setup) -> Context:
    try:
        adapter, misuse = load_adapter(setup.adapter), ""
    except UsageError as error:
        adapter, misuse = None, str(error)
    return Context(adapter, Path(setup.directory), misuse)


def measure(context: Context, job: MeasureJob, board: Board) -> Measured:
    if context.misuse:
        return Measured(trouble=f"the adapter can't be loaded in the measuring process: {context.misuse}")
    with contextlib.closing(ProcessMeter()) as meter:
        return Measurement(context.adapter, context.directory, job, meter, board).run()


class _StoreFailed(Exception):
    """The store raised, and nothing more can be measured."""


class Measurement:
    """One measurement of one store."""

    def __init__(
        self, adapter: Any, directory: Path, job: MeasureJob, meter: CountingMeter, watch: Watch
    ) -> None:
        self.adapter_class = adapter
        self.directory = directory
        self.job = job
        self.meter = meter
        self.client = Client(meter, watch)
        self.measured = Measured()

    def run(self) -> Measured:
        started = time.perf_counter()
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            self._run()
        except _StoreFailed as error:
            self.measured.trouble = str(error)
        self.measured.seconds = time.perf_counter() - started
        return self.measured

    def _run(self) -> None:
        job, home = self.job, self._folder("store")
        before = self.meter.descriptors()
        load = read_load(job.load_file)
        adapter, store = self._opened(home)
        self.client.apply(adapter, store, islice(load, job.warm_up))
        self._loop(adapter, store, islice(load, job.operations))
        sampled = self.measured.sampled
        if sampled.errors:
            with contextlib.suppress(_StoreFailed):
                self._called(None, "close", lambda: adapter.close(store))
            raise _StoreFailed(f"operations failed without any fault: {sampled.first_error}")
        self._snapshots(adapter, store)
        self.measured.descriptors = self.meter.descriptors() - before - 1  # the load's
        self._fill(adapter, store, load)
        self._called(None, "close", lambda: adapter.close(store))
        self._reopen(home)
        if job.allocated:
            self.measured.allocated = self._allocated()

    def _folder(self, name: str) -> Path:
        folder = self.directory / name
        folder.mkdir()
        return folder

    def _opened(self, home: Path, times: Times | None = None) -> tuple[Any, Any]:
        adapter = self.adapter_class()
        return adapter, self._called(times, "open", lambda: adapter.open(home))

    def _called(self, times: Times | None, phase: str, call: Callable[[], Any]) -> Any:
        """Make a call into the store. Raises `_StoreFailed` if it raises."""
        try:
            return self.client.timed(times, phase, call)
        except BaseException as error:  # SystemExit too
            raise _StoreFailed(f"{phase} failed without any fault: {text_of_error(error)}") from None

    def _loop(self, adapter: Any, store: Any, load: Iterable[Any]) -> None:
        gc.collect()
        self.meter.settle()
        gc.freeze()  # ours is not walked through again and again
        with self._bare("bare", self.job.operation_syncs) as bare:
            job, most_ns = self.job, int(self.job.seconds * _NS)
            loop = ClosedLoop(self.client, adapter, store, job.operations, job.disk_every, bare, most_ns)
            self.measured.sampled = loop.run(load)
        gc.unfreeze()

    @contextlib.contextmanager
    def _bare(self, name: str, patterns: tuple[Syncs, ...]) -> Iterator[Callable[[], None] | None]:
        """What makes the next of these syncs on the bare disk; `None` where there are none."""
        turns = in_turn(patterns)
        if not any(patterns):
            yield None
            return
        with BareDisk(self.directory / name) as disk:
            yield lambda: disk.make(next(turns))

    def _snapshots(self, adapter: Any, store: Any) -> None:
        ends = self._later()
        for _ in range(self.job.snapshots):
            self._called(self.measured.snapshots, "snapshot", lambda: adapter.snapshot(store))
            if self.meter.now_ns() > ends:
                return

    def _later(self) -> int:
        return self.meter.now_ns() + int(self.job.seconds / 4 * _NS)

    def _fill(self, adapter: Any, store: Any, load: Iterator[Any]) -> None:
        """Apply what the load has for it, until the store holds as many operations as a limit asks for."""
        self.measured.held = self.job.warm_up + self.measured.sampled.done
        ends = self._later()
        while self.measured.held < self.job.held and self.meter.now_ns() < ends:
            more = min(_FILLED_AT_ONCE, self.job.held - self.measured.held)
            done = self.client.apply(adapter, store, islice(load, more))
            self.measured.held += done
            if not done:
                return

    def _reopen(self, home: Path) -> None:
        measured = self.measured
        measured.openings, measured.replays, measured.opening_disk = (Times(OPENINGS) for _ in range(3))
        with self._bare("bare-opening", self.job.opening_syncs) as bare:
            for _ in range(OPENINGS):
                self._open_and_read(home)
                if bare is not None:
                    self.client.timed(measured.opening_disk, "bare disk", bare)

    def _open_and_read(self, home: Path) -> None:
        measured, reading = self.measured, Times(1)
        adapter, store = self._opened(home, measured.openings)
        self._called(reading, "snapshot", lambda: adapter.snapshot(store))
        measured.replays.add(*map(sum, zip(measured.openings.last, reading.last, strict=True)))
        self._called(None, "close", lambda: adapter.close(store))

    def _allocated(self) -> float:
        """What Python objects hold for each operation, in a store of its own: counting makes everything slower."""
        load = read_load(self.job.load_file)
        tracemalloc.start()
        try:
            adapter, store = self._opened(self._folder("counted"))
            self.client.apply(adapter, store, islice(load, self.job.warm_up))
            before = _held_bytes()
            count = self.client.apply(adapter, store, islice(load, min(self.job.operations, _COUNTED)))
            gained = _held_bytes() - before
            self._called(None, "close", lambda: adapter.close(store))
        finally:
            tracemalloc.stop()
        return gained / max(1, count)


def _held_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
