"""Quantiles, and what chance explains."""

from __future__ import annotations

import math

import pytest

from harness.measure.quantiles import nearest_rank, needed, needed_below, too_many


def test_a_quantile_is_a_value_that_was_measured() -> None:
    """The smallest that so many do not exceed."""
    values = list(range(1, 101))

    assert [nearest_rank(values, q) for q in (0.5, 0.95, 0.99, 0.999, 1.0)] == [50, 95, 99, 100, 100]
    assert nearest_rank([7], 0.5) == 7 and nearest_rank([], 0.99) == 0
    assert nearest_rank([1, 2, 3], 0.0) == 1


def test_how_many_samples_a_quantile_takes() -> None:
    """Ten beyond it; or enough without any beyond a bound."""
    assert [needed(q) for q in (0.5, 0.95, 0.99, 0.999)] == [20, 200, 1_000, 10_000]
    assert needed_below(0.99) == 299 and needed_below(0.999) == 2_995


@pytest.mark.parametrize(
    ("beyond", "samples", "allowed", "expected"),
    [
        (4, 200, 0.01, False),  # happens in one of seven runs
        (6, 300, 0.01, False),
        (40, 2_000, 0.01, True),
        (20, 2_000, 0.01, False),
        (5, 5, 1.0, False),
        (0, 0, 0.1, False),
        (1, 10, 0.0, True),
        (600, 1_000, 0.5, True),
        (510, 1_000, 0.5, False),
    ],
)
def test_what_chance_does_not_explain(beyond: int, samples: int, allowed: float, expected: bool) -> None:
    """The binomial distribution, at one percent."""
    assert too_many(beyond, samples, allowed) is expected


@pytest.mark.parametrize(("samples", "p"), [(30, 0.1), (200, 0.01), (50, 0.5)])
def test_the_tail_is_the_exact_one(samples: int, p: float) -> None:
    """Against the sum of all terms: the smallest number that is too many is where the tail falls below alpha."""
    tails = [
        sum(math.comb(samples, k) * p**k * (1 - p) ** (samples - k) for k in range(least, samples + 1))
        for least in range(samples + 1)
    ]
    first = next(number for number, tail in enumerate(tails) if tail < 0.01)

    assert too_many(first, samples, p) and not too_many(first - 1, samples, p)
