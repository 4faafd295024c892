"""The operations of the three built-in models, as frozen dataclasses.

An operation is one call on a store as its model sees it. Text is any Unicode without
surrogates, the empty string included.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


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


def describe(operation: object, *, limit: int = 60) -> str:
    """`operation` as a short program fragment; long text is cut to `limit` characters with its length."""
    if not dataclasses.is_dataclass(operation):
        return _short(operation, limit)
    fields = (getattr(operation, field.name) for field in dataclasses.fields(operation))
    return f"{type(operation).__name__}({', '.join(_short(value, limit) for value in fields)})"


def _short(value: object, limit: int) -> str:
    text = repr(value)
    if len(text) <= limit:
        return text
    return f"{text[: limit - 12]}... ({len(text)} chars)"
