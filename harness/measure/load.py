"""The load of a measurement: what is asked of a store, one operation after another.

An adapter brings its own (`measured_operations(random, count)`), or gets the examples of its model, with a read after
every fourth operation where it answers reads. Operations go to a file and are made from it one at a time, so that what
a store keeps of them is memory that it has taken, and what making them took is not there to be taken.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterable, Iterator
from typing import Any

from harness.core.adapter import supported_operations
from harness.core.errors import UsageError
from harness.core.models import DOCUMENT, KEY_VALUE, LOG
from harness.core.operations import Append, AppendMany, Delete, Get, Load, Put, PutMany, Read

_READ_EVERY = 4
#: How many records a read of a log asks for, at least.
_RECORDS = 8


def load_of(adapter: Any, seed: int, count: int) -> list[Any]:
    """`count` operations for an adapter class, or as many as there are. The same seed gives the same ones.

    Raises `UsageError` where the adapter's own load is none, or what no other process could be sent.
    """
    source = random.Random(f"measured {seed}")
    own = getattr(adapter, "measured_operations", None)
    try:
        operations = list(adapter().measured_operations(source, count)) if own else _examples(adapter, source, count)
        pickle.dumps(operations)
        return operations[:count]
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"the adapter gives no load to measure ({text}).") from None


def _examples(adapter: Any, source: random.Random, count: int) -> list[Any]:
    supported = supported_operations(adapter)
    made = adapter.model.example_operations(source, 2 * count)
    taken = [operation for operation in made if supported is None or isinstance(operation, supported)]
    return list(_with_reads(adapter.model, taken[:count], supported or ()))[:count]


def _with_reads(model: Any, operations: list[Any], supported: tuple[type, ...]) -> Iterator[Any]:
    records, key = 0, ""
    for number, operation in enumerate(operations, 1):
        records += _records(operation)
        key = _key(operation) or key
        yield operation
        if number % _READ_EVERY == 0:
            if model is KEY_VALUE and Get in supported:
                yield Get(key)
            elif model is DOCUMENT and Load in supported:
                yield Load()
            elif model is LOG and Read in supported:
                yield Read(max(0, records - _RECORDS))


def _records(operation: Any) -> int:
    return len(operation.records) if isinstance(operation, AppendMany) else int(isinstance(operation, Append))


def _key(operation: Any) -> str:
    match operation:
        case Put(key) | Delete(key):
            return key
        case PutMany(items):
            return items[-1][0]
    return ""


def write_load(operations: Iterable[Any], path: str) -> None:
    """Write operations for another process."""
    with open(path, "wb") as stream:
        for operation in operations:
            pickle.dump(operation, stream)


def read_load(path: str) -> Iterator[Any]:
    """The operations in a file, made when they are asked for."""
    with open(path, "rb") as stream:
        while stream.peek(1):
            yield pickle.load(stream)
