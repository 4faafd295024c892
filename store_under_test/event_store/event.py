"""Events, as they are handed in and as they are read back, and the limits of both."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from store_under_test.event_store.errors import InvalidEventError

MAX_EVENT_BYTES = 1 << 20
MAX_BATCH_EVENTS = 1000
MAX_BATCH_BYTES = 10 << 20
MAX_SCHEMA_VERSION = (1 << 31) - 1


class Event(NamedTuple):
    """An event of the log. `sequence` counts all events from 1, `version` those of the aggregate from 1."""

    sequence: int
    id: str
    type: str
    aggregate: str
    version: int
    timestamp: float  # seconds since 1970 UTC, by the clock of the writer; never used to order events
    actor: str
    payload: Any
    metadata: dict[str, Any]
    correlation_id: str | None
    causation_id: str | None
    schema_version: int


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to append. The store sets sequence and version, and id and timestamp where they are `None`.

    `payload` and `metadata` hold what MessagePack has: None, bool, int of 64 bits, float, str, bytes, lists and
    dictionaries. Tuples come back as lists. If the caller of `append` has an active span of OpenTelemetry, `metadata`
    get its `traceparent`, which counts towards the size.
    """

    type: str
    aggregate: str
    payload: Any = None
    actor: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    correlation_id: str | None = None
    causation_id: str | None = None
    schema_version: int = 1
    id: str | None = None
    timestamp: float | None = None


#: The member of `metadata` that tells which span an event came of.
TRACEPARENT = "traceparent"


def traced(events: list[NewEvent], traceparent: str | None) -> list[NewEvent]:
    """`events` with the span of who appends them, where their metadata do not name one."""
    return events if traceparent is None else [_traced(event, traceparent) for event in events]


def _traced(event: NewEvent, traceparent: str) -> NewEvent:
    if not isinstance(event.metadata, Mapping) or TRACEPARENT in event.metadata:  # the former `check` refuses
        return event
    return replace(event, metadata={**event.metadata, TRACEPARENT: traceparent})


def random_id() -> str:
    """A random UUID (version 4) as text; a third of the price of `str(uuid.uuid4())`."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def check(event: NewEvent) -> None:
    """Raise `InvalidEventError` for an event whose own fields are not of the right kind."""
    if not isinstance(event.type, str) or not event.type:
        raise InvalidEventError("type", "must be a text that is not empty")
    if not isinstance(event.aggregate, str) or not event.aggregate:
        raise InvalidEventError("aggregate", "must be a text that is not empty")
    if not isinstance(event.actor, str):
        raise InvalidEventError("actor", "must be a text")
    if not isinstance(event.metadata, Mapping):
        raise InvalidEventError("metadata", "must be a dictionary")
    _check_identities(event)
    _check_numbers(event)


def _check_identities(event: NewEvent) -> None:
    for name, value in (
        ("id", event.id),
        ("correlation_id", event.correlation_id),
        ("causation_id", event.causation_id),
    ):
        if value is not None and not isinstance(value, str):
            raise InvalidEventError(name, "must be a text or None")


def _check_numbers(event: NewEvent) -> None:
    version, timestamp = event.schema_version, event.timestamp
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= MAX_SCHEMA_VERSION:
        raise InvalidEventError("schema_version", f"must be a number from 1 to {MAX_SCHEMA_VERSION}")
    if timestamp is None:
        return
    if not isinstance(timestamp, int | float) or isinstance(timestamp, bool) or not math.isfinite(timestamp):
        raise InvalidEventError("timestamp", "must be a finite number of seconds, or None")
