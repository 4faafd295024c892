"""Events as bytes: MessagePack.

The payload of a frame is an array of two: the versions of its events, and all their other fields one after the other,
without structure. So the events of many callers become one frame by joining bytes, versions can be given out after
encoding, and a whole frame is decoded by one call and cut into events without a loop in Python.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, cast

import msgpack

from store_under_test.event_store.errors import (
    BatchSizeError,
    BatchTooLargeError,
    EventTooLargeError,
    InvalidEventError,
)
from store_under_test.event_store.event import (
    MAX_BATCH_BYTES,
    MAX_BATCH_EVENTS,
    MAX_EVENT_BYTES,
    Event,
    NewEvent,
    check,
    random_id,
)

FIELDS = 10  # of an event, without sequence and version
_PAIR = b"\x92"  # an array of two
_LONG_ARRAY = b"\xdd"  # an array whose length follows in four bytes
_SPARSE = 4  # events of a frame for each that is wanted: from there on the others are stepped over

_new_event: Callable[[tuple[Any, ...]], Event] = partial(cast(Any, tuple.__new__), Event)
_unpack = partial(msgpack.unpackb, strict_map_key=False)
_unpack_shared: Callable[[bytes | memoryview], Any] = _unpack


class _Packers(threading.local):
    """A packer for each thread: making one costs more than using it, and it is not for several at once."""

    def __init__(self) -> None:
        self.pack: Callable[[Any], bytes] = msgpack.Packer(buf_size=4096).pack


_packers = _Packers()


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that are appended together: encoded, and decoded again, which is how they will be read."""

    parts: Sequence[bytes]
    fields: Sequence[list[Any]]
    aggregates: Sequence[str]
    size_bytes: int


def encode(event: NewEvent, clock: Callable[[], float] = time.time) -> tuple[bytes, list[Any]]:
    """The bytes of an event, and its fields as they will be read from them.

    Raises `InvalidEventError` or `EventTooLargeError`. `clock` gives the time stamp, in seconds.
    """
    check(event)
    timestamp = clock() if event.timestamp is None else float(event.timestamp)
    fields = [
        random_id() if event.id is None else event.id,
        event.type,
        event.aggregate,
        timestamp,
        event.actor,
        event.payload,
        dict(event.metadata),
        event.correlation_id,
        event.causation_id,
        event.schema_version,
    ]
    try:
        packed = _packers.pack(fields)
        if len(packed) > MAX_EVENT_BYTES:
            raise EventTooLargeError(len(packed), MAX_EVENT_BYTES)
        # What can be written is not always readable (a key that comes back as a list, say): found out now.
        return packed[1:], _unpack(packed)
    except (TypeError, ValueError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        if isinstance(error, EventTooLargeError):
            raise
        raise InvalidEventError("payload or metadata", f"cannot be stored: {error}") from error


def encode_batch(events: Iterable[NewEvent], clock: Callable[[], float] = time.time) -> Batch:
    """All `events`, encoded. Raises as `encode` does, and `BatchSizeError` or `BatchTooLargeError`."""
    events = list(events)
    if not 1 <= len(events) <= MAX_BATCH_EVENTS:
        raise BatchSizeError(len(events), MAX_BATCH_EVENTS)
    parts, fields, size = [], [], 0
    for event in events:
        part, decoded = encode(event, clock)
        parts.append(part)
        fields.append(decoded)
        size += len(part)
        if size > MAX_BATCH_BYTES:
            raise BatchTooLargeError(size, MAX_BATCH_BYTES)
    return Batch(parts, fields, [decoded[2] for decoded in fields], size)


def encode_frame(versions: Sequence[int], parts: Iterable[bytes]) -> bytes:
    """The payload of a frame; `parts` are the bytes of its events."""
    count = (FIELDS * len(versions)).to_bytes(4, "big")
    return b"".join((_PAIR, _packers.pack(versions), _LONG_ARRAY, count, *parts))


def decode_frame(
    payload: bytes | memoryview, first_sequence: int, count: int, wanted: Sequence[int] | None = None
) -> list[Event]:
    """The events of a frame whose checksum was right, or those `wanted`, ascending and counted from its first.

    Raises `ValueError` if they are not what `count` says.
    """
    if wanted is not None and len(wanted) * _SPARSE < count:
        try:
            return _decode_some(payload, first_sequence, count, wanted)
        except msgpack.OutOfData as error:
            raise ValueError(f"the frame ends before its {count} events") from error
    events = _decode_all(payload, first_sequence, count)
    return events if wanted is None else [events[number] for number in wanted]


def _decode_all(payload: bytes | memoryview, first_sequence: int, count: int) -> list[Event]:
    versions, flat = _unpack_shared(payload)
    if len(versions) != count or len(flat) != FIELDS * count:
        raise ValueError(f"{len(versions)} versions and {len(flat)} fields are not {count} events")
    return _events(first_sequence, versions, iter(flat))


def _decode_some(payload: bytes | memoryview, first_sequence: int, count: int, wanted: Sequence[int]) -> list[Event]:
    """A few events of many: the others are stepped over, which is several times faster than making them."""
    unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=len(payload))
    unpacker.feed(payload)
    _, versions, size = unpacker.read_array_header(), unpacker.unpack(), unpacker.read_array_header()
    if len(versions) != count or size != FIELDS * count:
        raise ValueError(f"{len(versions)} versions and {size} fields are not {count} events")
    skip, unpack, position, events = unpacker.skip, unpacker.unpack, 0, []
    for number in wanted:
        for _ in range(FIELDS * (number - position)):
            skip()
        events += _events(first_sequence + number, [versions[number]], iter([unpack() for _ in range(FIELDS)]))
        position = number + 1
    return events


def join(first_sequence: int, versions: Sequence[int], fields: Iterable[Iterable[Any]]) -> list[Event]:
    """Events from the decoded fields of batches, numbered from `first_sequence`."""
    return _events(first_sequence, versions, chain.from_iterable(fields))


def _events(first_sequence: int, versions: Sequence[int], flat: Iterator[Any]) -> list[Event]:
    sequences = range(first_sequence, first_sequence + len(versions))
    # The same iterator ten times: each round of zip takes the next ten fields, in order.
    rest = (flat,) * (FIELDS - 3)
    return list(map(_new_event, zip(sequences, flat, flat, flat, versions, *rest, strict=False)))


def encode_control(control: dict[str, int]) -> bytes:
    """The payload of a control frame."""
    return _packers.pack(control)


def decode_control(payload: bytes | memoryview) -> dict[str, int]:
    """The inverse of `encode_control`."""
    control: dict[str, int] = _unpack_shared(payload)
    return control
