"""Plain data - what JSON knows, and tuples, sets and bytes - as bytes, for copies and comparisons in one go."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any, NoReturn


class _NotPlainError(Exception):
    """There is an object in it that has its own ideas of what a copy is."""


class _Pickler(pickle.Pickler):
    def reducer_override(self, item: Any) -> NoReturn:
        raise _NotPlainError


def plain_bytes(value: Any) -> bytes | None:
    """The pickle of `value`, if that is plain data throughout, subclasses not included; else `None`.

    Values with equal bytes are equal down to the types of their parts. The opposite need not hold.
    """
    stream = io.BytesIO()
    try:
        _Pickler(stream, protocol=5).dump(value)
    except (_NotPlainError, pickle.PicklingError, RecursionError):
        return None
    return stream.getvalue()


def copied(value: Any) -> Any:
    """A deep copy, which plain data gets in one go. Raises what `copy.deepcopy` raises."""
    plain = plain_bytes(value)
    return copy.deepcopy(value) if plain is None else pickle.loads(plain)


class NestedTooDeep:
    """Stands for a value that can't be copied, because it is nested too deep. It equals nothing else."""

    def __init__(self, value: Any) -> None:
        self.kind = type(value).__name__
        self.levels = nesting(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NestedTooDeep) and (self.kind, self.levels) == (other.kind, other.levels)

    def __hash__(self) -> int:
        return hash((self.kind, self.levels))

    def __repr__(self) -> str:
        return f"<a {self.kind} nested {self.levels} levels deep, too deep to copy>"


def nesting(value: Any) -> int:
    """How many containers lie in one another, `value` included; an object with attributes is one too."""
    levels, seen, level = 0, set[int](), [value]
    while level := [item for item in level if _contains(item) and id(item) not in seen]:
        seen.update(map(id, level))
        level = [part for item in level for part in _parts(item)]
        levels += 1
    return levels


def _contains(item: Any) -> bool:
    return isinstance(item, dict | list | tuple | set | frozenset) or hasattr(item, "__dict__")


def _parts(item: Any) -> tuple[Any, ...]:
    if isinstance(item, dict):
        return (*item, *item.values())
    return tuple(item) if isinstance(item, list | tuple | set | frozenset) else tuple(vars(item).values())
