"""Quantiles of times, and how far chance goes.

A quantile is the smallest value that so many of the samples do not exceed (nearest rank), so it is always a time that
was really taken. Whether more samples lie beyond a bound than a quantile allows is decided by the binomial
distribution: if the true quantile were at the bound, each sample would be beyond it with the probability `1 - q`, at
most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

#: The chance that is taken of calling a store slow that is not, in one comparison of one measurement.
ALPHA = 0.01
#: How sure one has to be that a quantile is below the largest of few samples.
SURE = 0.95
#: Samples that must lie beyond a quantile before its estimate is one: 10,000 in all for p99.9.
_BEYOND = 10


def nearest_rank(ordered: Sequence[int], quantile: float) -> int:
    """The quantile of samples in ascending order; 0 where there are none."""
    if not ordered:
        return 0
    return ordered[max(0, math.ceil(round(quantile * len(ordered), 9)) - 1)]


def needed(quantile: float) -> int:
    """How many samples an estimate of this quantile takes."""
    return round(_BEYOND / (1 - quantile))


def needed_below(quantile: float) -> int:
    """How many samples without one beyond a bound make it sure (`SURE`) that the quantile is not beyond it either."""
    return math.ceil(math.log(1 - SURE) / math.log(quantile))


def too_many(beyond: int, samples: int, allowed: float, alpha: float = ALPHA) -> bool:
    """Whether `beyond` of `samples` is more than chance (`alpha`) explains where each is beyond with probability
    `allowed`."""
    if not samples or allowed >= 1 or beyond <= samples * allowed:
        return False
    return _upper_tail(beyond, samples, allowed) < alpha


def _upper_tail(least: int, samples: int, p: float) -> float:
    """P(X >= least) for X binomial; the terms fall from `least` on, because it is above the mean."""
    if p <= 0:
        return 0.0
    log = math.lgamma(samples + 1) - math.lgamma(least + 1) - math.lgamma(samples - least + 1)
    term = math.exp(log + least * math.log(p) + (samples - least) * math.log1p(-p))
    total = 0.0
    for count in range(least, samples + 1):
        total += term
        term *= (samples - count) / (count + 1) * p / (1 - p)
        if term <= total * 1e-12:
            break
    return total
