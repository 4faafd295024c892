"""Sequential models: what a correct store does.

A model is three pure functions, after Porcupine (github.com/anishathalye/porcupine):
`initial`, `step` and `equal`. A user's own model has the same form.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from harness.core.examples import document_operations, key_value_operations, log_operations
from harness.core.operations import (
    Append,
    AppendMany,
    Compact,
    Delete,
    Get,
    Load,
    Put,
    PutMany,
    Read,
    Save,
    Sync,
)


@runtime_checkable
class SequentialModel(Protocol):
    """What a correct store does, one operation after another.

    `step` must not change the state that it is given. `equal` compares what `snapshot`
    returned with a state of the model: the place to ignore time stamps.
    """

    def initial(self) -> Any: ...

    def step(self, state: Any, operation: Any) -> tuple[Any, Any]: ...

    def equal(self, recovered: Any, state: Any) -> bool: ...

    def example_operations(self, random: random.Random, count: int) -> list[Any]: ...


def _unknown(model: str, operation: object) -> TypeError:
    return TypeError(f"{model} has no operation {type(operation).__name__}")


@dataclass(frozen=True, slots=True)
class KeyValueModel:
    """A mapping from text to text; the snapshot is a `dict[str, str]`."""

    name: str = "KEY_VALUE"

    mandatory = (Put, Delete)
    optional = (PutMany, Get, Sync, Compact)

    def initial(self) -> dict[str, str]:
        return {}

    def step(self, state: dict[str, str], operation: object) -> tuple[dict[str, str], Any]:
        match operation:
            case Put(key, value):
                return {**state, key: value}, None
            case Delete(key):
                return {k: v for k, v in state.items() if k != key}, None
            case PutMany(items):
                return {**state, **dict(items)}, None
            case Get(key):
                return state, state.get(key)
            case Sync() | Compact():
                return state, None
        raise _unknown(self.name, operation)

    def equal(self, recovered: Any, state: dict[str, str]) -> bool:
        return bool(recovered == state)

    def example_operations(self, random: random.Random, count: int) -> list[Any]:
        return key_value_operations(random, count)


@dataclass(frozen=True, slots=True)
class DocumentModel:
    """One JSON document; the snapshot is the document, or `None` before the first save."""

    name: str = "DOCUMENT"

    mandatory = (Save,)
    optional = (Load, Sync, Compact)

    def initial(self) -> dict[str, Any] | None:
        return None

    def step(self, state: Any, operation: object) -> tuple[Any, Any]:
        match operation:
            case Save(document):
                return document, None
            case Load():
                return state, state
            case Sync() | Compact():
                return state, None
        raise _unknown(self.name, operation)

    def equal(self, recovered: Any, state: Any) -> bool:
        return same_json(recovered, state)

    def example_operations(self, random: random.Random, count: int) -> list[Any]:
        return document_operations(random, count)


@dataclass(frozen=True, slots=True)
class LogModel:
    """A sequence of text records; the snapshot is a `list[str]` in order."""

    name: str = "LOG"

    mandatory = (Append,)
    optional = (AppendMany, Read, Sync, Compact)

    def initial(self) -> tuple[str, ...]:
        return ()

    def step(self, state: tuple[str, ...], operation: object) -> tuple[tuple[str, ...], Any]:
        match operation:
            case Append(record):
                return (*state, record), len(state)
            case AppendMany(records):
                return (*state, *records), len(state)
            case Read(start):
                return state, list(state[start:])
            case Sync() | Compact():
                return state, None
        raise _unknown(self.name, operation)

    def equal(self, recovered: Any, state: tuple[str, ...]) -> bool:
        return isinstance(recovered, list | tuple) and tuple(recovered) == state

    def example_operations(self, random: random.Random, count: int) -> list[Any]:
        return log_operations(random, count)


KEY_VALUE = KeyValueModel()
DOCUMENT = DocumentModel()
LOG = LogModel()

BUILT_IN_MODELS = (KEY_VALUE, DOCUMENT, LOG)


#: JSON values that `==` compares as they should be; `True`, which is not `1`, is none of them.
_PLAIN = frozenset((str, int, float, type(None)))


def same_json(left: Any, right: Any) -> bool:
    """Equality of JSON values: `True` is not `1`, but `1` and `1.0` are the same number."""
    if type(left) in _PLAIN and type(right) in _PLAIN:
        return bool(left == right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        if left.keys() != right.keys():
            return False
        for key, value in left.items():  # a loop, because this is most of what judging a document takes
            if not same_json(value, right[key]):
                return False
        return True
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same_json, left, right))
    return bool(left == right)
