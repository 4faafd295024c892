"""Stores with limits. Those that take time take it from a clock that stands still otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import LOG, Append, Contract, Limit, Read
from tests.unit.measure.clocks import VirtualMeter

#: The clock of stores whose cost is virtual; whoever measures them in this process reads it too.
METER = VirtualMeter()


class Kept:
    """Records in a file, one a line, and in memory; it promises nothing about crashes but an order."""

    name = "kept"
    model = LOG
    operations = (Append, Read)
    contract = Contract(process_crash="prefix", power_loss=None, io_error=None, corruption=None)
    limits: tuple[Limit, ...] = (
        Limit("descriptors", at_most=1),
        Limit("allocated_bytes_per_operation", at_most=1_000_000),
        Limit("replay_s", at_most=3_600, operations=400),
    )

    def measured_operations(self, source: Any, count: int) -> list[Any]:
        return [Read(0) if number % 10 == 9 else Append(f"record {source.random()}") for number in range(count)]

    def open(self, directory: Path) -> Any:
        return open(directory / "records", "a+b", buffering=0)

    def apply(self, store: Any, operation: Any) -> Any:
        if isinstance(operation, Read):
            return self.snapshot(store)[operation.start :]
        store.write(operation.record.encode() + b"\n")
        return None

    def snapshot(self, store: Any) -> list[str]:
        store.seek(0)
        return [line.decode() for line in store.read().splitlines()]

    def close(self, store: Any) -> None:
        store.close()


class Steady(Kept):
    """1 ms for an operation."""

    name = "steady"
    limits = (Limit("apply_p99_ms", at_most=10), Limit("throughput_per_s", at_least=500))

    def apply(self, store: Any, operation: Any) -> Any:
        METER.pass_ms(1)
        return super().apply(store, operation)


class NowAndThen(Steady):
    """20 ms more in 2 % of its operations."""

    name = "now-and-then"

    def __init__(self) -> None:
        self.done = 0

    def apply(self, store: Any, operation: Any) -> Any:
        self.done += 1
        METER.pass_ms(20 if self.done % 50 == 25 else 0)
        return super().apply(store, operation)


class Failing(Kept):
    """Fails when it is measured, with the hundredth record."""

    name = "failing"

    def __init__(self) -> None:
        self.done = 0

    def apply(self, store: Any, operation: Any) -> Any:
        self.done += 1
        if self.done > 100:
            raise OSError("too much")
        return super().apply(store, operation)


class Unreadable(Kept):
    """Cannot be opened again once it holds a hundred records."""

    name = "unreadable"

    def open(self, directory: Path) -> Any:
        store = super().open(directory)
        if len(self.snapshot(store)) > 100:
            store.close()
            raise ValueError("too many records")
        return store
