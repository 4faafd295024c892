"""Latencies as HdrHistograms: three significant digits from a microsecond to an hour, in memory that does not grow.

Percentiles are those of the samples themselves, merged, never averages of percentiles. The maximum is exact. The
library is `hdrhistogram` (the extra `measure`), after G. Tene's HdrHistogram; what is encoded here its other tools
can read.
"""

from __future__ import annotations

import importlib
from typing import Any, Self

from harness.core.errors import UsageError
from harness.measure.histogram import curve, missing

LOWEST_NS = 1_000
HIGHEST_NS = 3_600 * 1_000_000_000
DIGITS = 3
#: A percentile of which fewer samples lie beyond than this is decided by a few of them, and left out.
BEYOND = 10


def require_library() -> None:
    """Raise `UsageError` where the library is not installed."""
    if reason := missing():
        raise UsageError(f"no latencies can be measured here: {reason}.")


class Latencies:
    """A histogram of durations in nanoseconds; what is longer than an hour counts as an hour, but for the maximum."""

    __slots__ = ("_histogram", "max_ns")

    def __init__(self) -> None:
        self._histogram = _histogram()
        self.max_ns = 0

    def record(self, duration_ns: int) -> None:
        self._histogram.record_value(min(max(duration_ns, 1), HIGHEST_NS))
        if duration_ns > self.max_ns:
            self.max_ns = duration_ns

    @property
    def count(self) -> int:
        return int(self._histogram.get_total_count())

    def at_ms(self, percentile: float) -> float | None:
        """The percentile, 0 to 100, in milliseconds; `None` where fewer than `BEYOND` samples lie beyond it."""
        if self.count * (100 - percentile) < BEYOND * 100 - 1e-6:
            return None
        return self._at_ns(percentile) / 1e6

    def _at_ns(self, percentile: float) -> int:
        return min(int(self._histogram.get_value_at_percentile(percentile)), self.max_ns)

    @property
    def max_ms(self) -> float:
        return self.max_ns / 1e6

    def curve(self) -> list[list[float]]:
        """Points [percentile, ms] for a plot, as far as there are samples."""
        return curve(self.count, lambda percentile: round(self._at_ns(percentile) / 1e6, 4))

    def clear(self) -> None:
        """Forget all samples, and keep the memory: a histogram that is let go stays until a collection of cycles."""
        self._histogram.reset()
        self.max_ns = 0

    def add(self, other: Self) -> None:
        """Merge `other` into this one."""
        self._histogram.add(other._histogram)
        self.max_ns = max(self.max_ns, other.max_ns)

    def to_json(self) -> dict[str, Any]:
        return {"max_ns": self.max_ns, "hdr": self._histogram.encode().decode("ascii") if self.count else ""}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        made = cls()
        made.max_ns = int(data["max_ns"])
        if data["hdr"]:
            made._histogram.decode_and_add(data["hdr"])
        return made


def _histogram() -> Any:
    return importlib.import_module("hdrh.histogram").HdrHistogram(LOWEST_NS, HIGHEST_NS, DIGITS)
