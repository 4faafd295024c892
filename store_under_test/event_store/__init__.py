"""EventStore: an append-only log of events, kept in a directory by one process with many threads.

    with EventStore.open("events") as store:
        store.append(NewEvent("order.placed", "order-7", {"total": 12}), expected_version=0)
        for event in store.read():
            ...

What it promises: an append that returned survives a crash of the process and a loss of power, on any file system where
fsync works, if the directory itself is durable; an append that did not has happened entirely or not at all; damage
is noticed and never passed off as data. What it needs: Linux, a local file system with flock, and the
packages msgpack, crc32c and prometheus-client (extra `reference`).

Beside reading in order: `query`, `read_stream`, `causation_chain`, `subscribe`, `health`, `metrics` (see `face`). How
these are kept, retention and schema versions are `ViewOptions`. `ValidationBridge` judges agents' commands into events;
`sessions` makes up realistic load.
"""

from store_under_test.event_store.bridge import Command, ValidationBridge
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
from store_under_test.event_store.health import Alert, Health, Thresholds
from store_under_test.event_store.lease import Patience
from store_under_test.event_store.log import LogState, Options
from store_under_test.event_store.query import Page
from store_under_test.event_store.retention import Policy
from store_under_test.event_store.store import EventStore
from store_under_test.event_store.subscriptions import Subscription
from store_under_test.event_store.upcast import Upcasters
from store_under_test.event_store.views import ViewOptions
from store_under_test.event_store.writer import Sizes

__all__ = [
    "Alert",
    "BatchSizeError",
    "BatchTooLargeError",
    "Command",
    "CursorExpiredError",
    "DamagedError",
    "Event",
    "EventStore",
    "EventStoreError",
    "EventTooLargeError",
    "ForeignFormatError",
    "Health",
    "InvalidEventError",
    "LeaseLostError",
    "LockedError",
    "LogState",
    "NewEvent",
    "Options",
    "Page",
    "Patience",
    "Policy",
    "ReadOnlyError",
    "Sizes",
    "StoreClosedError",
    "Subscription",
    "SyncFailedError",
    "Thresholds",
    "UnknownOutcomeError",
    "UnknownSchemaError",
    "Upcasters",
    "ValidationBridge",
    "ViewOptions",
    "WrongVersionError",
]
