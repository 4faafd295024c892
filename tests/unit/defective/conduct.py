"""How a store of the zoo behaves while nothing is injected, compared with its model."""

from __future__ import annotations

import importlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import Append, Compact, Get, Load, Put, Read, Save, Sync, Unsupported
from harness.core.adapter import supported_operations
from store_under_test.defective.catalogue import PACKAGE, Row

CALL_SITE = "# <- call site"


def adapter_of(row: Row) -> type[Any]:
    """The adapter class of a row's store."""
    adapter: type[Any] = importlib.import_module(f"{PACKAGE}.{row.module}").Adapter
    return adapter


def marked_lines(row: Row) -> list[str]:
    """The lines of a row's module that a finding may name."""
    source = importlib.import_module(f"{PACKAGE}.{row.module}").__file__
    assert source is not None
    lines = Path(source).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.endswith(CALL_SITE)]


def operations_for(adapter: type[Any], count: int, seed: int) -> Iterator[Any]:
    """The model's examples that the adapter takes, of `count`, with reads and maintenance between."""
    source = random.Random(seed)
    kinds = supported_operations(adapter) or ()
    extras = [extra for extra in (Get("k1"), Load(), Read(1), Sync(), Compact()) if type(extra) in kinds]
    for number, operation in enumerate(adapter.model.example_operations(source, count)):
        if type(operation) in kinds:
            yield operation
        if extras and number % 3 == 0:
            yield source.choice(extras)


def conduct(adapter: type[Any], directory: Path, count: int, seed: int) -> int:
    """Run operations, reopening now and then; assert answers and states. Returns how many were done."""
    model, state, done = adapter.model, adapter.model.initial(), 0
    client = adapter()
    store = client.open(directory)
    assert model.equal(client.snapshot(store), state)
    for number, operation in enumerate(operations_for(adapter, count, seed)):
        try:
            answer = client.apply(store, operation)
        except Unsupported:
            continue
        state, expected = model.step(state, operation)
        done += 1
        assert answer is None or answer == expected
        assert expected is None or not isinstance(operation, Get | Load | Read) or answer == expected
        if number % 7 == 0:
            client.close(store)
            client = adapter()
            store = client.open(directory)
        assert model.equal(client.snapshot(store), state), operation
    client.close(store)
    return done


def first_operation(adapter: type[Any]) -> Any:
    """One mandatory operation with an effect."""
    return {"KEY_VALUE": Put("key", "value"), "DOCUMENT": Save({"a": 1}), "LOG": Append("record")}[
        adapter.model.name
    ]
