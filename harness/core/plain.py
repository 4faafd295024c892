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
