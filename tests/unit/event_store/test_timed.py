"""The EventStore with limits: the same store in larger segments, loads that ask for what is promised, and limits that
can be missed.
"""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from harness import Append, AppendMany, Limit, Read
from harness.core.adapter import validate_adapter
from harness.core.limits import declared_limits
from store_under_test.event_store import timed
from store_under_test.event_store.adapter import CONTRACT, EventStoreAdapter
from store_under_test.event_store.timed import EnduredAppends, TimedAppends, TimedBatches

ALL: list[type[EventStoreAdapter]] = [TimedAppends, TimedBatches, EnduredAppends]


def load(adapter: type[EventStoreAdapter], count: int, seed: int = 0) -> list[Any]:
    made: list[Any] = adapter().measured_operations(random.Random(seed), count)  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize("adapter", ALL)
def test_its_limits_are_declared_as_the_harness_wants_them(adapter: type[EventStoreAdapter]) -> None:
    validate_adapter(adapter, "timed")
    limits = declared_limits(adapter, "timed")

    assert [type(limit) for limit in limits] == [Limit] * len(limits) != []
    assert len({limit.metric for limit in limits}) == len(limits)
    assert adapter.contract == CONTRACT
    assert not declared_limits(EventStoreAdapter, "other")


@pytest.mark.parametrize("adapter", ALL)
def test_the_store_gives_what_the_model_says(
    adapter: type[EventStoreAdapter], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers of queries over several pages too, also after it was opened again."""
    monkeypatch.setattr(timed, "QUERIED_EVENTS", 7)
    monkeypatch.setattr(timed, "FILLED_EVENTS", 1_000)
    driven = adapter()
    model, state, store = driven.model, driven.model.initial(), driven.open(tmp_path)
    for operation in (*load(adapter, 12), Read(980)):
        state, answer = model.step(state, operation)
        assert driven.apply(store, operation) == answer
    driven.close(store)

    again = driven.open(tmp_path)
    assert model.equal(driven.snapshot(again), state)
    driven.close(again)


def test_queries_ask_for_a_thousand_of_ten_thousand_events_or_more() -> None:
    """The log is filled within the warming up of every profile, the least of which are forty operations."""
    held, queried = 0, 0
    for number, operation in enumerate(load(TimedAppends, 100)):
        match operation:
            case AppendMany(records):
                held += len(records)
                assert number < 40
            case Append():
                held += 1
            case Read(start):
                queried += 1
                assert held >= 10_000 and held - start == 1_000
    assert queried == 22


def test_a_load_is_as_long_as_was_asked_for_and_the_same_again() -> None:
    """Also where it ends while the log is being filled."""
    for adapter in ALL:
        assert len(load(adapter, 5)) == 5 and load(adapter, 5) == load(adapter, 5) != load(adapter, 5, seed=1)


def test_batches_promise_events_and_not_operations() -> None:
    """Ten thousand events per second, and a hundred thousand of them in the log that is read again."""
    bounds = {limit.metric: limit for limit in TimedBatches.limits}
    sizes = {len(operation.records) for operation in islice(load(TimedBatches, 3), 3)}

    assert sizes == {100}
    assert bounds["throughput_per_s"].bound * 100 == 10_000
    assert bounds["replay_s"].operations * 100 == 100_000
