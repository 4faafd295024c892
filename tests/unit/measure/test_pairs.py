"""Signed ranks: against counting out all signs, and against published tables."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import pytest

from harness.measure import pairs
from harness.measure.pairs import (
    critical_value,
    design_effect,
    interval,
    is_above,
    is_below,
    median_of_sorted,
    normal_critical,
    null_counts,
    positive_ranks,
    standing,
    walsh_averages,
)


def sums_of_all_signs(count: int) -> list[int]:
    """How often each sum of positive ranks occurs, by trying all signs."""
    sums = [0] * (count * (count + 1) // 2 + 1)
    for signs in itertools.product((0, 1), repeat=count):
        sums[sum(rank for rank, sign in enumerate(signs, 1) if sign)] += 1
    return sums


@pytest.mark.parametrize("count", range(11))
def test_the_null_distribution_is_that_of_all_signs(count: int) -> None:
    """Every choice of signs is counted once."""
    assert null_counts(count) == sums_of_all_signs(count)


@pytest.mark.parametrize("count", range(1, 11))
@pytest.mark.parametrize("level", [0.2, 0.05, 0.01, 0.002])
def test_the_critical_value_is_the_smallest_that_chance_seldom_reaches(count: int, level: float) -> None:
    """Its probability is within the level; that of the sum before it is not."""
    counts = sums_of_all_signs(count)
    critical = critical_value(count, level)

    assert sum(counts[critical:]) / 2**count <= level
    assert sum(counts[critical - 1 :]) / 2**count > level


@pytest.mark.parametrize(
    ("count", "level", "critical"),
    # n (n + 1) / 2 less the lower ones of Wilcoxon, Katti and Wilcox, "Critical values and probability levels
    # for the Wilcoxon rank sum test and the Wilcoxon signed rank test" (1970), as reprinted in textbooks.
    [(6, 0.05, 19), (10, 0.05, 45), (20, 0.05, 150), (25, 0.01, 249), (30, 0.025, 328), (50, 0.05, 809)],
)
def test_critical_values_are_those_of_the_tables(count: int, level: float, critical: int) -> None:
    """One-sided levels, as printed."""
    assert critical_value(count, level) == critical


def test_too_few_pairs_have_no_critical_value() -> None:
    """Four signs cannot be as rare as one in a hundred: the bounds are infinite, and nothing is above anything."""
    groups = ((0.1, 0.2, 0.3, 0.4),)
    known = interval(groups, 0.01, 0.01)

    assert critical_value(4, 0.01) == 11
    assert (known.lower, known.upper) == (-math.inf, math.inf)
    assert not is_above(groups, 0.0, 0.01) and not is_above((), 0.0, 0.01)
    assert standing((), 0.0) == 0.0
    with pytest.raises(ValueError, match="no pair"):
        interval(((),), 0.01, 0.01)


@pytest.mark.parametrize("level", [0.05, 0.015, 0.002])
def test_the_normal_distribution_takes_over_where_it_is_close(level: float) -> None:
    """Beyond the exact range its critical value is at most a fifth of a per cent of all ranks away from the exact
    one.
    """
    count = 80
    counts = null_counts(count)
    tails = list(itertools.accumulate(reversed(counts)))
    exact = len(counts) - sum(1 for tail in tails if tail <= level * 2**count)

    assert critical_value(count, level) == normal_critical(count, level)
    assert abs(normal_critical(count, level) - exact) <= 0.002 * len(counts)


def test_walsh_averages_are_the_means_of_all_pairs() -> None:
    """In order, each value with itself too; their median is the estimate."""
    values = [3.0, 1.0, 2.0, 10.0]
    expected = sorted((a + b) / 2 for n, a in enumerate(values) for b in values[n:])

    assert walsh_averages(values) == expected
    assert median_of_sorted(expected) == statistics.median(expected) == 2.75
    assert median_of_sorted(expected[1:]) == statistics.median(expected[1:])


@pytest.mark.parametrize("values", [[1.0, -2.0, 3.0, 0.5], [1.0, 1.0, -1.0, 2.0, 0.0, 0.0], [0.0] * 3, [2.0, -2.0]])
@pytest.mark.parametrize("margin", [0.0, 0.5, 1.0])
def test_positive_ranks_count_walsh_averages(values: list[float], margin: float) -> None:
    """Tukey's identity, ties and zeros by halves: the sum of ranks is how many averages lie above the margin."""
    averages = walsh_averages(values)
    above = sum(1.0 if average > margin else 0.5 if average == margin else 0.0 for average in averages)

    assert positive_ranks(values, margin) == above


@pytest.mark.parametrize("seed", range(20))
def test_a_bound_excludes_a_margin_exactly_when_the_test_does(seed: int) -> None:
    """Also where pairs of one group are alike, and with exact and normal critical values."""
    source = random.Random(seed)
    luck = source.choice((0.0, 0.2))
    groups = tuple(
        tuple(0.1 + centre + source.gauss(0, 0.2) for _ in range(source.choice((5, 9))))
        for centre in (source.gauss(0, luck) for _ in range(8))
    )
    known = interval(groups, 0.02, 0.05)
    for margin in (known.lower - 1e-9, known.lower + 1e-9, 0.0, 0.1, 0.2, known.upper - 1e-9, known.upper + 1e-9):
        assert is_above(groups, margin, 0.02) == (known.lower > margin)
        assert is_below(groups, margin, 0.05) == (known.upper < margin)
    assert known.lower <= known.estimate <= known.upper
    assert known.pairs == sum(map(len, groups)) and known.groups == 8


def test_an_interval_by_hand() -> None:
    """Depression scores of Hollander and Wolfe, examples 3.1, 3.3 and 3.4: the two-sided interval of 96 % is theirs."""
    before = (1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30)
    after = (0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29)
    groups = (tuple(y - x for x, y in zip(before, after, strict=True)),)
    known = interval(groups, 0.02, 0.02)

    assert positive_ranks(groups[0], 0.0) == 5
    assert known.estimate == pytest.approx(-0.46)
    assert (known.lower, known.upper) == pytest.approx((-0.786, -0.010))


def test_pairs_of_one_process_that_are_alike_count_less() -> None:
    """Where all of a group are equal the group counts once; where groups do not differ, each pair counts."""
    alike = tuple((float(group),) * 10 for group in range(6))
    apart = tuple(tuple(float(value) for value in range(10)) for _ in range(6))

    assert design_effect(alike) == pytest.approx(10)
    assert design_effect(apart) == 1.0
    assert design_effect((alike[0],)) == design_effect(()) == design_effect(((1.0,), (2.0,))) == 1.0


def test_few_lucky_processes_do_not_show_a_difference() -> None:
    """Ten pairs each of four processes, most of them slower by their layout: as independent pairs they would alarm."""
    groups = tuple(tuple(centre + 0.001 * n for n in range(10)) for centre in (0.05, 0.06, 0.04, -0.02))

    assert is_above((pairs.flat(groups),), 0.0, 0.01)
    assert not is_above(groups, 0.0, 0.01)
