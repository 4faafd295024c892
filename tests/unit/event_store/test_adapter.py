"""The adapter agrees with the model of a log, and drives what the store has: rotations, and segments of all kinds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from harness import LOG, Append, AppendMany, Compact, Read, Unsupported
from harness.core.adapter import validate_adapter
from store_under_test.event_store.adapter import EventStoreAdapter


def test_the_adapter_is_valid() -> None:
    """As the harness sees it."""
    validate_adapter(EventStoreAdapter, "EventStoreAdapter")


def test_the_store_does_what_the_model_says(tmp_path: Path) -> None:
    """Answers and states, with reopenings and more than one segment."""
    adapter, generator = EventStoreAdapter(), random.Random(4)
    state = LOG.initial()
    store = adapter.open(tmp_path)
    for number in range(60):
        text = "é\0🙂"[: number % 4] * generator.choice((0, 1, 300, 3000))
        choices = (Append(text), AppendMany((text, "", str(number))), Compact(), Read(number // 2))
        operation = choices[number % 4]
        state, answer = LOG.step(state, operation)
        assert adapter.apply(store, operation) == answer or isinstance(operation, AppendMany)
        if number % 5 == 0:
            adapter.close(store)
            store = adapter.open(tmp_path)
        assert LOG.equal(adapter.snapshot(store), state)
    assert len(store.log.segments()) > 3
    adapter.close(store)


def test_what_is_beyond_the_limits_is_unsupported(tmp_path: Path) -> None:
    """And changes nothing."""
    adapter = EventStoreAdapter()
    store = adapter.open(tmp_path)
    for operation in (Append("x" * (1 << 20)), AppendMany(("",) * 1001), AppendMany(("x" * 1_000_000,) * 11)):
        with pytest.raises(Unsupported):
            adapter.apply(store, operation)
    assert adapter.snapshot(store) == []
    adapter.close(store)


def test_another_operation_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    """Not silently nothing."""
    adapter = EventStoreAdapter()
    store = adapter.open(tmp_path)
    with pytest.raises(TypeError, match="not an operation"):
        adapter.apply(store, "append")
    adapter.close(store)
