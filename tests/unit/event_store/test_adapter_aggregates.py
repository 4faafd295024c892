"""The model of aggregates, and the adapter beside it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from harness.core.adapter import validate_adapter
from store_under_test.event_store.adapter_aggregates import (
    AggregateAdapter,
    AggregateModel,
    Checkpoint,
    ReadChain,
    ReadStream,
    ReadType,
    Record,
    RecordAll,
    RecordAt,
    Rotate,
    shown,
)

MODEL = AggregateModel()


def after(*operations: Any) -> tuple[Any, list[Any]]:
    """The model's state after the operations, and its answers."""
    state, answers = MODEL.initial(), []
    for operation in operations:
        state, answer = MODEL.step(state, operation)
        answers.append(answer)
    return state, answers


def test_it_is_an_adapter() -> None:
    validate_adapter(AggregateAdapter, "AggregateAdapter")


def test_versions_count_the_events_of_one_aggregate() -> None:
    """A wrong expectation is refused and changes nothing."""
    state, answers = after(
        Record("1", "a", "t", ""),
        RecordAt("2", "a", 0, ""),
        RecordAt("3", "a", 1, ""),
        RecordAll((("4", "a", ""), ("5", "b", ""))),
        Record("6", "a", "t", "", "3"),
        Checkpoint(),
        Rotate(),
        ReadStream("a", 3),
        ReadType("t"),
        ReadChain("6"),
        ReadChain("nobody"),
    )
    assert [row[0] for row in state] == ["1", "3", "4", "5", "6"]
    assert answers == [1, "refused", 2, None, 4, None, None, ["4", "6"], ["1", "6"], ["3", "6"], []]
    assert shown(state)["versions"] == {"a": 4, "b": 1}


def test_a_state_that_any_way_of_reading_shows_otherwise_is_another() -> None:
    """An index that misses an event, a version that is wrong, an order that is another."""
    state, _ = after(Record("1", "a", "t", "x"), Record("2", "a", "t", ""), Record("3", "b", "t", ""))
    assert MODEL.equal(shown(state), state)
    for spoil in (
        lambda seen: seen["streams"]["a"].pop(),
        lambda seen: seen["types"]["t"].reverse(),
        lambda seen: seen["versions"].update(a=1),
        lambda seen: seen["events"][0].__setitem__(3, "y"),
        lambda seen: seen["streams"].pop("b"),
    ):
        seen = shown(state)
        spoil(seen)
        assert not MODEL.equal(seen, state)


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(TypeError):
        MODEL.step((), "shout")
    with pytest.raises(TypeError):
        AggregateAdapter().apply(None, "shout")  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(3))
def test_the_store_answers_like_the_model(tmp_path: Path, seed: int) -> None:
    """Over workloads with all operations, reopened now and then."""
    adapter, chance = AggregateAdapter(), random.Random(seed)
    operations = MODEL.example_operations(chance, 60)
    store, state = adapter.open(tmp_path), MODEL.initial()
    for operation in operations:
        state, answer = MODEL.step(state, operation)
        assert adapter.apply(store, operation) == answer
        if chance.random() < 0.2:
            adapter.close(store)
            store = adapter.open(tmp_path)
        assert MODEL.equal(adapter.snapshot(store), state)
    assert list(tmp_path.glob("*.idx")) and list(tmp_path.glob("*.snap"))
    adapter.close(store)


def test_examples_are_of_every_kind_and_start_small() -> None:
    """Refused and accepted expectations, long payloads, chains of causes; always the same for one seed."""
    operations = MODEL.example_operations(random.Random(1), 400)
    assert operations == MODEL.example_operations(random.Random(1), 400)
    assert {type(one) for one in operations} == set(AggregateAdapter.operations)
    _, answers = after(*operations)
    expectations = [
        answer == "refused" for one, answer in zip(operations, answers, strict=True) if isinstance(one, RecordAt)
    ]
    assert 0 < sum(expectations) < len(expectations)
    assert max(len(answer) for answer in answers if isinstance(answer, list)) > 3
    for seed in range(20):
        for one in MODEL.example_operations(random.Random(seed), 3):
            assert len(getattr(one, "payload", "")) < 100
