"""EventStore with redundancy="parity", and what it promises more: damage to any one block of one file is repaired."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from store_under_test.event_store.adapter import CONTRACT, OPTIONS, VIEWS, EventStoreAdapter
from store_under_test.event_store.store import EventStore


class EventStoreParityAdapter(EventStoreAdapter):
    """The same operations; all of them are written twice, or restorable."""

    name = "event-store-parity"
    contract = replace(CONTRACT, corruption="repaired")

    def open(self, directory: Path) -> EventStore:
        return EventStore.open(directory, OPTIONS, redundancy="parity", views=VIEWS)
