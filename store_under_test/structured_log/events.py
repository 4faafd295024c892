"""The kinds of events. Any other `Enum` will do as well: its members' values, if they are text, are the names."""

from __future__ import annotations

from enum import Enum


class EventType(Enum):
    """Events of an application that calls others and keeps data."""

    APPLICATION_STARTED = "application.started"
    APPLICATION_STOPPED = "application.stopped"
    REQUEST_RECEIVED = "request.received"
    REQUEST_ANSWERED = "request.answered"
    CALL_FAILED = "call.failed"
    CIRCUIT_CHANGED = "circuit.changed"
    STORE_DEGRADED = "store.degraded"
    STORE_RECOVERED = "store.recovered"
    RECORD = "record"
    RECORDS_LOST = "log.records-lost"
