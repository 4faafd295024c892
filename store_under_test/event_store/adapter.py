"""What EventStore promises, and how the harness drives it: as a log of records, in segments small enough to rotate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness import LOG, Append, AppendMany, Compact, Contract, Read, Unsupported
from store_under_test.event_store.errors import BatchSizeError, BatchTooLargeError, EventStoreError, EventTooLargeError
from store_under_test.event_store.event import NewEvent
from store_under_test.event_store.lease import Patience
from store_under_test.event_store.log import Options
from store_under_test.event_store.store import EventStore
from store_under_test.event_store.views import ViewOptions
from store_under_test.event_store.writer import Sizes

STEP_BYTES = 4096
SEGMENT_BYTES = 5 * STEP_BYTES  # two blocks of which are no room for events
LOCK_TIMEOUT_S = 2.0

OPTIONS = Options(
    sizes=Sizes(segment_bytes=SEGMENT_BYTES, step_bytes=STEP_BYTES),
    patience=Patience(timeout_s=LOCK_TIMEOUT_S),
    probe_s=0.0,  # a full disk is tried again by each append: the harness does not wait
)

VIEWS = ViewOptions(maintenance="on_request")  # by Compact, and by no thread

CONTRACT = Contract(
    process_crash="acknowledged",
    power_loss="acknowledged",
    power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
    io_error="fails_cleanly",
    corruption="detected",
    writers="threads",
    errors=(EventStoreError, OSError),
)


class EventStoreAdapter:
    """Each record is the payload of an event; all are of one aggregate."""

    name = "event-store"
    model = LOG
    contract = CONTRACT
    operations = (Append, AppendMany, Compact, Read)

    def open(self, directory: Path) -> EventStore:
        return EventStore.open(directory, OPTIONS, views=VIEWS)

    def apply(self, store: EventStore, operation: object) -> int | list[str] | None:
        match operation:
            case Append(record):
                return _append(store, (record,))
            case AppendMany(records):
                return _append(store, records)
            case Compact():
                store.compact()
            case Read(start):
                return [event.payload for event in store.read(start + 1)]
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: EventStore) -> list[str]:
        return [event.payload for event in store.read()]

    def close(self, store: EventStore) -> None:
        store.close()


def _append(store: EventStore, records: Sequence[str]) -> int:
    """The position of the first."""
    events = [NewEvent("record", "log", record, id="-", timestamp=0.0) for record in records]
    try:
        return store.append_batch(events)[0].sequence - 1
    except (BatchSizeError, BatchTooLargeError, EventTooLargeError) as error:
        raise Unsupported(str(error)) from error
