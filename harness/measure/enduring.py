"""What the windows of an endurance run say about limits, and as a series. Pure functions over values.

A limit that was met in the whole run is met. One that was missed is missed by the store only if it was missed in each
half of the run by itself (a run of hours cannot be repeated for confirmation, but its halves are two measurements),
if the generator could give its load, and if the disk does not explain it: what is left of the measured value without
`MOST_SYNCS` bare syncs at the same percentile must still be beyond the limit. Everything else is UNKNOWN, with the
reason. How many syncs an operation makes is not counted here, so `MOST_SYNCS` is generous.

Growth is judged by its interval of confidence: all of it beyond the limit, all of it within, or UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.limits import Limit, amount
from harness.core.verdict import Verdict
from harness.measure.growth import BLOCKS, Slope, slope
from harness.measure.latencies import Latencies
from harness.measure.openloop import unfit
from harness.measure.quantiles import needed_below
from harness.measure.windows import Held, Window, total

MOST_SYNCS = 16
PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)
#: Of which distributions the whole curve is kept, for a plot.
CURVES = ("response", "service", "bare_sync")


@dataclass(frozen=True, slots=True)
class Ruling:
    """What became of one limit; `measured`, `lower` and `upper` in the unit of the metric, `None` where there is
    none.
    """

    limit: Limit
    verdict: Verdict
    measured: float | None = None
    samples: int = 0
    reason: str = ""
    lower: float | None = None
    upper: float | None = None


def growth(held: Sequence[Held]) -> Slope | None:
    """Resident bytes gained with each operation, over the second half of what ran in the last process; `None` where
    that has too few windows. A process that was started anew begins with little memory, so parts are not joined.

    By batch means with Student's interval, see `harness.measure.growth`.
    """
    last = [item for item in held if item.part == held[-1].part]
    half = last[len(last) // 2 :]
    at = {item.done: item.resident_bytes for item in half}  # where nothing was done meanwhile, the last look counts
    return slope(list(at), list(at.values()))


def fitness(whole: Window, limits: Sequence[Limit]) -> str:
    """Why the generator could not give its load, "" if it could."""
    bounds = [limit.bound for limit in limits if limit.about.series == "apply"]
    return unfit(
        lateness_p99_ms=whole.lateness.at_ms(99.0),
        cpu_share=whole.cpu_share,
        smallest_bound_ms=min(bounds, default=None),
    )


def judgeable(limit: Limit, *, open_loop: bool) -> bool:
    """Whether an endurance run of this kind says anything about a limit."""
    if limit.about.series == "apply":
        return open_loop
    if limit.metric == "throughput_per_s":
        return not open_loop
    return limit.metric in ("growth_bytes_per_operation", "descriptors")


def rulings(
    windows: Sequence[Window], held: Sequence[Held], limits: Sequence[Limit], *, open_loop: bool
) -> tuple[Ruling, ...]:
    """What became of each limit that a run of this kind says something about."""
    whole = total(windows)
    halves = [total(windows[: len(windows) // 2]), total(windows[len(windows) // 2 :])]
    why_not = fitness(whole, limits)
    return tuple(
        _growth(limit, growth(held))
        if limit.metric == "growth_bytes_per_operation"
        else _ruled(limit, whole, halves, why_not)
        for limit in limits
        if judgeable(limit, open_loop=open_loop)
    )


def _ruled(limit: Limit, whole: Window, halves: list[Window], why_not: str) -> Ruling:
    if limit.metric == "descriptors":
        return _descriptors(limit, whole)
    if limit.metric == "throughput_per_s":
        return _throughput(limit, whole, halves, why_not)
    return _latency(limit, whole, halves, why_not)


def _growth(limit: Limit, found: Slope | None) -> Ruling:
    if found is None:
        return Ruling(limit, Verdict.UNKNOWN, reason=f"the second half of the run has fewer than {BLOCKS + 1} windows")
    interval = f"between {amount(found.low)} and {amount(found.high)} bytes per operation (95 %)"
    if found.high <= limit.bound:
        verdict, reason = Verdict.PASS, ""
    elif found.low > limit.bound:
        verdict, reason = Verdict.FAIL, ""
    else:
        verdict, reason = Verdict.UNKNOWN, f"growth lies {interval}, and the limit within: a longer run tells"
    return Ruling(limit, verdict, found.estimate, BLOCKS, reason, found.low, found.high)


def _descriptors(limit: Limit, whole: Window) -> Ruling:
    if not whole.operations:
        return Ruling(limit, Verdict.UNKNOWN, reason="nothing was measured")
    most = whole.reading.descriptors
    return Ruling(limit, Verdict.FAIL if most > limit.bound else Verdict.PASS, float(most), whole.operations)


def _latency(limit: Limit, whole: Window, halves: list[Window], why_not: str) -> Ruling:
    percentile = 100 * (limit.about.quantile or 0.0)
    measured = whole.response.at_ms(percentile)
    samples = whole.response.count
    if measured is None and samples >= needed_below(percentile / 100) and whole.response.max_ms <= limit.bound:
        return Ruling(limit, Verdict.PASS, whole.response.max_ms, samples)
    if measured is None:
        reason = f"{samples:,} operations are too few for this percentile"
        return Ruling(limit, Verdict.UNKNOWN, None, samples, reason)
    if measured <= limit.bound:
        return Ruling(limit, Verdict.PASS, measured, samples)
    reason = why_not or _only_in_one_half(limit, percentile, halves) or _disk(limit, percentile, measured, whole.bare)
    return Ruling(limit, Verdict.UNKNOWN if reason else Verdict.FAIL, measured, samples, reason)


def _only_in_one_half(limit: Limit, percentile: float, halves: list[Window]) -> str:
    values = [half.response.at_ms(percentile) for half in halves]
    if all(value is not None and value > limit.bound for value in values):
        return ""
    told = " and ".join("too few operations" if value is None else f"{amount(value)} ms" for value in values)
    return f"the halves of the run do not both say so ({told})"


def _disk(limit: Limit, percentile: float, measured: float, bare: Latencies) -> str:
    floor = bare.at_ms(percentile)
    floor = bare.max_ms if floor is None else floor
    if measured - MOST_SYNCS * floor > limit.bound:
        return ""
    return f"{MOST_SYNCS} bare syncs of this disk took {amount(MOST_SYNCS * floor)} ms, which may explain it"


def _throughput(limit: Limit, whole: Window, halves: list[Window], why_not: str) -> Ruling:
    measured = whole.throughput_per_s
    if measured >= limit.bound:
        return Ruling(limit, Verdict.PASS, measured, whole.operations)
    spared_s = MOST_SYNCS * (whole.bare.at_ms(50.0) or whole.bare.max_ms) / 1e3
    own_s = 1 / measured - spared_s if measured else 1.0
    reason = why_not
    if not reason and not all(half.throughput_per_s < limit.bound for half in halves):
        reason = "the halves of the run do not both say so"
    if not reason and limit.bound * max(own_s, 0.0) < 1:
        reason = f"{MOST_SYNCS} bare syncs of this disk took {amount(1e3 * spared_s)} ms, which may explain it"
    return Ruling(limit, Verdict.UNKNOWN if reason else Verdict.FAIL, measured, whole.operations, reason)


# --- the series ------------------------------------------------------------------------------


def point(window: Window) -> dict[str, Any]:
    """One window as JSON types, times in seconds and milliseconds. A percentile of too few samples is `None`."""
    times = window.response if window.response.count else window.service
    return {
        "from_s": round(window.from_ns / 1e9, 3),
        "to_s": round(window.to_ns / 1e9, 3),
        "operations": window.operations,
        "failed": window.failed,
        "unstarted": window.unstarted,
        "throughput_per_s": round(window.throughput_per_s, 3),
        "p50_ms": _rounded(times.at_ms(50.0)),
        "p99_ms": _rounded(times.at_ms(99.0)),
        "max_ms": _rounded(times.max_ms),
        "bare_sync_ms": _rounded(window.bare.at_ms(50.0) or window.bare.max_ms),
        "resident_bytes": window.reading.resident_bytes,
        "descriptors": window.reading.descriptors,
        "disk_bytes": window.reading.disk_bytes,
    }


def table(latencies: Latencies) -> list[dict[str, Any]]:
    """The percentiles that there are samples enough for, and the maximum, in milliseconds."""
    rows = [(percentile, latencies.at_ms(percentile)) for percentile in PERCENTILES]
    known = [{"percentile": percentile, "ms": _rounded(value)} for percentile, value in rows if value is not None]
    return [*known, {"percentile": 100.0, "ms": _rounded(latencies.max_ms)}] if latencies.count else []


def series(windows: Sequence[Window], held: Sequence[Held], *, open_loop: bool) -> dict[str, Any]:
    """Everything that was measured, as JSON types."""
    whole, found = total(windows), growth(held)
    distributions = {
        "response": whole.response,
        "wait": whole.wait,
        "service": whole.service,
        "lateness": whole.lateness,
        "bare_sync": whole.bare,
    }
    return {
        "loop": "open" if open_loop else "closed",
        "points": [point(window) for window in windows],
        "percentiles": {name: table(latencies) for name, latencies in distributions.items() if latencies.count},
        "counts": {name: latencies.count for name, latencies in distributions.items() if latencies.count},
        "curves": {name: distributions[name].curve() for name in CURVES if distributions[name].count},
        "unstarted": whole.unstarted,
        "unsupported": whole.unsupported,
        "failed": whole.failed,
        "generator_cpu_share": round(whole.cpu_share, 4),
        "paused_s": round(whole.paused_ns / 1e9, 3),
        "throughput_per_s": round(whole.throughput_per_s, 3),
        "growth": None if found is None else _growth_of(found),
    }


def _growth_of(found: Slope) -> dict[str, Any]:
    return {
        "bytes_per_operation": round(found.estimate, 3),
        "lower": round(found.low, 3),
        "upper": round(found.high, 3),
        "confidence": 0.95,
        "method": f"second half of the last process; batch means of {BLOCKS} blocks, Student's t",
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
