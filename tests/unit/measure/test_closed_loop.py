"""The closed loop, with clocks that stand still unless the store lets time pass."""

from __future__ import annotations

from typing import Any

from harness import Append, Read, Unsupported
from harness.measure.closed_loop import Client, ClosedLoop, Sampled, Times
from tests.unit.measure.clocks import Diary, VirtualMeter
from tests.unit.measure.samples import MS


class Store:
    """Takes 2 ms of work for a record and 1 ms for a read, and waits 3 ms for a processor at "busy"."""

    def __init__(self, meter: VirtualMeter) -> None:
        self.meter = meter

    def apply(self, store: Any, operation: Any) -> None:
        if operation == Append("odd"):
            raise Unsupported("no")
        if operation == Append("bad"):
            raise SystemExit("broken")
        self.meter.pass_ms(1 if isinstance(operation, Read) else 2, working=True)
        if operation == Append("busy"):
            self.meter.pass_ms(3, waiting=True)
        self.meter.resident += 1_000


def run(*operations: Any, disk_every: int = 1, disk_ms: float = 0.0, most_ms: int = 10_000) -> tuple[Sampled, Diary]:
    meter, diary = VirtualMeter(), Diary()
    bare = (lambda: meter.pass_ms(disk_ms)) if disk_ms else None
    client = Client(meter, diary)
    loop = ClosedLoop(client, Store(meter), None, len(operations), disk_every, bare, most_ms * MS)
    return loop.run(operations), diary


def test_each_call_has_its_times() -> None:
    """How long it took, what it waited for a processor, what it used of one; reads apart."""
    sampled, diary = run(Append("a"), Read(0), Append("busy"))

    assert sampled.apply.service == [2 * MS, 5 * MS] and sampled.read.service == [MS]
    assert sampled.apply.waited == [0, 3 * MS] and sampled.apply.processor == [2 * MS, 2 * MS]
    assert sampled.apply.steady == [2 * MS, 2 * MS]
    assert sampled.done == 3 and sampled.complete
    assert diary.calls == [(0, "apply"), (1, "apply"), (2, "apply")] and not diary.inside


def test_the_disk_is_asked_between_the_operations() -> None:
    """What it takes is no time of the store's."""
    sampled, diary = run(*(Append(str(number)) for number in range(6)), disk_every=3, disk_ms=4)

    assert sampled.disk.service == [4 * MS] * 2 and sampled.apply.service == [2 * MS] * 6
    assert [phase for _, phase in diary.calls].count("bare disk") == 2


def test_what_the_store_refuses_is_no_sample() -> None:
    """An unsupported operation is counted; one that fails is too, with the first error, whatever it raises."""
    sampled, diary = run(Append("a"), Append("odd"), Append("bad"), Append("bad"))

    assert len(sampled.apply) == 1 and sampled.unsupported == 1 and sampled.errors == 2 and sampled.done == 4
    assert sampled.first_error == "Append('bad') raised SystemExit: broken" and not diary.inside


def test_memory_is_looked_at_along_the_way() -> None:
    """And at the end; at most some 200 times."""
    sampled, _ = run(*(Append(str(number)) for number in range(1_000)))

    assert list(sampled.places) == [*range(0, 1_000, 5), 1_000]
    assert sampled.resident[-1] - sampled.resident[0] == 1_000 * 1_000


def test_it_ends_early_when_time_is_up() -> None:
    """What was measured until then counts, and is not called complete."""
    sampled, _ = run(*(Append(str(number)) for number in range(100)), most_ms=9)

    assert len(sampled.apply) == 5 and not sampled.complete and sampled.places[-1] == 5


def test_an_empty_load_gives_nothing() -> None:
    """And no error."""
    sampled, _ = run()

    assert sampled.done == 0 and sampled.complete and list(sampled.places) == [0]


def test_times_know_the_last_call() -> None:
    """For parts of a call that are added up."""
    times = Times(1)
    times.add(3, 2, 1)

    assert times.last == (3, 2, 1) and len(times) == 1


def test_operations_that_are_not_timed() -> None:
    """A warm-up goes on over what a store refuses."""
    meter = VirtualMeter()

    assert Client(meter, Diary()).apply(Store(meter), None, [Append("bad"), Append("a")]) == 2
    assert meter.now == 2 * MS
