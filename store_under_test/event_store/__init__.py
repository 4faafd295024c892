"""EventStore: an append-only log of events, kept in a directory by one process with many threads.

    with EventStore.open("events") as store:
        store.append(NewEvent("order.placed", "order-7", {"total": 12}), expected_version=0)
        for event in store.read():
            ...

What it promises: an append that returned survives a crash of the process and a loss of power, on any file system where
fsync works, if the directory itself is durable; an append that did not has happened entirely or not at all; damage
is noticed and never passed off as data. What it needs: Linux, a local file system with flock, and the
packages msgpack and crc32c (extra `reference`).
"""

from store_under_test.event_store.errors import (
    BatchSizeError,
    BatchTooLargeError,
    CursorExpiredError,
    DamagedError,
    EventStoreError,
    EventTooLargeError,
    ForeignFormatError,
    InvalidEventError,
    LeaseLostError,
    LockedError,
    ReadOnlyError,
    StoreClosedError,
    SyncFailedError,
    UnknownOutcomeError,
    UnknownSchemaError,
    WrongVersionError,
)
from store_under_test.event_store.event import Event, NewEvent
from store_under_test.event_store.lease import Patience
from store_under_test.event_store.log import LogState, Options
from store_under_test.event_store.store import EventStore
from store_under_test.event_store.writer import Sizes

__all__ = [
    "BatchSizeError",
    "BatchTooLargeError",
    "CursorExpiredError",
    "DamagedError",
    "Event",
    "EventStore",
    "EventStoreError",
    "EventTooLargeError",
    "ForeignFormatError",
    "InvalidEventError",
    "LeaseLostError",
    "LockedError",
    "LogState",
    "NewEvent",
    "Options",
    "Patience",
    "ReadOnlyError",
    "Sizes",
    "StoreClosedError",
    "SyncFailedError",
    "UnknownOutcomeError",
    "UnknownSchemaError",
    "WrongVersionError",
]
