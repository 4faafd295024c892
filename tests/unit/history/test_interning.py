"""Values as keys: equal ones have one number, others never."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from harness.history.interning import Interned, canonical


@dataclass
class Point:
    x: Any


class Unhashable:
    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("left", "right", "same", "strictly_same"),
    [
        ("a", "a", True, True),
        (1, 1.0, True, False),
        (1, True, False, False),
        (None, False, False, False),
        ([1, 2], (1, 2), True, False),
        ({"a": 1, "b": [2]}, {"b": [2], "a": 1}, True, True),
        ({"a": 1}, {"a": 2}, False, False),
        (float("nan"), float("nan"), True, True),
        (Point([1]), Point([1]), True, True),
        (Point(1), Point(True), False, False),
        (frozenset({1}), frozenset({1}), True, True),
        (b"a", "a", False, False),
        (Unhashable(), Unhashable(), False, False),
        (("a", ("b",)), ("a", "b"), False, False),
    ],
)
def test_equal_values_have_equal_keys(left: Any, right: Any, same: bool, strictly_same: bool) -> None:
    assert (canonical(left) == canonical(right)) is same
    assert (canonical(left, strict=True) == canonical(right, strict=True)) is strictly_same
    assert canonical(left) == canonical(left)


def test_numbers_count_what_is_new() -> None:
    """In the order in which values are met; each number leads back to the first of its values."""
    values = Interned()
    assert [values.number(value) for value in ("a", None, [1], (1.0,), "a")] == [0, 1, 2, 2, 0]
    assert values.values == ["a", None, [1]]
