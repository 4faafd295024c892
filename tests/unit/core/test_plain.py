"""Plain data as bytes: exact, and nothing but plain data."""

from __future__ import annotations

import pickle
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.plain import NestedTooDeep, nesting, plain_bytes

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
DATA = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner)
)


class Colour(IntEnum):
    RED = 1


class Table(dict[str, int]):
    """A store's own idea of a dict."""


class Thing:
    pass


@given(DATA)
def test_plain_data_comes_back(value: Any) -> None:
    plain = plain_bytes(value)
    assert plain is not None
    assert repr(pickle.loads(plain)) == repr(value)


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (1, 1.0), ([1], (1,)), (b"x", bytearray(b"x")), ({"a": 1}, {"a": True}), (0.0, -0.0)]
)
def test_values_of_other_types_have_other_bytes(one: Any, other: Any) -> None:
    assert plain_bytes(one) != plain_bytes(other)


@pytest.mark.parametrize("value", [Thing(), [Thing()], {"a": Colour.RED}, Table(a=1), Thing, len, lambda: None])
def test_anything_else_is_not_plain(value: Any) -> None:
    assert plain_bytes(value) is None


def test_what_holds_itself_is_plain_and_too_deep_is_not() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    assert plain_bytes(cycle) is not None
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert plain_bytes(deep) is None


def test_how_deep_a_value_is_nested() -> None:
    """Containers and objects with attributes count, what they hold does not; a value may contain itself."""
    loop: list[Any] = []
    loop.append(loop)
    thing = Thing()
    thing.__dict__["inner"] = [1]

    values = ("a", [], [1], {"a": [(1,)]}, {frozenset((1,))}, thing, loop)
    assert [nesting(value) for value in values] == [0, 1, 1, 3, 2, 2, 1]


def test_what_is_nested_too_deep_equals_what_is_nested_alike() -> None:
    """So that a store which shows it twice shows the same; it can be sent, and says what it is."""
    deep: list[Any] = []
    for _ in range(9_999):
        deep = [deep]
    stand_in = NestedTooDeep(deep)

    assert pickle.loads(pickle.dumps(stand_in)) == stand_in != NestedTooDeep([]) and stand_in != deep
    assert len({stand_in, NestedTooDeep(deep)}) == 1
    assert repr(stand_in) == "<a list nested 10000 levels deep, too deep to copy>"
