"""MetricsStore: the live state of an agent dashboard in one JSON file, shared by processes.

    with MetricsStore("dashboard.json", project="demo") as store:
        store.update(add_event)          # read, change, save, under the lock
        state = store.load()

What it promises: a call that returned survives a crash of the process and a loss of power, on any file
system where fsync works, if the directory itself is durable; a call that did not return has happened
entirely or not at all; damage is noticed and never passed off as data. What it needs: Linux, a
local file system with flock, and users that change the files through this store only.

Files beside `dashboard.json`: `.bak` (the state one save earlier), `.lock` (empty, never removed),
`.damaged-<digest>` (copies of damaged files, kept until someone removes them).

The asyncio front is `store_under_test.metrics_store.aio`, apart because importing asyncio takes time.
"""

from store_under_test.metrics_store.errors import (
    DamagedFileError,
    InvalidStateError,
    LockAcquisitionError,
    MetricsStoreError,
    StoreClosedError,
    UnsupportedVersionError,
)
from store_under_test.metrics_store.lock import LockMetrics
from store_under_test.metrics_store.state import (
    AgentEvent,
    AgentProfile,
    DashboardState,
    JsonValue,
    Limits,
    SessionSummary,
    fresh_state,
    validate,
)
from store_under_test.metrics_store.store import MetricsStore, StoreCounts, StoreStats

__all__ = [
    "AgentEvent",
    "AgentProfile",
    "DamagedFileError",
    "DashboardState",
    "InvalidStateError",
    "JsonValue",
    "Limits",
    "LockAcquisitionError",
    "LockMetrics",
    "MetricsStore",
    "MetricsStoreError",
    "SessionSummary",
    "StoreClosedError",
    "StoreCounts",
    "StoreStats",
    "UnsupportedVersionError",
    "fresh_state",
    "validate",
]
