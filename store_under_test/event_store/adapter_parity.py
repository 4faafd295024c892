"""The log with redundancy="parity", and what it promises: damage to any one block of one file is repaired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import LOG, Append, AppendMany, Compact, Contract, Read
from store_under_test.event_store.codec import encode_batch
from store_under_test.event_store.errors import EventStoreError
from store_under_test.event_store.event import NewEvent
from store_under_test.event_store.guard import ParityGuard
from store_under_test.event_store.log import Log, Options
from store_under_test.event_store.writer import Sizes

STEP_BYTES = 8192
CONTRACT = Contract(
    process_crash="acknowledged",
    power_loss="acknowledged",
    power_loss_models=("strict", "ext4", "btrfs", "ext3-ordered", "max-loss"),
    io_error="fails_cleanly",
    corruption="repaired",
    writers="threads",
    errors=(EventStoreError, OSError),
)


class EventStoreParityAdapter:
    """Small segments: short workloads seal some."""

    name = "event-store-parity"
    model = LOG
    contract = CONTRACT
    operations = (Append, AppendMany, Read, Compact)

    def open(self, directory: Path) -> Log:
        options = Options(Sizes(segment_bytes=3 * STEP_BYTES, step_bytes=STEP_BYTES))
        return Log.open(directory, options, redundancy=ParityGuard(str(directory)))

    def apply(self, store: Log, operation: object) -> Any:
        match operation:
            case Append(record):
                return store.append(encode_batch([_event(record)]))[0].sequence - 1
            case AppendMany(records):
                store.append(encode_batch([_event(record) for record in records]))
                return None
            case Read(start):
                return self.snapshot(store)[start:]
            case Compact():
                store.rotate()
                return None
        raise TypeError(f"{self.name} has no operation {type(operation).__name__}")

    def snapshot(self, store: Log) -> list[str]:
        return [event.payload for frame in store.frames() for event in frame.events]

    def close(self, store: Log) -> None:
        store.close()


def _event(record: str) -> NewEvent:
    return NewEvent(type="record", aggregate="log", payload=record)
