"""From any object to data that JSON knows."""

from __future__ import annotations

import datetime
import json
import math
from collections import OrderedDict, UserDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store_under_test.structured_log.line import encode
from store_under_test.structured_log.plain import MAX_DEPTH, MAX_ITEMS, MAX_REPR, plain
from tests.unit.structured_log.checks import Rude, Spiteful, SubText

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
SURROGATES = "a\udc80\ud800"
KEYS = st.floats() | st.sampled_from(("", SURROGATES)) | st.binary()
ANYTHING = st.recursive(
    st.sampled_from((None, SURROGATES, 2**70, Rude)) | st.floats() | st.integers() | st.binary() | st.builds(Spiteful),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner) | st.tuples(inner),
    max_leaves=10,
)


@given(JSON)
@settings(max_examples=40, deadline=None)
def test_json_stays_what_it_is(value: Any) -> None:
    """To the type of each number."""
    assert repr(json.loads(encode(plain(value)))) == repr(value)


@given(ANYTHING)
@settings(max_examples=40, deadline=None)
def test_anything_becomes_json(value: Any) -> None:
    """With finite numbers, and text that UTF-8 can encode."""
    found = json.loads(encode(plain(value)))
    json.dumps(found, ensure_ascii=False, allow_nan=False).encode()


class Color(Enum):
    RED = "red"
    BOTH = (1, "two")


class Level(IntEnum):
    HIGH = 3


@dataclass
class Point:
    x: int
    y: object


class Lazy(Mapping[str, int]):
    """A mapping without end."""

    def __getitem__(self, key: str) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        number = 0
        while True:
            number += 1
            yield str(number)

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (SubText("text"), "text"),
        ("a\udc80", "a\\udc80"),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (2**64 - 1, 2**64 - 1),
        (2**64, "0x10000000000000000"),
        (-(2**63) - 1, "-0x8000000000000001"),
        (True, True),
        (b"\xff", "base64:/w=="),
        ((1, [2]), [1, [2]]),
        ({3, 1, 2}, [1, 2, 3]),
        (deque([1]), [1]),
        ({1: "a", "1": "b", None: "c", (1,): "d"}, {"1": "a", "1 (2)": "b", "null": "c", "[1]": "d"}),
        (OrderedDict(b=1), {"b": 1}),
        (UserDict(b=1), {"b": 1}),
        (Point(1, Point(2, None)), {"x": 1, "y": {"x": 2, "y": None}}),
        (Color.RED, "red"),
        (Color.BOTH, [1, "two"]),
        (Level.HIGH, 3),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (datetime.datetime(2024, 2, 29, 1, 2, tzinfo=datetime.UTC), "2024-02-29T01:02:00+00:00"),
        (Path("/a/\udc80"), "/a/\\udc80"),
        (KeyError("x"), {"error": "KeyError", "message": "'x'"}),
        (range(2), "range(0, 2)"),
        (Point, repr(Point)),
        (Spiteful(), "<Spiteful: RuntimeError while it was logged>"),
        (Rude(), "<Rude: SystemExit while it was logged>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_kind_of_value(value: object, expected: object) -> None:
    """As the module says."""
    assert plain(value) == expected


def test_cycles_depth_and_size_have_an_end() -> None:
    """The same object twice side by side is no cycle."""
    ring: list[Any] = [1]
    ring.append(ring)
    assert plain(ring) == [1, "<refers to itself>"]
    twice = [1]
    assert plain([twice, twice]) == [[1], [1]]
    nested: Any = "end"
    for _ in range(MAX_DEPTH + 5):
        nested = [nested]
    found = json.dumps(plain(nested))
    assert found.count("[") == MAX_DEPTH and "<too deep>" in found
    long = plain([0] * (MAX_ITEMS + 1))
    assert (len(long), long[-1]) == (MAX_ITEMS + 1, "<too many items>")
    assert plain(Lazy())["<more>"] == "<too many items>"
    assert plain("x" * 50_000) == "x" * 50_000
    assert len(plain(range(10**MAX_REPR))) < MAX_REPR + 100


def test_an_interrupt_is_no_property_of_a_value() -> None:
    """Ctrl-C while a value is looked at is not swallowed."""

    class Interrupted:
        def __repr__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plain([Interrupted()])
