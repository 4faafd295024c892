"""The adapters agree with their models, and the models notice what differs."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest

from harness.core.adapter import validate_adapter
from store_under_test.metrics_store import MetricsStore
from store_under_test.metrics_store.adapter import (
    MAX_EVENTS,
    AddEvent,
    CountTask,
    MetricsStoreAdapter,
    MetricsUpdateAdapter,
    ReadState,
    SaveInvalid,
    SaveState,
)
from tests.unit.metrics_store.helpers import raw_state

ADAPTERS = pytest.mark.parametrize("adapter_class", [MetricsStoreAdapter, MetricsUpdateAdapter])


@ADAPTERS
def test_a_lost_operation_is_seen(tmp_path: Path, adapter_class: Any) -> None:
    """A store that skips an operation no longer equals its model."""
    adapter = adapter_class()
    store = adapter.open(tmp_path)
    first, lost = adapter.model.example_operations(random.Random(0), 2)
    adapter.apply(store, first)
    state, _ = adapter.model.step(adapter.model.initial(), first)
    assert adapter.model.equal(adapter.snapshot(store), state)
    state, _ = adapter.model.step(state, lost)
    assert not adapter.model.equal(adapter.snapshot(store), state)


@ADAPTERS
@pytest.mark.parametrize("seed", range(4))
def test_the_store_does_what_the_model_says(
    tmp_path: Path, adapter_class: Any, seed: int
) -> None:
    """Answers and states, over a workload with evictions and refusals, with a reopening after each step."""
    adapter = adapter_class()
    model = adapter.model
    state = model.initial()
    for operation in [*model.example_operations(random.Random(seed), 30), ReadState()]:
        store = adapter.open(tmp_path)
        before = copy.deepcopy(state)
        after, answer = model.step(state, operation)
        assert state == before  # a step changes nothing
        assert adapter.apply(store, operation) == answer
        assert model.equal(adapter.snapshot(store), after)
        adapter.close(store)
        state = after


@ADAPTERS
def test_an_adapter_is_one_to_the_harness(adapter_class: Any) -> None:
    """Methods, name, contract and model are there, and the whole list of operations is used."""
    validate_adapter(adapter_class, "it")
    examples = adapter_class.model.example_operations(random.Random(1), 200)
    assert {type(operation) for operation in examples} | {ReadState} == set(adapter_class.operations)
    assert examples == adapter_class.model.example_operations(random.Random(1), 200)


@ADAPTERS
def test_an_unknown_operation_is_a_type_error(tmp_path: Path, adapter_class: Any) -> None:
    """In the adapter and in the model."""
    with pytest.raises(TypeError, match="no operation int"):
        adapter_class().apply(adapter_class().open(tmp_path), 3)
    with pytest.raises(TypeError, match="no operation int"):
        adapter_class.model.step(adapter_class.model.initial(), 3)


@ADAPTERS
def test_workloads_start_small(tmp_path: Path, adapter_class: Any) -> None:
    """The first documents take less than a page; later some take more."""
    adapter = adapter_class()
    store: MetricsStore = adapter.open(tmp_path)
    sizes = []
    for operation in adapter.model.example_operations(random.Random(3), 20):
        adapter.apply(store, operation)
        sizes.append(store.get_stats().primary_bytes)
    assert max(sizes[:3]) < 1000
    assert max(sizes) > 4096


def test_time_stamps_of_the_document_do_not_matter() -> None:
    """Everything else does, types included."""
    model = MetricsStoreAdapter.model
    state, _ = model.step(model.initial(), SaveState(raw_state("p")))
    assert model.equal(raw_state("p", updated_at="other"), state)
    assert not model.equal(raw_state("q"), state)
    assert not model.equal(None, state)


def test_accepting_an_invalid_document_is_seen(tmp_path: Path) -> None:
    """A store that accepts what it must refuse answers otherwise than the model."""
    adapter = MetricsStoreAdapter()
    valid = SaveInvalid(raw_state("valid after all"))
    assert adapter.apply(adapter.open(tmp_path), valid) == "accepted"
    assert adapter.model.step(adapter.model.initial(), valid)[1] == "refused"


def test_the_models_evict_the_oldest() -> None:
    """And count per agent."""
    model = MetricsUpdateAdapter.model
    state = model.initial()
    for number in range(MAX_EVENTS + 1):
        state, _ = model.step(state, AddEvent(str(number), "a", ""))
    assert [item["id"] for item in state["events"]] == [str(number) for number in range(1, MAX_EVENTS + 1)]
    state, first = model.step(state, CountTask("a"))
    assert (first, model.step(state, CountTask("a"))[1]) == (1, 2)
