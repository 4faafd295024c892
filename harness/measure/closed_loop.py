"""The closed loop: one client that asks for the next operation when the last one has returned.

What it takes is a service time. It says how fast a store is when nobody queues, and must not be read as the latency of
requests that arrive on their own: a slow operation keeps this client from asking (coordinated omission; Tene, "How NOT
to Measure Latency"). The clock, and who watches for hangs, come from outside.

Of each operation three times are kept, in nanoseconds: how long it took, how long its thread could run meanwhile and
was not let (the kernel's run delay), and how much processor time it used.
"""

from __future__ import annotations

import contextlib
import gc
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from harness.core.errors import Unsupported
from harness.core.operations import READS, describe, for_store

#: How often memory is looked at in a run.
_LOOKS = 200


class Meter(Protocol):
    """The clocks of a process, in nanoseconds, and its size. All but `now_ns` may stand still where nobody knows."""

    def now_ns(self) -> int: ...

    def waited_ns(self) -> int:
        """How long this thread has been ready to run, and was not let."""

    def processor_ns(self) -> int:
        """How much processor time this thread has used."""

    def resident_bytes(self) -> int:
        """How much memory of the process is in memory."""


class Watch(Protocol):
    """Who is told that a call into the store begins and has ended."""

    def enter(self, unit: int, phase: str) -> None: ...

    def leave(self) -> None: ...


class Times:
    """How long each of several calls took: service, run delay and processor time, in nanoseconds, index by index.

    Room for `capacity` of them is taken at once, so that it does not look like memory of the store.
    """

    __slots__ = ("_count", "_rows")

    def __init__(self, capacity: int = 0) -> None:
        self._rows = array("q", bytes(8 * 3 * capacity))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, service: int, waited: int = 0, processor: int = 0) -> None:
        place = 3 * self._count
        self._rows[place : place + 3] = array("q", (service, waited, processor))
        self._count += 1

    @property
    def service(self) -> list[int]:
        return self._column(0)

    @property
    def waited(self) -> list[int]:
        return self._column(1)

    @property
    def processor(self) -> list[int]:
        return self._column(2)

    @property
    def steady(self) -> list[int]:
        """The service times without what the thread waited for a processor."""
        return [max(0, took - waited) for took, waited in zip(self.service, self.waited, strict=True)]

    @property
    def last(self) -> tuple[int, int, int]:
        """The three times of the last call."""
        service, waited, processor = self._rows[3 * self._count - 3 : 3 * self._count]
        return service, waited, processor

    def _column(self, number: int) -> list[int]:
        return self._rows[number : 3 * self._count : 3].tolist()


@dataclass(slots=True)
class Sampled:
    """What one run over a store gave. `disk` are the times of the bare syncs of one operation."""

    apply: Times = field(default_factory=Times)
    read: Times = field(default_factory=Times)
    disk: Times = field(default_factory=Times)
    places: array[int] = field(default_factory=lambda: array("q"))
    resident: array[int] = field(default_factory=lambda: array("q"))
    unsupported: int = 0
    errors: int = 0
    first_error: str = ""
    complete: bool = True

    @property
    def done(self) -> int:
        """How many operations of the load were tried."""
        return len(self.apply) + len(self.read) + self.unsupported + self.errors


@dataclass(slots=True)
class Measured:
    """All that one measurement gave. `trouble` says why it gave nothing, in words that are the same twice.

    `held` is how many operations the store held when it was opened again, `allocated` bytes that Python objects hold
    for each operation, `opening_disk` what the bare disk took for the syncs of an opening.
    """

    sampled: Sampled = field(default_factory=Sampled)
    snapshots: Times = field(default_factory=Times)
    openings: Times = field(default_factory=Times)
    replays: Times = field(default_factory=Times)
    opening_disk: Times = field(default_factory=Times)
    held: int = 0
    allocated: float | None = None
    descriptors: int | None = None
    trouble: str = ""
    seconds: float = 0.0


class Client:
    """Drives a store with clocks and a watch."""

    def __init__(self, meter: Meter, watch: Watch) -> None:
        self.meter = meter
        self.watch = watch

    def timed(self, times: Times | None, phase: str, call: Callable[[], Any], unit: int = 0) -> Any:
        """Make a call into the store, and keep how long it took in `times`, if it returns."""
        meter = self.meter
        self.watch.enter(unit, phase)
        try:
            waited, processor, start = meter.waited_ns(), meter.processor_ns(), meter.now_ns()
            result = call()
            service = meter.now_ns() - start
            used, delayed = meter.processor_ns() - processor, meter.waited_ns() - waited
        finally:
            self.watch.leave()
        if times is not None:
            times.add(service, delayed, used)
        return result

    def apply(self, adapter: Any, store: Any, load: Iterable[Any]) -> int:
        """Apply operations without keeping any time; how many there were."""
        number = -1
        for number, operation in enumerate(load):
            with contextlib.suppress(BaseException):
                self.timed(None, "apply", partial(adapter.apply, store, for_store(operation)), number)
        return number + 1


@dataclass(slots=True)
class ClosedLoop:
    """Applies `count` operations to an open store. Every `disk_every` of them `bare` makes the syncs of one.

    It ends early once `most_ns` have passed; what was measured until then counts, and `complete` is false.
    """

    client: Client
    adapter: Any
    store: Any
    count: int
    disk_every: int
    bare: Callable[[], None] | None
    most_ns: int
    sampled: Sampled = field(default_factory=Sampled)

    def run(self, load: Iterable[Any]) -> Sampled:
        sampled, meter = self.sampled, self.client.meter
        sampled.apply, sampled.read, sampled.disk = (Times(self.count) for _ in range(3))
        ends = meter.now_ns() + self.most_ns
        distance = max(1, self.count // _LOOKS)
        gc.collect()
        for number, operation in enumerate(load):
            if number % distance == 0:
                self._look(number)
            self._operation(number, operation)
            if self.bare is not None and number % self.disk_every == 0:
                self.client.timed(sampled.disk, "bare disk", self.bare)
            if meter.now_ns() > ends:
                sampled.complete = number + 1 == self.count
                break
        self._look(sampled.done)
        return sampled

    def _look(self, number: int) -> None:
        self.sampled.places.append(number)
        self.sampled.resident.append(self.client.meter.resident_bytes())

    def _operation(self, number: int, operation: Any) -> None:
        times = self.sampled.read if isinstance(operation, READS) else self.sampled.apply
        try:
            self.client.timed(times, "apply", partial(self.adapter.apply, self.store, for_store(operation)), number)
        except Unsupported:
            self.sampled.unsupported += 1
        except BaseException as error:  # SystemExit too
            self.sampled.errors += 1
            text = f"{describe(operation)} raised {type(error).__name__}: {error}"
            self.sampled.first_error = self.sampled.first_error or text

