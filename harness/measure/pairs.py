"""How two versions compare by pairs of samples: an estimate, its confidence bounds, and a test of a margin.

A pair is two samples of the same work, one by each version, right after each other. Its difference is the natural
logarithm of the ratio of their times, so 0.01 is about one per cent. Differences are taken as symmetric about the true
log ratio; nothing else is assumed of their distribution. What counts is their signed ranks (Wilcoxon): the median of
the Walsh averages estimates the log ratio (Hodges and Lehmann), and the ordered averages bound it (Tukey). Source:
Hollander, Wolfe and Chicken, *Nonparametric Statistical Methods*, 3rd edition, sections 3.1 (test), 3.2 (estimate),
3.3 (bounds).

Up to `EXACT_PAIRS` pairs the null distribution is exact, beyond that normal with a correction for continuity. Ties
and zeros are given by halves to both sides. The variance is not lowered for them: without that the bounds are never
too narrow, and they say the same as the test.

Pairs come in groups, one for each pair of processes, and pairs of one group are alike where the layout of a process
in memory decides how fast it is. Then so many pairs tell less. The design effect (Kish, *Survey Sampling*, 5.4) says
how much less: by its root the critical value moves away from what is expected by chance.
"""

from __future__ import annotations

import itertools
import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

#: Up to so many pairs the null distribution of the signed ranks is counted out.
EXACT_PAIRS = 50

#: Differences by pair of processes, in the order in which they were measured.
Groups = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """A log ratio, estimated from `pairs` in `groups`, with two one-sided bounds.

    Each bound is wrong with at most the probability `lower_level` or `upper_level`; infinite where there are too few
    pairs.
    """

    estimate: float
    lower: float
    upper: float
    lower_level: float
    upper_level: float
    pairs: int
    groups: int
    design_effect: float


def interval(groups: Groups, lower_level: float, upper_level: float) -> Interval:
    """Estimate and bounds. Raises `ValueError` without any pair."""
    differences = flat(groups)
    if not differences:
        raise ValueError("there is no pair to estimate from")
    averages = walsh_averages(differences)
    effect = design_effect(groups)
    return Interval(
        estimate=median_of_sorted(averages),
        lower=_lower(averages, critical_value(len(differences), lower_level, effect)),
        upper=_upper(averages, critical_value(len(differences), upper_level, effect)),
        lower_level=lower_level,
        upper_level=upper_level,
        pairs=len(differences),
        groups=len(groups),
        design_effect=effect,
    )


def flat(groups: Groups) -> tuple[float, ...]:
    """The differences of all groups."""
    return tuple(itertools.chain.from_iterable(groups))


# --- estimate and bounds -------------------------------------------------------------------


def walsh_averages(values: Sequence[float]) -> list[float]:
    """The means of all pairs of values, each with itself included, in ascending order: n (n + 1) / 2 of them."""
    ordered = sorted(values)
    return sorted((low + high) / 2 for low, high in itertools.combinations_with_replacement(ordered, 2))


def median_of_sorted(ordered: Sequence[float]) -> float:
    """The median of values that are in order already."""
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _lower(averages: Sequence[float], critical: int) -> float:
    return averages[len(averages) - critical] if critical <= len(averages) else -math.inf


def _upper(averages: Sequence[float], critical: int) -> float:
    return averages[critical - 1] if critical <= len(averages) else math.inf


# --- the test ------------------------------------------------------------------------------


def is_above(groups: Groups, margin: float, level: float) -> bool:
    """Whether the log ratio lies above `margin`, wrong with at most the probability `level`.

    The same as: the lower bound at this level is above it.
    """
    differences = flat(groups)
    ranks = positive_ranks(differences, margin)
    if ranks < critical_value(len(differences), level):  # a design effect only makes it harder
        return False
    return ranks >= critical_value(len(differences), level, design_effect(groups))


def is_below(groups: Groups, margin: float, level: float) -> bool:
    """Whether the log ratio lies below `margin`, as `is_above`."""
    return is_above(mirrored(groups), -margin, level)


def mirrored(groups: Groups) -> Groups:
    """The same pairs, each the other way round."""
    return tuple(tuple(-difference for difference in group) for group in groups)


def standing(groups: Groups, margin: float) -> float:
    """By how many standard deviations the signed ranks lie above what is expected of a log ratio of `margin`."""
    differences = flat(groups)
    expected, deviation = _moments(len(differences))
    spread = deviation * math.sqrt(design_effect(groups))
    return (positive_ranks(differences, margin) - expected) / spread if spread else 0.0


def positive_ranks(differences: Sequence[float], margin: float) -> float:
    """The sum of the ranks of all differences above `margin`, ranked by their distance to it; ties by halves.

    It is the number of Walsh averages above the margin, those equal to it counted by half.
    """
    shifted = [difference - margin for difference in differences]
    ordered = sorted(shifted, key=abs)
    if len({*map(abs, ordered)}) == len(ordered) and 0 not in ordered:  # no ties: nearly always, and much faster
        return float(sum(rank for rank, value in enumerate(ordered, 1) if value > 0))
    ranked = zip(shifted, _mid_ranks([abs(value) for value in shifted]), strict=True)
    return sum(rank if value > 0 else rank / 2 if value == 0 else 0.0 for value, rank in ranked)


def _mid_ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the mean of theirs."""
    ordered = sorted(values)
    return [(bisect_left(ordered, value) + bisect_right(ordered, value) + 1) / 2 for value in values]


def critical_value(pairs: int, level: float, effect: float = 1.0) -> int:
    """The smallest sum of ranks that chance reaches with at most the probability `level`.

    `effect` is the design effect, 1 or more. More than n (n + 1) / 2 is never reached: then there are too few pairs.
    """
    expected, _ = _moments(pairs)
    plain = _exact_critical(pairs, level) if pairs <= EXACT_PAIRS else normal_critical(pairs, level)
    return math.ceil(expected + math.sqrt(max(effect, 1.0)) * (plain - expected) - 1e-9)


@lru_cache(maxsize=1024)
def _exact_critical(pairs: int, level: float) -> int:
    counts = null_counts(pairs)
    allowed = level * 2**pairs
    reached, total = len(counts), 0
    while reached and total + counts[reached - 1] <= allowed:
        reached -= 1
        total += counts[reached]
    return reached


def null_counts(pairs: int) -> list[int]:
    """In how many of the 2**pairs choices of signs the positive ranks add up to 0, 1, 2, ..."""
    counts = [1]
    for rank in range(1, pairs + 1):
        longer = counts + [0] * rank
        for index, ways in enumerate(counts):
            longer[index + rank] += ways
        counts = longer
    return counts


@lru_cache(maxsize=1024)
def normal_critical(pairs: int, level: float) -> int:
    """The critical value by the normal distribution, with half a rank for continuity."""
    expected, deviation = _moments(pairs)
    return math.ceil(expected + 0.5 + deviation * statistics.NormalDist().inv_cdf(1 - level))


def _moments(pairs: int) -> tuple[float, float]:
    """Mean and standard deviation of the sum of positive ranks by chance."""
    return pairs * (pairs + 1) / 4, math.sqrt(pairs * (pairs + 1) * (2 * pairs + 1) / 24)


# --- pairs of one process are alike --------------------------------------------------------


def design_effect(groups: Groups) -> float:
    """How many times as many pairs it takes because those of one group are alike; 1 if they are not.

    1 + (n - 1) rho for groups of n, rho the correlation within groups by one-way analysis of variance; of ranks, so
    that a few samples that the machine stood still in do not decide. With groups of different size, n is as in Donner
    (1986).
    """
    sizes = [len(group) for group in groups if group]
    total = sum(sizes)
    if len(sizes) < 2 or total == len(sizes):
        return 1.0
    ranks = iter(_mid_ranks(flat(groups)))
    ranked = [list(itertools.islice(ranks, size)) for size in sizes]
    between = _squares([(statistics.fmean(group), len(group)) for group in ranked]) / (len(sizes) - 1)
    within = sum(_squares([(rank, 1) for rank in group]) for group in ranked) / (total - len(sizes))
    size = (total - sum(n * n for n in sizes) / total) / (len(sizes) - 1)
    if between <= within:
        return 1.0
    correlation = (between - within) / (between + (size - 1) * within)
    return 1.0 + (size - 1) * correlation


def _squares(weighted: Iterable[tuple[float, int]]) -> float:
    """The weighted sum of squared distances from the weighted mean."""
    known = list(weighted)
    weight = sum(count for _, count in known)
    mean = sum(value * count for value, count in known) / weight
    return sum(count * (value - mean) ** 2 for value, count in known)
