"""Postings in memory and packed answer the same, and as a search through all events would."""

from __future__ import annotations

import random
from array import array

import pytest

from store_under_test.event_store import postings
from store_under_test.event_store.event import Event
from store_under_test.event_store.postings import (
    FIELDS,
    Growing,
    from_little_endian,
    intersection,
    key_hash,
    little_endian,
    pack,
)
from tests.unit.event_store.views_helpers import event


def drawn(count: int, seed: int = 0) -> list[Event]:
    chance = random.Random(seed)
    return [
        event(
            number + 1,
            aggregate=chance.choice("abcdé"),
            type=chance.choice(("x", "y")),
            actor=chance.choice(("", "p")),
            correlation_id=chance.choice((None, "s1", "s2")),
            causation_id=None if number < 5 else f"e{chance.randint(1, 5)}",
        )
        for number in range(count)
    ]


def values(one: Event) -> dict[str, str | None]:
    fields = (one.aggregate, one.type, one.actor, one.correlation_id, one.id, one.causation_id)
    return dict(zip(FIELDS, fields, strict=True))


@pytest.fixture
def grown() -> tuple[list[Event], Growing]:
    events, growing = drawn(400), Growing()
    growing.add(events[:250])
    growing.find("id", "e1")  # the table of ids is made here, and extended later
    growing.add(events[250:])
    return events, growing


def test_every_key_of_every_field_is_found(grown: tuple[list[Event], Growing]) -> None:
    events, growing = grown
    for field in FIELDS:
        packed = growing.packed(field)
        keys = {key for one in events if (key := values(one)[field]) is not None}
        for key in sorted(keys | {"nobody"}):
            wanted = [number for number, one in enumerate(events) if values(one)[field] == key]
            assert list(growing.find(field, key)) == list(packed.find(key)) == wanted


def test_keys_with_the_same_hash_share_their_ordinals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost: the caller looks at the events anyway."""
    monkeypatch.setattr(postings, "key_hash", lambda key: 7 if key in "ab" else 9)
    growing = Growing()
    growing.add([event(1, aggregate="a"), event(2, aggregate="b"), event(3, aggregate="c"), event(4, aggregate="a")])
    packed = growing.packed("aggregate")
    assert (list(packed.find("a")), list(packed.find("b")), list(packed.find("c"))) == ([0, 1, 3], [0, 1, 3], [2])


def test_a_hash_is_the_same_in_every_process() -> None:
    assert key_hash("agent:42") == 0xD5896982066B1761
    assert key_hash("\ud800") != key_hash("")


def test_pairs_may_come_in_any_order() -> None:
    packed = pack([(5, 3), (1 << 63, 0), (5, 1), (0, 2)])
    assert (list(packed.hashes), list(packed.ends), list(packed.ordinals)) == ([0, 5, 1 << 63], [1, 3, 4], [2, 1, 3, 0])
    assert packed.size_bytes == 3 * 8 + 7 * 4


def test_arrays_survive_a_file_on_any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are little-endian, whatever the machine."""
    values = array("I", (1, 256))
    assert little_endian(values) == b"\x01\0\0\0\0\x01\0\0"
    assert from_little_endian("I", little_endian(values)) == values
    monkeypatch.setattr(postings.sys, "byteorder", "big")
    assert little_endian(values) == b"\0\0\0\x01\0\0\x01\0"
    assert from_little_endian("I", little_endian(values)) == values


@pytest.mark.parametrize("sizes", [(3, 1000), (1000, 900), (50, 1000, 7)])
def test_an_intersection_is_what_all_have(sizes: tuple[int, ...]) -> None:
    """By sets or by bisection, in order."""
    chance = random.Random(1)
    lists = [array("I", sorted(chance.sample(range(1200), size))) for size in sizes]
    wanted = set(lists[0]).intersection(*lists[1:])
    assert list(intersection(lists)) == sorted(wanted)
