"""Measurements of a certificate arranged for reports: limits as rows, percentiles as a table and as plots.

Reads the field `measurements` and nothing else. What an older or another certificate does not have is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.limits import amount
from harness.core.verdict import Verdict
from harness.report import plots
from harness.report.plots import Bound, Curve, PercentilePlot
from harness.report.text import count, listed
from harness.report.words import VERDICTS

#: What a series is called, in the order of plot and table.
SERIES = {
    "apply": "operations",
    "read": "reads",
    "snapshot": "snapshots",
    "bare disk": "the same syncs on the bare disk",
}
_LOOKS = {"apply": "applied", "read": "read", "snapshot": "snapshot", "bare disk": "bare"}
#: What each verdict means for a limit.
_WORDS = {Verdict.PASS: "met", Verdict.FAIL: "missed", Verdict.UNKNOWN: "undecided"}


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One limit for a reader: what was measured, what the disk took, and the verdict."""

    metric: str
    meaning: str
    bound: str
    measured: str
    floor: str
    samples: str
    verdict: Verdict
    word: str
    reason: str


@dataclass(frozen=True, slots=True)
class PercentileRow:
    """One percentile: its name, and for each series the time and how many samples lie beyond it."""

    name: str
    cells: tuple[tuple[str, str], ...]


def limit_rows(measurements: Mapping[str, Any]) -> tuple[LimitRow, ...]:
    """The limits in the order of the adapter."""
    return tuple(_limit_row(row) for row in measurements.get("limits", ()))


def _limit_row(row: Mapping[str, Any]) -> LimitRow:
    verdict = Verdict(row["verdict"])
    unit = row["unit"]
    return LimitRow(
        row["metric"],
        row["meaning"],
        f"{row['sense']} {_value(row['limit'], unit)}",
        _value(row["measured"], unit),
        _value(row["floor"] or None, unit),
        f"{row['samples']:,}",
        verdict,
        _WORDS[verdict],
        row["reason"].removeprefix(f"{row['metric']}: "),
    )


def _value(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{amount(value)} {unit}".rstrip()


def limit_lines(measurements: Mapping[str, Any]) -> tuple[tuple[Verdict, str, str], ...]:
    """For the console: verdict, the part that is coloured, and the rest of the line."""
    rows = limit_rows(measurements)
    name = max((len(row.metric) for row in rows), default=0)
    found = []
    for row in rows:
        disk = f", bare disk {row.floor}" if row.floor != "–" else ""
        start = f"    {VERDICTS[row.verdict].icon} {row.word:<10}"
        found.append((row.verdict, start, f"{row.metric:<{name}}  {row.measured}, {row.bound}{disk}"))
    return tuple(found)


def known_series(measurements: Mapping[str, Any]) -> tuple[tuple[str, str, int], ...]:
    """The series that were measured: key, what it is called, and how many samples it has."""
    latency = measurements.get("latency", {})
    return tuple((key, name, latency[key]["count"]) for key, name in SERIES.items() if key in latency)


def percentile_rows(measurements: Mapping[str, Any]) -> tuple[PercentileRow, ...]:
    """The table of percentiles, one column for each series."""
    tables = [measurements["latency"][key]["percentiles"] for key, _, _ in known_series(measurements)]
    rows = zip(*tables, strict=True)
    return tuple(
        PercentileRow(_name(cells[0]["percentile"]), tuple(_cell(cell) for cell in cells)) for cells in rows
    )


def _cell(cell: Mapping[str, Any]) -> tuple[str, str]:
    return f"{amount(cell['ms'])} ms", f"{cell['beyond']:,} beyond"


def _name(percentile: float) -> str:
    return "largest" if percentile == 100 else f"p{percentile:g}"


def percentile_plots(measurements: Mapping[str, Any]) -> tuple[PercentilePlot, ...]:
    """The plot of percentiles in both sizes; none where no times were measured."""
    curves = [
        Curve(name, _LOOKS[key], tuple((float(p), float(ms)) for p, ms in measurements["latency"][key]["curve"]))
        for key, name, _ in known_series(measurements)
    ]
    bounds = [
        Bound(100 * row["quantile"], row["limit"], _bound_text(row), row["verdict"])
        for row in measurements.get("limits", ())
        if row["quantile"] is not None and row["measured"] is not None
    ]
    return plots.percentile_plots(curves, bounds)


def _bound_text(row: Mapping[str, Any]) -> str:
    series = "" if row["series"] == "apply" else f"{row['series']} "
    return f"{series}p{100 * row['quantile']:g} ≤ {amount(row['limit'])} ms"


def plot_words(measurements: Mapping[str, Any]) -> str:
    """The plot in words, for those who do not see it."""
    parts = []
    for key, name, number in known_series(measurements):
        table = {row["percentile"]: row["ms"] for row in measurements["latency"][key]["percentiles"]}
        parts.append(
            f"{name} ({count(number, 'sample')}): median {amount(table[50.0])} ms, 99 % within "
            f"{amount(table[99.0])} ms, the largest {amount(table[100.0])} ms"
        )
    return f"{'; '.join(parts)}."


def load_words(measurements: Mapping[str, Any]) -> str:
    """How it was measured, in two sentences."""
    load = measurements.get("load", {})
    if not load:
        return ""
    runs = {1: "once", 2: "twice"}.get(load["repetitions"], f"{load['repetitions']} times")
    ended = "" if load["complete"] else ", ended early by the backstop of the profile"
    machine = measurements.get("machine", {})
    where = listed(
        str(part)
        for part in (
            machine.get("processor", ""),
            f"{machine['cpus']} processors" if machine.get("cpus") else "",
            f"{load['file_system']}" if load.get("file_system") else "",
        )
        if part
    )
    return (
        f"Closed loop: {load['operations']:,} operations, one after another, after {load['warm_up_operations']:,} to "
        f"warm up{ended}; measured {runs}{', and the last time is shown' if load['repetitions'] > 1 else ''}. "
        f"Service times: nobody waits in a queue. On {where}."
    )


def facts(measurements: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What else was measured, whether or not there is a limit on it."""
    memory, opened = measurements.get("memory", {}), sorted(measurements.get("open", ()))
    replay = measurements.get("replay", {})
    read = sorted(replay.get("ms", ()))
    slope = memory.get("growth_bytes_per_operation")
    found = (
        ("throughput, one after another", _value(measurements.get("throughput_per_s"), "operations/s")),
        ("opening again, median", _value(opened[len(opened) // 2] if opened else None, "ms")),
        (
            f"opening and reading {replay.get('operations', 0):,} operations, median",
            _value(read[len(read) // 2] if read else None, "ms"),
        ),
        ("resident memory for an operation", _value(memory.get("resident_bytes_per_operation"), "bytes")),
        (
            "growth over the second half, 95 % confidence",
            f"{amount(slope[0])} to {amount(slope[2])} bytes an operation" if slope else "–",
        ),
        ("allocated for an operation", _value(memory.get("allocated_bytes_per_operation"), "bytes")),
        ("descriptors while open", _value(measurements.get("descriptors"), "")),
    )
    return tuple((name, value) for name, value in found if value != "–")
