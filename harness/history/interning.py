"""Values as keys: equal keys for equal values, so that a value becomes a small number."""

from __future__ import annotations

import dataclasses
from typing import Any

_ATOMS = frozenset((str, type(None)))


def canonical(value: Any, *, strict: bool = False) -> Any:
    """A hashable key of `value`.

    As for JSON, lists equal tuples, the order of a dictionary counts for nothing, `True` is not `1`, and `1` is `1.0`.
    With `strict`, values of different types have different keys. What can't be hashed is equal to itself alone.
    """
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is bool:
        return ("bool", value)
    if kind is int or kind is float:
        return _number(value, strict)
    if isinstance(value, dict):
        items = ((canonical(key, strict=strict), canonical(item, strict=strict)) for key, item in value.items())
        return ("dict", frozenset(items))
    if isinstance(value, list | tuple):
        return (kind if strict else "list", tuple(canonical(item, strict=strict) for item in value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (getattr(value, field.name) for field in dataclasses.fields(value))
        return (kind, tuple(canonical(item, strict=strict) for item in fields))
    try:
        hash(value)
    except TypeError:
        return ("object", id(value))
    return (kind, value)


def _number(value: float, strict: bool) -> Any:
    if value != value:
        return ("nan",)
    return (type(value), value) if strict else ("number", value)


class Interned:
    """Small numbers for values, in the order in which they are met."""

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._numbers: dict[Any, int] = {}
        self.values: list[Any] = []

    def number(self, value: Any) -> int:
        """The number of `value`, a new one if nothing equal was met."""
        key = canonical(value, strict=self._strict)
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self.values)
            self.values.append(value)
        return found
