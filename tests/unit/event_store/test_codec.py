"""Events and their bytes: what goes in comes out, and what could not come out does not go in."""

from __future__ import annotations

import math
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store_under_test.event_store import (
    BatchSizeError,
    BatchTooLargeError,
    Event,
    EventTooLargeError,
    InvalidEventError,
    NewEvent,
)
from store_under_test.event_store.codec import (
    decode_control,
    decode_frame,
    encode,
    encode_batch,
    encode_control,
    encode_frame,
    join,
)
from store_under_test.event_store.errors import EventStoreError, copied
from store_under_test.event_store.event import MAX_BATCH_EVENTS, MAX_EVENT_BYTES, random_id
from tests.unit.event_store.core_helpers import event

PAYLOADS = (
    *(None, True, False, 0, -1, 2**64 - 1, -(2**63), 1.5, math.inf, "", "é🙂\0", b"", b"\xff", [], {}),
    *([1, [2, {"a": None}]], {"k": {"l": [1.25]}}, {1: "numbers", b"b": "and bytes are keys too"}),
)


def decoded(*events: NewEvent) -> list[Event]:
    batch = encode_batch(events)
    return decode_frame(encode_frame(list(range(1, len(events) + 1)), batch.parts), 7, len(events))


@pytest.mark.parametrize("payload", PAYLOADS, ids=repr)
def test_what_is_stored_comes_back(payload: Any) -> None:
    """Every kind of value, of the same type."""
    found = decoded(event(payload))[0].payload
    assert found == payload and type(found) is type(payload)


def test_a_frame_has_the_events_of_many_batches_in_order() -> None:
    """All fields are in their places, and sequences count on."""
    one = NewEvent("t1", "a1", 1, "actor", {"m": 2}, "corr", "cause", 3, "id1", 4.5)
    two = NewEvent("t2", "a2", id="id2", timestamp=0)
    payload = encode_frame([5, 1], [encode(one)[0], encode(two)[0]])
    assert decode_frame(memoryview(payload), 10, 2) == [
        Event(10, "id1", "t1", "a1", 5, 4.5, "actor", 1, {"m": 2}, "corr", "cause", 3),
        Event(11, "id2", "t2", "a2", 1, 0.0, "", None, {}, None, None, 1),
    ]


def test_what_is_handed_on_is_what_will_be_read() -> None:
    """A tuple is a list at once, not only after a reopening, and later changes of the caller's object do not show."""
    mine = {"items": (1, 2)}
    batch = encode_batch([event(mine)])
    mine["items"] = (3,)
    assert join(1, [1], batch.fields) == decode_frame(encode_frame([1], batch.parts), 1, 1)
    assert batch.fields[0][5] == {"items": [1, 2]}


def test_identity_and_time_are_given_where_they_are_missing() -> None:
    """Two events differ by id; the clock is the one handed in."""
    batch = encode_batch([NewEvent("t", "a"), NewEvent("t", "a")], lambda: 12.0)
    assert batch.fields[0][0] != batch.fields[1][0]
    assert batch.fields[0][3] == 12.0


def test_random_ids_are_uuids_of_version_4() -> None:
    """In the canonical form."""
    found = random_id()
    assert str(uuid.UUID(found)) == found and uuid.UUID(found).version == 4


def deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "bad",
    [
        event({1, 2}),
        event(2**64),
        event("\ud800"),
        event({(1, 2): 3}),
        event(deep(2000)),
        event(object()),
        event(metadata=[1]),
        event(metadata={"k": {1}}),
        event(type=""),
        event(type=3),
        event(aggregate=""),
        event(aggregate=b"a"),
        event(actor=None),
        event(correlation_id=1),
        event(causation_id=b""),
        event(schema_version=0),
        event(schema_version=2**31),
        event(schema_version=True),
        event(schema_version=1.0),
        NewEvent("t", "a", id=1),  # type: ignore[arg-type]
        NewEvent("t", "a", timestamp=math.nan),
        NewEvent("t", "a", timestamp="now"),  # type: ignore[arg-type]
        NewEvent("t", "a", timestamp=True),
    ],
    ids=lambda bad: f"{bad!r:.60}" if not isinstance(bad.payload, list) else "deep",
)
def test_an_event_that_could_not_be_read_is_refused(bad: NewEvent) -> None:
    """With the name of the field."""
    with pytest.raises(InvalidEventError) as caught:
        encode(bad)
    assert str(caught.value).startswith(caught.value.field)


def test_the_largest_event_and_one_byte_more() -> None:
    """1 MiB, all fields included, is allowed."""
    overhead = len(encode(event(b"x" * 70_000))[0]) + 1 - 70_000
    encode(event(bytes(MAX_EVENT_BYTES - overhead)))
    with pytest.raises(EventTooLargeError, match="1048577 bytes; the limit is 1048576"):
        encode(event(bytes(MAX_EVENT_BYTES - overhead + 1)))


def test_the_limits_of_a_batch() -> None:
    """1 to 1000 events, and 10 MiB."""
    assert len(encode_batch([event()] * MAX_BATCH_EVENTS).parts) == 1000
    for count in (0, MAX_BATCH_EVENTS + 1):
        with pytest.raises(BatchSizeError, match=f"{count} events; it must have 1 to 1000"):
            encode_batch([event()] * count)
    encode_batch([event(bytes(1 << 19))] * 19)
    with pytest.raises(BatchTooLargeError, match="the limit is 10485760"):
        encode_batch([event(bytes(1 << 19))] * 20)


def test_a_frame_that_holds_other_than_its_header_says_is_noticed() -> None:
    """Neither more nor fewer events, nor a field too many."""
    part = encode(event())[0]
    for count, payload in ((1, encode_frame([1, 2], [part] * 2)), (2, encode_frame([1], [part]))):
        with pytest.raises(ValueError, match=f"are not {count} events"):
            decode_frame(payload, 1, count)
    with pytest.raises(ValueError):
        decode_frame(encode_frame([1], [part] * 2), 1, 1)


@given(st.integers(1, 60), st.data())
def test_some_events_of_a_frame_are_as_they_are_among_all(count: int, data: st.DataObject) -> None:
    wanted = sorted(data.draw(st.sets(st.integers(0, count - 1))))
    events = [NewEvent(f"t{number}", "a", {"k": [number, "x" * number]}) for number in range(count)]
    payload = encode_frame(list(range(5, 5 + count)), encode_batch(events).parts)
    every = decode_frame(payload, 9, count)

    assert decode_frame(memoryview(payload), 9, count, wanted) == [every[number] for number in wanted]


def test_a_few_events_of_a_frame_that_holds_other_than_its_header_says() -> None:
    part = encode(event())[0]
    for versions, parts in ((9, 10), (10, 9)):
        with pytest.raises(ValueError):
            decode_frame(encode_frame([1] * versions, [part] * parts), 1, 10, [9])


def test_a_control_record_comes_back() -> None:
    """Names with numbers."""
    assert decode_control(encode_control({"retained_from": 2**40})) == {"retained_from": 2**40}


def test_errors_are_copied_for_other_threads() -> None:
    """The same kind with the same text, and the first as its cause; where that can't be made, the text."""

    class Odd(Exception):
        def __init__(self, *, text: str) -> None:
            super().__init__(text)

    for error in (OSError(28, "full"), BatchSizeError(0, 1000), InvalidEventError("payload", "is bad")):
        other = copied(error)
        assert other is not error and type(other) is type(error) and str(other) == str(error)
        assert other.__cause__ is error
    assert str(copied(Odd(text="odd"))) == "odd"
    assert type(copied(Odd(text="odd"))) in (Odd, EventStoreError)
