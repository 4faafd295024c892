"""The MetricsStore with limits: an adapter like the other, and limits that can be missed."""

from __future__ import annotations

import random
from pathlib import Path

from harness import Limit
from harness.core.adapter import validate_adapter
from harness.core.limits import declared_limits
from store_under_test.metrics_store.adapter import MetricsUpdateAdapter
from store_under_test.metrics_store.timed import TimedMetricsAdapter


def test_its_limits_are_declared_as_the_harness_wants_them() -> None:
    validate_adapter(TimedMetricsAdapter, "timed")
    limits = declared_limits(TimedMetricsAdapter, "timed")

    assert [type(limit) for limit in limits] == [Limit] * len(limits) != []
    assert len({limit.metric for limit in limits}) == len(limits)


def test_what_is_measured_is_the_same_store(tmp_path: Path) -> None:
    """What one writes the other reads, and nothing but the limits differs."""
    timed, other = TimedMetricsAdapter(), MetricsUpdateAdapter()
    store = timed.open(tmp_path)
    operation = timed.model.example_operations(random.Random(0), 1)[0]
    timed.apply(store, operation)
    timed.close(store)

    again = other.open(tmp_path)
    assert timed.model.equal(other.snapshot(again), timed.model.step(timed.model.initial(), operation)[0])
    other.close(again)
    assert timed.contract == other.contract and not declared_limits(MetricsUpdateAdapter, "other")
