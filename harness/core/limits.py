"""Limits: what an adapter promises about time and memory, and the metrics that it may name.

A limit is one bound on one metric. Names carry their unit last. What a metric means is said here, in one sentence each,
so that a certificate, a report and the documentation say the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.core.errors import UsageError

#: The claim that all limits of an adapter are together.
LIMITS_CLAIM = "limits"
_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Metric:
    """Something that is measured. `unit` is for a reader, `scale` how many base units (ns, bytes, ...) one of it has.

    `quantile` is set where it is one of a distribution of times, and `series` names that distribution. `least` tells
    that large values are good ones.
    """

    name: str
    unit: str
    meaning: str
    scale: int = 1
    quantile: float | None = None
    series: str = ""
    least: bool = False


def _times(series: str, what: str, quantiles: Iterable[float]) -> list[Metric]:
    return [
        Metric(f"{series}_p{_digits(q)}_ms", "ms", f"{what}: {100 * q:g} % are no slower", _NS_PER_MS, q, series)
        for q in quantiles
    ]


def _digits(quantile: float) -> str:
    return f"{quantile:g}".partition(".")[2].ljust(2, "0")


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        *_times("apply", "operations that change something", (0.5, 0.95, 0.99, 0.999)),
        *_times("read", "reads that apply answers", (0.5, 0.95, 0.99, 0.999)),
        *_times("snapshot", "snapshots", (0.5, 0.99)),
        Metric("open_ms", "ms", "opening the store again after the workload (median)", _NS_PER_MS, series="open"),
        Metric("replay_s", "s", "opening a store and reading all of it (median)", _NS_PER_S, series="replay"),
        Metric("throughput_per_s", "operations/s", "operations that change something, one after another", least=True),
        Metric("allocated_bytes_per_operation", "bytes", "memory that Python objects hold after an operation"),
        Metric("resident_bytes_per_operation", "bytes", "memory that the process gains with an operation"),
        Metric(
            "growth_bytes_per_operation", "bytes", "slope of the memory of the process over the second half of the run"
        ),
        Metric("descriptors", "", "open descriptors that the store holds while it is open"),
    )
}


@dataclass(frozen=True, slots=True, init=False)
class Limit:
    """One bound on one metric: `at_most`, or for a throughput `at_least`, in the unit that ends the metric's name.

    `operations` is for `replay_s`: how many the store that is opened holds; 0 for as many as the workload has.
    Raises `UsageError` for a metric that there is not, and for anything but one bound of the fitting kind.
    """

    metric: str
    bound: float
    operations: int

    def __init__(
        self, metric: str, *, at_most: float | None = None, at_least: float | None = None, operations: int = 0
    ) -> None:
        if metric not in METRICS:
            raise UsageError(f"Limit({metric!r}) names no metric: say one of {', '.join(METRICS)}.")
        word = "at_least" if METRICS[metric].least else "at_most"
        given, other = (at_least, at_most) if METRICS[metric].least else (at_most, at_least)
        if given is None or other is not None:
            raise UsageError(f"Limit({metric!r}) takes exactly one bound: write {word}=...")
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < math.inf:
            raise UsageError(f"Limit({metric!r}, {word}={given!r}) is no bound: give a number, 0 or more.")
        if operations and (metric != "replay_s" or isinstance(operations, bool) or operations < 0):
            raise UsageError(f"Limit({metric!r}, operations={operations!r}): replay_s alone takes a number of them.")
        for name, value in (("metric", metric), ("bound", float(given)), ("operations", operations)):
            object.__setattr__(self, name, value)

    @property
    def about(self) -> Metric:
        return METRICS[self.metric]

    @property
    def bound_text(self) -> str:
        """The bound for a reader: `at most 10 ms`."""
        return f"at {'least' if self.about.least else 'most'} {amount(self.bound)} {self.about.unit}".rstrip()


def amount(value: float) -> str:
    """A number for a reader: three significant digits, or all that stand before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def declared_limits(candidate: Any, label: str = "the adapter") -> tuple[Limit, ...]:
    """The limits of an adapter, in its order. Raises `UsageError` for what is none, and for two about one metric."""
    limits = getattr(candidate, "limits", ())
    if not isinstance(limits, tuple | list) or not all(isinstance(limit, Limit) for limit in limits):
        raise UsageError(f"{label}.limits is not a tuple of limits: write limits = (Limit(...),).")
    names = [limit.metric for limit in limits]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise UsageError(f"{label}.limits has two limits for {twice}: keep one of them.")
    if limits and not callable(getattr(candidate, "measured_operations", len)):
        raise UsageError(f"{label}.measured_operations is no method: it is called with (random, count).")
    return tuple(limits)
