"""Any object as data that JSON knows, whatever the object does: `plain` raises nothing but `KeyboardInterrupt`.

Text without surrogates, finite numbers of at most 64 bits, and `null`, `true`, `false` stay what they are; mappings
become objects, sequences and sets arrays. Everything else becomes text: NaN and the infinities, larger integers
(hexadecimal), bytes (base64), and objects (their `repr`). What is nested too deeply, refers to itself, or is one too
many is replaced by a text in angle brackets that says so.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import json
import math
from collections import deque
from collections.abc import Iterable, Mapping
from enum import Enum
from itertools import islice
from pathlib import PurePath
from typing import Any

MAX_DEPTH = 32
MAX_ITEMS = 20_000
MAX_REPR = 10_000
_LARGEST = 1 << 63
_ARRAYS = (list, tuple, set, frozenset, deque)


def plain(value: object) -> Any:
    """`value` as JSON data; a copy."""
    return _Walk().plain(value, 0)


def text(value: str) -> str:
    """Text that can be encoded as UTF-8: a lone surrogate becomes its escape, such as `\\udc80`, as text."""
    exact = str.__str__(value)  # of a subclass, too
    return exact.encode("utf-8", "backslashreplace").decode("utf-8")


class _Walk:
    """One value on its way: what it is inside of, and how many more items it may have."""

    def __init__(self) -> None:
        self._around: set[int] = set()
        self._left = MAX_ITEMS

    def plain(self, value: object, depth: int) -> Any:
        try:
            return self._plain(value, depth)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the objects' own code may raise whatever it likes
            return f"<{_type_name(value)}: {_type_name(error)} while it was logged>"

    def _plain(self, value: object, depth: int) -> Any:
        if value is None or value is True or value is False:
            return value
        if isinstance(value, Enum):
            return self.plain(value.value, depth + 1) if depth < MAX_DEPTH else "<too deep>"
        if isinstance(value, str):
            return text(value)
        if isinstance(value, int):
            return _integer(int.__int__(value))
        if isinstance(value, float):
            return _number(float.__float__(value))
        if isinstance(value, bytes | bytearray | memoryview):
            return f"base64:{base64.b64encode(bytes(value)).decode()}"
        return self._compound(value, depth)

    def _compound(self, value: object, depth: int) -> Any:
        is_data = dataclasses.is_dataclass(value) and not isinstance(value, type)
        if not (is_data or isinstance(value, (Mapping, *_ARRAYS))):
            return _described(value)
        if id(value) in self._around:
            return "<refers to itself>"
        if depth >= MAX_DEPTH:
            return "<too deep>"
        self._around.add(id(value))
        try:
            if isinstance(value, _ARRAYS):
                return self._array(value, depth)
            return self._object(_fields(value) if is_data else value, depth)  # type: ignore[arg-type]
        finally:
            self._around.discard(id(value))

    def _array(self, value: Iterable[object], depth: int) -> list[Any]:
        items = [self.plain(item, depth + 1) for item in self._some(value)]
        if isinstance(value, set | frozenset):
            items.sort(key=lambda item: json.dumps(item, sort_keys=True))
        return self._marked(items)

    def _object(self, value: Mapping[Any, object], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in self._some(value.items()):
            name = self._key(key, depth)
            number = 1
            unique = name
            while unique in found:
                number += 1
                unique = f"{name} ({number})"
            found[unique] = self.plain(item, depth + 1)
        if self._left < 0:
            found["<more>"] = "<too many items>"
        return found

    def _key(self, key: object, depth: int) -> str:
        found = self.plain(key, depth + 1)
        return found if isinstance(found, str) else json.dumps(found)

    def _some(self, items: Iterable[Any]) -> list[Any]:
        """As many as may be; one more than that makes `_left` negative."""
        found = list(islice(items, max(0, self._left) + 1))
        self._left -= len(found)
        return found if self._left >= 0 else found[:-1]

    def _marked(self, items: list[Any]) -> list[Any]:
        return [*items, "<too many items>"] if self._left < 0 else items


def _integer(value: int) -> int | str:
    return value if -_LARGEST <= value < 2 * _LARGEST else _cut(hex(value))


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _fields(value: Any) -> dict[str, object]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _described(value: object) -> Any:
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, PurePath):
        return text(str(value))
    if isinstance(value, BaseException):
        return {"error": _type_name(value), "message": _cut(text(str(value)))}
    return _cut(text(repr(value)))


def _type_name(value: object) -> str:
    return text(type.__getattribute__(type(value), "__name__"))


def _cut(long: str) -> str:
    return long if len(long) <= MAX_REPR else f"{long[:MAX_REPR]}... ({len(long)} characters)"
