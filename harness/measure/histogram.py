"""Distributions of times as HdrHistograms (hdrhistogram.org, Gil Tene): three digits everywhere, and mergeable.

This module and `latencies`, whose histograms are filled one by one over a long time, need the extra `measure`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from typing import Any

#: From a nanosecond to an hour.
_MOST_NS = 3_600 * 10**9
_DIGITS = 3
#: The percentiles of a table.
TABLE = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0)
_POINTS_FOR_A_DECADE = 8


def missing() -> str:
    """Why no histogram can be made here, in words, or nothing."""
    if importlib.util.find_spec("hdrh") is None:
        return "it takes the extra `measure`: pip install 'durability-harness[measure]'"
    return ""


class Histogram:
    """Times in nanoseconds."""

    def __init__(self, values: Iterable[int]) -> None:
        from hdrh.histogram import HdrHistogram

        self._histogram: Any = HdrHistogram(1, _MOST_NS, _DIGITS)
        for value in values:
            self._histogram.record_value(min(max(1, value), _MOST_NS))

    @property
    def count(self) -> int:
        return int(self._histogram.get_total_count())

    def at(self, percentile: float) -> int:
        """The time that so many percent of all do not exceed; 100 gives the largest."""
        return int(self._histogram.get_value_at_percentile(percentile))

    def encoded(self) -> str:
        """The histogram in HdrHistogram's own compressed form (V2, base64), for tools and for merging."""
        return str(self._histogram.encode().decode("ascii"))

    def table(self) -> list[dict[str, float | int]]:
        """A row for each percentile: the time in ms, and how many lie beyond it."""
        return [
            {"percentile": p, "ms": self.at(p) / 1e6, "beyond": self.count - self._within(p)} for p in TABLE
        ]

    def _within(self, percentile: float) -> int:
        return int(self._histogram.get_target_count_at_percentile(percentile))

    def curve(self) -> list[list[float]]:
        """Points [percentile, ms] for a plot."""
        return curve(self.count, lambda percentile: self.at(percentile) / 1e6)


def curve(count: int, at_ms: Callable[[float], float]) -> list[list[float]]:
    """Points [percentile, ms] for a plot of `count` samples, evenly spread over the logarithm of `1 / (1 - q)`.

    From a quarter of all on, because the fastest of all would only stretch the scale, up to the largest.
    """
    points: list[list[float]] = []
    step = 1
    while (outside := 10 ** (-step / _POINTS_FOR_A_DECADE)) * count >= 1:
        percentile = 100 * (1 - outside)
        points.append([round(percentile, 6), at_ms(percentile)])
        step += 1
    return [*points, [100.0, at_ms(100.0)]] if points else []
