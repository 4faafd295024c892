"""Sequential models: what a correct store does.

A model is three pure functions, after Porcupine (github.com/anishathalye/porcupine):
`initial`, `step` and `equal`. A user's own model has the same form.
"""

from __future__ import annotations

import contextlib
import pickle
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from harness.core.errors import UsageError
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
    describe,
)
from harness.core.plain import copied


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
        return _same_json(recovered, state)

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


def require_pure(model: Any, operations: Iterable[Any]) -> None:
    """Raise `UsageError` if `step` changes the state that it is given: all that comes before would be judged by it.

    What the model can't follow ends the look at it, and is told elsewhere.
    """
    found = None
    with contextlib.suppress(Exception):
        found = _first_impure(model, operations)
    if found is not None:
        raise UsageError(
            f"step of the model changes the state that it is given (in {describe(found)}): leave that as it "
            "is, and return a new one."
        )


def _first_impure(model: Any, operations: Iterable[Any]) -> Any:
    state = model.initial()
    for operation in operations:
        untouched = _watched(state)
        after = model.step(state, operation)[0]
        if not untouched():
            return operation
        state = after
    return None


def _watched(state: Any) -> Callable[[], bool]:
    """Tells whether `state` still is what it is now: by a copy, or, where no copy is equal to it, by its pickle."""
    kept = copied(state)
    if alike(kept, state):
        return lambda: alike(kept, state)
    image = pickle.dumps(state)
    return lambda: pickle.dumps(state) == image


def alike(left: Any, right: Any) -> bool:
    """`left == right`. What can't even be compared, as a damaged store may show it, equals nothing."""
    try:
        return bool(left == right)
    except Exception:
        return False


def equals(model: SequentialModel, recovered: Any, state: Any) -> bool:
    """What the `equal` of `model` says. What that can't even compare, as damage may show it, equals nothing."""
    try:
        return bool(model.equal(recovered, state))
    except Exception:
        return False


def same_json(left: Any, right: Any) -> bool:
    """Equality of JSON values: `True` is not `1`, but `1` and `1.0` are the same number. What can't even be compared,
    or is nested too deep for that, equals nothing."""
    try:
        return _same_json(left, right)
    except Exception:
        return False


def _same_json(left: Any, right: Any) -> bool:
    if type(left) in _PLAIN and type(right) in _PLAIN:
        return bool(left == right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        if left.keys() != right.keys():
            return False
        for key, value in left.items():  # a loop, because this is most of what judging a document takes
            if not _same_json(value, right[key]):
                return False
        return True
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(_same_json, left, right))
    return bool(left == right)
