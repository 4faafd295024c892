"""Limits: one bound on one metric, and a sentence for everything else."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness import Limit, UsageError
from harness.core.adapter import validate_adapter
from harness.core.limits import METRICS, amount, declared_limits
from tests.stores.honest import Sound


def test_a_limit_has_one_bound() -> None:
    """At most for what should be small, at least for a throughput."""
    limit, rate = Limit("apply_p99_ms", at_most=10), Limit("throughput_per_s", at_least=500.0)

    assert (limit.bound, limit.bound_text) == (10.0, "at most 10 ms")
    assert (rate.bound, rate.bound_text) == (500.0, "at least 500 operations/s")
    assert Limit("descriptors", at_most=0).bound_text == "at most 0"
    assert Limit("replay_s", at_most=1, operations=100_000).operations == 100_000
    assert limit == Limit("apply_p99_ms", at_most=10.0) != Limit("apply_p99_ms", at_most=11)


@pytest.mark.parametrize(
    ("metric", "bounds", "sentence"),
    [
        ("speed", {"at_most": 1}, "names no metric: say one of apply_p50_ms, "),
        ("apply_p99_ms", {}, "takes exactly one bound: write at_most=..."),
        ("apply_p99_ms", {"at_most": 1, "at_least": 1}, "takes exactly one bound"),
        ("apply_p99_ms", {"at_least": 1}, "write at_most=..."),
        ("throughput_per_s", {"at_most": 1}, "write at_least=..."),
        ("apply_p99_ms", {"at_most": -1}, "is no bound: give a number, 0 or more"),
        ("apply_p99_ms", {"at_most": float("nan")}, "is no bound"),
        ("apply_p99_ms", {"at_most": float("inf")}, "is no bound"),
        ("apply_p99_ms", {"at_most": "10"}, "is no bound"),
        ("apply_p99_ms", {"at_most": True}, "is no bound"),
        ("apply_p99_ms", {"at_most": 1, "operations": 5}, "replay_s alone takes a number of them"),
        ("replay_s", {"at_most": 1, "operations": -5}, "replay_s alone takes a number of them"),
    ],
)
def test_what_is_no_limit_is_refused(metric: str, bounds: dict[str, Any], sentence: str) -> None:
    """In one sentence that says what to write instead."""
    with pytest.raises(UsageError, match=re.escape(sentence)):
        Limit(metric, **bounds)


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (Limit("open_ms", at_most=1), "limits is not a tuple of limits"),
        ((1,), "limits is not a tuple of limits"),
        ((Limit("open_ms", at_most=1), Limit("open_ms", at_most=2)), "has two limits for open_ms"),
    ],
)
def test_an_adapter_with_other_limits_is_refused(limits: Any, sentence: str) -> None:
    """Before anything runs."""
    with pytest.raises(UsageError, match=sentence):
        validate_adapter(type("Mine", (Sound,), {"limits": limits}), "Mine")


def test_a_load_that_cannot_be_called_is_refused() -> None:
    """It is a method, with the arguments that are told."""
    mine = type("Mine", (Sound,), {"limits": (Limit("open_ms", at_most=1),), "measured_operations": []})
    with pytest.raises(UsageError, match=r"measured_operations is no method: it is called with \(random, count\)"):
        validate_adapter(mine, "Mine")


def test_an_adapter_without_limits_has_none() -> None:
    """The attribute is optional."""
    assert declared_limits(Sound) == ()


def test_metrics_say_what_they_mean() -> None:
    """The unit ends the name; quantiles are those that the name says."""
    for name, metric in METRICS.items():
        assert metric.name == name and metric.meaning
        if metric.quantile is not None:
            digits = re.fullmatch(r"[a-z]+_p(\d+)_ms", name)
            assert digits and float(f"0.{digits[1]}") == metric.quantile and metric.unit == "ms"
    assert METRICS["apply_p999_ms"].quantile == 0.999 and METRICS["apply_p50_ms"].quantile == 0.5


def test_amounts_have_three_digits() -> None:
    """Or all that stand before the point."""
    assert [amount(value) for value in (0.0123456, 9.876, 54.321, 12345.6, 0)] == [
        *("0.0123", "9.88", "54.3", "12,346", "0"),
    ]
