"""Several callers of one store, each in a lane of its own, so that what the store holds can be told apart again.

In which order the operations of several callers take effect nobody knows, only that of each by itself. So caller `n`
gets keys, or records, of its own: all begin with `n-`. What of a snapshot is the share of one caller is then what its
own operations lead to, in their order, whatever the others did. That a batch of records stands together is not told
by that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.core.models import KEY_VALUE, LOG
from harness.core.operations import Append, AppendMany, Delete, Get, Put, PutMany

#: The models whose operations can be kept apart.
MODELS = (KEY_VALUE, LOG)


def can_be_shared(model: Any) -> bool:
    """Whether the operations of several callers can be kept apart."""
    return any(model is other for other in MODELS)


def marked(operation: Any, caller: int) -> Any:
    """The operation with keys or records that are those of `caller`."""
    match operation:
        case Append(record):
            return Append(f"{caller}-{record}")
        case AppendMany(records):
            return AppendMany(tuple(f"{caller}-{record}" for record in records))
        case Put(key, value):
            return Put(f"{caller}-{key}", value)
        case PutMany(items):
            return PutMany(tuple((f"{caller}-{key}", value) for key, value in items))
        case Delete(key):
            return Delete(f"{caller}-{key}")
        case Get(key):
            return Get(f"{caller}-{key}")
    return operation


def shares(snapshot: Any, callers: int) -> list[Any] | None:
    """For each caller what of `snapshot` is its own; `None` where something is nobody's."""
    if isinstance(snapshot, Mapping):
        mappings: list[dict[str, Any]] = [{} for _ in range(callers)]
        for key, value in snapshot.items():
            owner = _owner(key, callers)
            if owner is None:
                return None
            mappings[owner][key] = value
        return mappings
    if not isinstance(snapshot, list | tuple):
        return None
    lists: list[list[str]] = [[] for _ in range(callers)]
    for record in snapshot:
        owner = _owner(record, callers)
        if owner is None:
            return None
        lists[owner].append(record)
    return lists


def _owner(text: Any, callers: int) -> int | None:
    head = text.partition("-")[0] if isinstance(text, str) and "-" in text else ""
    return int(head) if head.isascii() and head.isdigit() and int(head) < callers else None
