"""The operations of the three built-in models, as frozen dataclasses.

An operation is one call on a store as its model sees it. Text is any Unicode without
surrogates, the empty string included.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from dataclasses import dataclass
from typing import Any

from harness.core.plain import copied


@dataclass(frozen=True, slots=True)
class Put:
    """Set `key` to `value`."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove `key`; removing what is absent is no error."""

    key: str


@dataclass(frozen=True, slots=True)
class PutMany:
    """Set several keys, in order, atomically. Never empty."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Save:
    """Replace the whole document (a JSON object) by `document`."""

    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Append:
    """Add `record` at the end; `apply` may return the position that it got."""

    record: str


@dataclass(frozen=True, slots=True)
class AppendMany:
    """Add several records, in order, atomically. Never empty."""

    records: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Get:
    """Read one key: its value, or `None`."""

    key: str


@dataclass(frozen=True, slots=True)
class Load:
    """Read the document: the document, or `None` before the first save."""


@dataclass(frozen=True, slots=True)
class Read:
    """Read the records from position `start` on: a list."""

    start: int


@dataclass(frozen=True, slots=True)
class Sync:
    """Durability point: what was acknowledged before it survives, where the contract says `"synced"`."""


@dataclass(frozen=True, slots=True)
class Compact:
    """Maintenance (compaction, rotation, snapshot): no visible change."""


READS = (Get, Load, Read)

_FIXED = frozenset((str, bytes, int, float, bool, type(None)))


def for_store(operation: Any) -> Any:
    """`operation` for the store: a copy where a store could change it, so that it is judged by what it was asked.

    Every client whose store is judged gives it its operations through here. A frozen dataclass that holds nothing but
    immutable built-ins is given as it is, and so is an operation that can't be copied.
    """
    if _is_fixed_operation(operation):
        return operation
    with contextlib.suppress(Exception):
        if type(operation) is Save:
            return Save(copied(operation.document))
        return copy.deepcopy(operation)
    return operation


def _is_fixed_operation(operation: Any) -> bool:
    parameters = getattr(operation, "__dataclass_params__", None)
    if parameters is None:
        return _is_fixed(operation)
    if not parameters.frozen:
        return False
    names = (*operation.__dataclass_fields__, *getattr(operation, "__dict__", ()))
    return all(_is_fixed(getattr(operation, name, None)) for name in names)


def _is_fixed(value: Any) -> bool:
    return type(value) in _FIXED or (type(value) in (tuple, frozenset) and all(map(_is_fixed, value)))


def describe(operation: object, *, limit: int = 60) -> str:
    """`operation` as a short program fragment; long text is cut to `limit` characters with its length."""
    if not dataclasses.is_dataclass(operation):
        return _short(operation, limit)
    fields = (getattr(operation, field.name) for field in dataclasses.fields(operation))
    return f"{type(operation).__name__}({', '.join(_short(value, limit) for value in fields)})"


def _short(value: object, limit: int) -> str:
    text = safe_repr(value)
    if len(text) <= limit:
        return text
    return f"{text[: limit - 12]}... ({len(text)} chars)"


def safe_repr(value: object) -> str:
    """`repr(value)`, of which a damaged store may show what has none, or is nested too deep for one."""
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__}: its repr raises {type(error).__name__}>"
