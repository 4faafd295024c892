"""Measurements on a certificate: the field of their own, and the finding about a limit that was missed."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from harness.core.evidence import Finding, Story
from harness.core.limits import LIMITS_CLAIM, METRICS, Limit, amount
from harness.measure.closed_loop import Measured, Sampled, Times
from harness.measure.deciding import Floor, Ruling, Settled, growth, resident_per_operation
from harness.measure.histogram import Histogram
from harness.run.environment import environment
from harness.run.measured.tasks import MeasureJob

KIND = "over_limit"


def document(
    settled: tuple[Settled, ...], job: MeasureJob, measured: Measured, bounds: dict[str, Any]
) -> dict[str, Any]:
    """The field `measurements`: limits, distributions, memory, and the machine. JSON types."""
    sampled = measured.sampled
    series = {
        "apply": sampled.apply,
        "read": sampled.read,
        "snapshot": measured.snapshots,
        "bare disk": sampled.disk,
    }
    slope = growth(sampled)
    return {
        "limits": [_limit(item.ruling) for item in settled],
        "load": {**bounds, "loop": "closed", "times": "service times", "complete": sampled.complete},
        "latency": {name: _distribution(times) for name, times in series.items() if times},
        "open": [service / 1e6 for service in measured.openings.service],
        "replay": {"operations": measured.held, "ms": [service / 1e6 for service in measured.replays.service]},
        "throughput_per_s": len(sampled.apply) * 1e9 / sum(sampled.apply.service) if sampled.apply else None,
        "memory": {
            "resident_bytes_per_operation": resident_per_operation(sampled),
            "growth_bytes_per_operation": [slope.low, slope.estimate, slope.high] if slope else None,
            "allocated_bytes_per_operation": measured.allocated,
        },
        "descriptors": measured.descriptors,
        "machine": machine(),
    }


def _limit(ruling: Ruling) -> dict[str, Any]:
    limit = ruling.limit
    return {
        "metric": limit.metric,
        "meaning": _meaning(limit),
        "unit": limit.about.unit,
        "sense": "at least" if limit.about.least else "at most",
        "limit": limit.bound,
        "quantile": limit.about.quantile,
        "series": limit.about.series,
        "measured": ruling.measured,
        "floor": ruling.floor,
        "own": ruling.own,
        "samples": ruling.samples,
        "verdict": ruling.verdict.value,
        "reason": ruling.reason,
    }


def _meaning(limit: Limit) -> str:
    meaning = METRICS[limit.metric].meaning
    return f"{meaning}, {limit.operations:,} operations in it" if limit.operations else meaning


def _distribution(times: Times) -> dict[str, Any]:
    made = Histogram(times.service)
    return {"count": made.count, "percentiles": made.table(), "curve": made.curve(), "histogram": made.encoded()}


def machine() -> dict[str, Any]:
    """What numbers of two runs may be compared by; nothing that names the machine."""
    known = environment()
    kept = {name: known[name] for name in ("python", "implementation", "system", "kernel", "cpus", "memory_mib")}
    return {**kept, "processor": processor()}


def processor() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def finding_of(
    ruling: Ruling,
    job: MeasureJob,
    sampled: Sampled,
    floor: Floor,
    spec: str,
    seconds: float,
    *,
    confirmed: bool,
) -> Finding:
    """A limit that was missed. There is no line to blame: time is lost everywhere."""
    limit = ruling.limit
    assert ruling.measured is not None
    measured = f"{amount(ruling.measured)} {limit.about.unit}".rstrip()
    disk = _disk(ruling, floor)
    summary = f"{limit.metric} is {measured}, and the adapter promises {limit.bound_text}{f'; {disk}' if disk else ''}"
    return Finding(
        id=f"{LIMITS_CLAIM}-{limit.metric}",
        scenario=LIMITS_CLAIM,
        claim=LIMITS_CLAIM,
        summary=summary,
        kind=KIND,
        persistence_models=(),
        operations=(f"{job.operations:,} operations of the load, one after another",),
        call_site=None,
        replay=f"harness certify {spec} --scenario {LIMITS_CLAIM}",
        confirmed=confirmed,
        seconds_to_find=round(seconds, 3),
        story=Story(
            told=f"{sampled.done:,} operations were applied one after another, after {job.warm_up:,} to warm up.",
            called="No call failed.",
            reached=f"{disk[:1].upper()}{disk[1:]}." if disk else "What the disk takes has no part in this.",
            found=f"{limit.metric} was {measured}{_own(ruling)}.",
            expected=f"{limit.bound_text[:1].upper()}{limit.bound_text[1:]}, as the adapter says.",
            timeline=(),
            crash_after=-1,
            lost=(),
            files_written=(),
            files_after_crash=(),
            files_recovered=(),
        ),
    )


def _disk(ruling: Ruling, floor: Floor) -> str:
    if ruling.floor is None or not floor.times or not ruling.floor:
        return ""
    value = f"{amount(ruling.floor)} {ruling.limit.about.unit}"
    if ruling.limit.about.least:
        return f"the bare disk gives {value} with {floor.words} of each"
    return f"the bare disk takes {value} for the same syncs"


def _own(ruling: Ruling) -> str:
    """What it would be without the disk, and without waiting for a processor."""
    if ruling.own is None or ruling.floor is None:
        return ""
    return f"; without the disk and without waiting for a processor {amount(ruling.own)} {ruling.limit.about.unit}"
