"""Was a limit met? Pure functions over numbers.

What was measured within a limit is within it. What was measured beyond it need not be the store's fault: the disk may
be slow today, the machine busy, or chance may have drawn a few slow operations. So a limit is missed only if

- more operations lie beyond the bound than chance explains (`quantiles.too_many`), and
- without what a thread waited for a processor, and with as much room as the bare disk takes at the same quantile, they
  still lie beyond it; or no division of the time between store and disk explains that many (`_unexplained`); or the
  processor time of the store alone lies beyond it.

Everything else is UNKNOWN, with the reason. The bound of `_unexplained`: if the store's own time exceeded the bound in
at most `1 - q` of the operations, the whole would exceed `bound + d` in at most `1 - q + P(disk > d)` of them, for
every `d`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.limits import Limit, amount
from harness.core.verdict import Verdict
from harness.measure.closed_loop import Measured, Sampled, Times
from harness.measure.growth import Slope, slope
from harness.measure.quantiles import ALPHA, nearest_rank, needed, needed_below, too_many

#: By how much longer the second measurement is, where the first was too short to tell.
LONGER = 4
#: What a process may take once, for caches and the like, without growing.
ONCE_BYTES = 512 << 10
#: The room for the disk that is tried, as quantiles of the floor.
_ROOMS = (0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class Floor:
    """What the bare disk took for the syncs of one operation (ns), and how many these are on average.

    `blind` says why that is not known. Without syncs the floor is zero.
    """

    times: Sequence[int] = ()
    syncs: float = 0.0
    blind: str = ""

    @property
    def words(self) -> str:
        """The syncs for a reader: `the one sync`, `the 2.5 syncs`."""
        return "the one sync" if self.syncs == 1 else f"the {amount(self.syncs)} syncs"

    def at(self, quantile: float) -> int:
        return nearest_rank(sorted(self.times), quantile)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What became of one limit.

    `measured`, `floor` and `own` are in the unit of the metric, `None` where there is none; `samples` is how many the
    measured value comes from. `gist` is the reason in words that are the same twice, `reason` the same with numbers.
    `longer` tells that more samples may decide.
    """

    limit: Limit
    verdict: Verdict
    measured: float | None = None
    floor: float | None = None
    own: float | None = None
    samples: int = 0
    gist: str = ""
    reason: str = ""
    longer: bool = False


@dataclass(frozen=True, slots=True)
class _Case:
    """A limit, and what was measured for it: helps to say what became of it."""

    limit: Limit
    measured: float | None = None
    samples: int = 0
    floor: float | None = None
    own: float | None = None

    def ruled(self, verdict: Verdict, gist: str = "", detail: str = "", *, longer: bool = False) -> Ruling:
        name = self.limit.metric
        reason = f"{name}: {detail or gist}" if gist else ""
        return Ruling(
            *(self.limit, verdict, self.measured, self.floor, self.own, self.samples),
            *(f"{name}: {gist}" if gist else "", reason, longer),
        )

    def passed(self) -> Ruling:
        return self.ruled(Verdict.PASS)

    def failed(self) -> Ruling:
        """Missed, by what is the store's own."""
        own = ""
        if self.floor is not None and self.own is not None:
            own = f"; {self.text(self.own)} without the disk and without waiting for a processor"
        return self.ruled(Verdict.FAIL, "the store takes more than its limit", f"{self.miss}{own}")

    @property
    def miss(self) -> str:
        assert self.measured is not None
        return f"measured {self.text(self.measured)}, and the limit is {self.limit.bound_text}"

    def text(self, value: float) -> str:
        return f"{amount(value)} {self.limit.about.unit}".rstrip()


def _unmeasured(limit: Limit, why: str) -> Ruling:
    return _Case(limit).ruled(Verdict.UNKNOWN, why)


def not_measured(limit: Limit, trouble: str) -> Ruling:
    """Nothing was measured at all."""
    return _Case(limit).ruled(Verdict.UNKNOWN, "the store could not be measured", trouble)


# --- times ---------------------------------------------------------------------------------


def rule_quantile(limit: Limit, times: Times, floor: Floor) -> Ruling:
    """A limit on a quantile of the times of many calls."""
    if not times:
        return _unmeasured(limit, "the load has no such operation, or none that returned")
    q, scale = limit.about.quantile, limit.about.scale
    assert q is not None
    bound, service, steady = limit.bound * scale, times.service, times.steady
    count, beyond = len(service), sum(took > bound for took in service)
    disk = floor.at(q)
    case = _Case(
        limit,
        nearest_rank(sorted(service), q) / scale,
        count,
        None if floor.blind else disk / scale,
        None if floor.blind else max(0, nearest_rank(sorted(steady), q) - disk) / scale,
    )
    few = count < needed(q)
    within = nearest_rank(sorted(service), q) <= bound
    if (within and not few) or (not beyond and count >= needed_below(q)):
        return case.passed()
    if not too_many(beyond, count, 1 - q):
        return _too_few(case, q, beyond) if few else _by_chance(case, beyond)
    if _is_the_stores(steady, times.processor, bound, q, floor):
        return case.failed()
    if case.own is not None and case.own > limit.bound:
        return _by_chance(case, sum(took > bound + disk for took in steady))
    return _not_the_stores(case, nearest_rank(sorted(steady), q) / scale, floor, longer=few)


def _too_few(case: _Case, quantile: float, beyond: int) -> Ruling:
    takes = needed(quantile)
    detail = (
        f"{case.samples:,} samples are too few ({beyond} beyond {amount(case.limit.bound)} {case.limit.about.unit}); "
        f"{100 * quantile:g} % takes {takes:,}"
    )
    return case.ruled(
        Verdict.UNKNOWN, "too few samples for this percentile", detail, longer=LONGER * case.samples >= takes
    )


def _by_chance(case: _Case, beyond: int) -> Ruling:
    detail = f"{case.miss}, but {beyond} of {case.samples:,} operations that are too slow may be chance"
    return case.ruled(Verdict.UNKNOWN, "so few slow operations may be chance", detail, longer=True)


def _is_the_stores(
    steady: Sequence[int], processor: Sequence[int], bound: float, quantile: float, floor: Floor
) -> bool:
    allowed = 1 - quantile
    if too_many(sum(used > bound for used in processor), len(processor), allowed):
        return True
    if floor.blind:
        return False
    room = floor.at(quantile)
    return too_many(sum(took > bound + room for took in steady), len(steady), allowed) or _unexplained(
        steady, bound, allowed, floor
    )


def _unexplained(steady: Sequence[int], bound: float, allowed: float, floor: Floor) -> bool:
    """Whether more operations are slow than a store within its limit and this disk can give together."""
    slower = len(floor.times) + 1
    for room in {floor.at(quantile) for quantile in _ROOMS}:
        disk = (sum(took > room for took in floor.times) + 1) / slower if floor.times else 0.0
        if too_many(sum(took > bound + room for took in steady), len(steady), allowed + disk, ALPHA / len(_ROOMS)):
            return True
    return False


def _not_the_stores(case: _Case, steady: float, floor: Floor, *, longer: bool = False) -> Ruling:
    """Beyond the limit, and not for certain by what the store does. `steady` is without waiting for a processor."""
    if floor.blind:
        return _not_known(case, floor)
    if steady <= case.limit.bound:
        return _busy(case, steady)
    detail = f"{case.miss}; {_disk_alone(case, floor)}"
    return case.ruled(Verdict.UNKNOWN, "the disk is too slow to tell", detail, longer=longer)


def _not_known(case: _Case, floor: Floor) -> Ruling:
    detail = f"{case.miss}; what the disk takes of that is not known: {floor.blind}"
    return case.ruled(Verdict.UNKNOWN, "what the disk takes is not known, because the recorder misses I/O", detail)


def _busy(case: _Case, steady: float) -> Ruling:
    detail = f"{case.miss}; the machine was busy, and without waiting for a processor it is {case.text(steady)}"
    return case.ruled(Verdict.UNKNOWN, "the machine was busy", detail)


def _disk_alone(case: _Case, floor: Floor) -> str:
    assert case.floor is not None
    return f"the disk alone takes {case.text(case.floor)} for {floor.words} of an operation"


def rule_median(limit: Limit, times: Times, floor: Floor, *, held: int = 0) -> Ruling:
    """A limit on the median of a few calls that are all alike. `held` is how many operations the store holds; where
    that is less than the limit asks for, only a miss counts."""
    if not times:
        return _unmeasured(limit, "the store could not be opened again")
    scale = limit.about.scale
    took, steady = statistics.median(times.service), statistics.median(times.steady)
    disk = floor.at(0.5)
    case = _Case(limit, took / scale, len(times), disk / scale, max(0.0, steady - disk) / scale)
    bound = limit.bound * scale
    if took <= bound:
        if held >= limit.operations:
            return case.passed()
        few = f"the store held {held:,} operations, and the limit is for {limit.operations:,}"
        return case.ruled(Verdict.UNKNOWN, "the store held fewer operations than the limit is for", few)
    if statistics.median(times.processor) > bound or (not floor.blind and steady - disk > bound):
        return case.failed()
    return _not_the_stores(case, steady / scale, floor)


def rule_throughput(limit: Limit, times: Times, floor: Floor) -> Ruling:
    """A limit on operations for each second of a closed loop."""
    if not times:
        return _unmeasured(limit, "the load has no such operation, or none that returned")
    count = len(times)
    disk = count * statistics.fmean(floor.times) if floor.times else 0.0
    rate, own = _rate(count, sum(times.service)), _rate(count, sum(times.steady) - disk)
    ideal = _rate(count, disk)
    case = _Case(
        limit, rate, count, ideal if math.isfinite(ideal) else None, own if math.isfinite(own) else None
    )
    if rate >= limit.bound:
        return case.passed()
    if _rate(count, sum(times.processor)) < limit.bound or (not floor.blind and own < limit.bound):
        return case.failed()
    if floor.blind:
        return _not_known(case, floor)
    if (steady := _rate(count, sum(times.steady))) >= limit.bound:
        return _busy(case, steady)
    detail = f"{case.miss}; the bare disk gives {case.text(ideal)} with {floor.words} of each"
    return case.ruled(Verdict.UNKNOWN, "the disk is too slow to tell", detail)


def _rate(count: int, nanoseconds: float) -> float:
    return count * 1e9 / nanoseconds if nanoseconds > 0 else math.inf


# --- memory and descriptors ----------------------------------------------------------------


def rule_amount(limit: Limit, measured: float | None, samples: int, slack: float = 0.0) -> Ruling:
    """A limit on something that can be counted, and that no machine is to blame for. `slack` is how far it may be off.
    """
    if measured is None:
        return _unmeasured(limit, "nothing was measured")
    case = _Case(limit, measured, samples)
    if measured <= limit.bound:
        return case.passed()
    if measured - slack > limit.bound:
        return case.failed()
    detail = f"{case.miss}; over so few operations it may be off by {case.text(slack)}"
    return case.ruled(Verdict.UNKNOWN, "too few operations to tell", detail, longer=True)


def rule_growth(limit: Limit, slope: Slope | None, samples: int) -> Ruling:
    """A limit on a slope: met or missed only if all of its interval of confidence is."""
    if slope is None:
        return _unmeasured(limit, "too few samples for a slope")
    case = _Case(limit, slope.estimate, samples)
    if slope.high <= limit.bound:
        return case.passed()
    if slope.low > limit.bound:
        return case.failed()
    detail = (
        f"grows by {case.text(slope.estimate)}, with 95 % confidence between {amount(slope.low)} and "
        f"{amount(slope.high)}; the limit is {limit.bound_text}"
    )
    return case.ruled(Verdict.UNKNOWN, "the slope is not certain enough", detail, longer=True)


# --- two measurements ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Settled:
    """What two measurements say together. `flaky`: the first missed the limit, and the second did not show it again."""

    ruling: Ruling
    flaky: Ruling | None = None


def wants_more(ruling: Ruling) -> bool:
    """Whether a second measurement, in a fresh process, is needed: a miss counts only if it is seen again."""
    return ruling.verdict is Verdict.FAIL or ruling.longer


def settle(first: Ruling, second: Ruling | None) -> Settled:
    """The second measurement decides; but a miss that it does not show leaves the limit UNKNOWN, not met."""
    if second is None:
        return Settled(first)
    if first.verdict is not Verdict.FAIL or second.verdict is Verdict.FAIL:
        return Settled(second)
    case = _Case(second.limit, second.measured, second.samples, second.floor, second.own)
    detail = f"{first.reason.partition(': ')[2]}; that did not happen again in a fresh process"
    gist = "missed once, and not again in a fresh process"
    return Settled(case.ruled(Verdict.UNKNOWN, gist, detail), flaky=first)


# --- all of a measurement ------------------------------------------------------------------


def rule(limit: Limit, measured: Measured, floor: Floor, opening: Floor) -> Ruling:
    """What became of one limit in one measurement. `floor` is for an operation, `opening` for an opening."""
    if measured.trouble:
        return not_measured(limit, measured.trouble)
    sampled = measured.sampled
    if limit.about.quantile is not None:
        if limit.about.series == "apply":
            return rule_quantile(limit, sampled.apply, floor)
        return rule_quantile(limit, sampled.read if limit.about.series == "read" else measured.snapshots, Floor())
    match limit.metric:
        case "open_ms":
            return rule_median(limit, measured.openings, opening, held=measured.held)
        case "replay_s":
            return rule_median(limit, measured.replays, opening, held=measured.held)
        case "throughput_per_s":
            return rule_throughput(limit, sampled.apply, floor)
        case "growth_bytes_per_operation":
            return rule_growth(limit, growth(sampled), len(sampled.places) // 2)
        case "resident_bytes_per_operation":
            slack = ONCE_BYTES / max(1, sampled.done)
            return rule_amount(limit, resident_per_operation(sampled), len(sampled.places), slack)
        case "allocated_bytes_per_operation":
            return rule_amount(limit, measured.allocated, sampled.done)
    return rule_amount(limit, measured.descriptors, 1)


def growth(sampled: Sampled) -> Slope | None:
    """The slope of the process's memory over the second half of a run, in bytes for each operation."""
    half = len(sampled.places) // 2
    return slope(sampled.places[half:], sampled.resident[half:])


def resident_per_operation(sampled: Sampled) -> float | None:
    """What the memory of the process gained over all of a run, in bytes for each operation."""
    if len(sampled.places) < 2 or not sampled.places[-1]:
        return None
    return (sampled.resident[-1] - sampled.resident[0]) / (sampled.places[-1] - sampled.places[0])
