"""Throughput, latency and memory over the time of an endurance run, as figures for inline SVG, and as rows of tables.

Pure functions over the `series` of a certificate. A figure is made for a wide page and for a narrow one, because text
in an SVG does not wrap. Where a run was killed, which is marked, a line ends and begins anew.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.limits import METRICS, amount
from harness.report.plots import Bound, Curve, PercentilePlot, percentile_plots

TOP, BOTTOM, LEFT, RIGHT = 12, 30, 62, 10


@dataclass(frozen=True, slots=True)
class Size:
    """The canvas of a figure, in units that are pixels where it is shown at its own size."""

    name: str
    width: int
    height: int
    ticks: int


SIZES = (Size("wide", 960, 190, 8), Size("narrow", 360, 180, 4))


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, and what stands there."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """One quantity over time: a class for its style, its name, and the SVG path."""

    style: str
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A limit that is drawn across."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One drawing. `kills` are places on the x axis."""

    size: Size
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    kills: tuple[float, ...]

    @property
    def right(self) -> int:
        return self.size.width - RIGHT

    @property
    def base(self) -> int:
        return self.size.height - BOTTOM


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure in all sizes, with its words."""

    anchor: str
    title: str
    description: str
    figures: tuple[Figure, ...]
    legend: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Quantity:
    """What to draw: its style, its name, and its value at each point, `None` where there is none."""

    style: str
    name: str
    values: tuple[float | None, ...]


def charts(series: Mapping[str, Any]) -> tuple[Chart, ...]:
    """The figures of a series; none where it has fewer than two points."""
    points = [point for point in series.get("points", ()) if isinstance(point, Mapping)]
    if len(points) < 2:
        return ()
    return (
        _chart("throughput", "Throughput in operations per second", points, _throughput(points), series),
        _chart("latency", f"{_what(series)} in milliseconds", points, _latency(points), series, logarithmic=True),
        _chart("memory", "Resident memory of the process in MiB", points, _memory(points), series),
    )


def _what(series: Mapping[str, Any]) -> str:
    return "Service time, one operation after another," if series.get("loop") == "closed" else "Response time"


def _values(points: Sequence[Mapping[str, Any]], name: str, scale: float = 1.0) -> tuple[float | None, ...]:
    found = (point.get(name) for point in points)
    return tuple(value / scale if isinstance(value, int | float) else None for value in found)


def _throughput(points: Sequence[Mapping[str, Any]]) -> tuple[_Quantity, ...]:
    return (_Quantity("main", "answered", _values(points, "throughput_per_s")),)


def _latency(points: Sequence[Mapping[str, Any]]) -> tuple[_Quantity, ...]:
    return (
        _Quantity("most", "longest", _values(points, "max_ms")),
        _Quantity("high", "99th percentile", _values(points, "p99_ms")),
        _Quantity("main", "median", _values(points, "p50_ms")),
        _Quantity("floor", "one bare sync of this disk", _values(points, "bare_sync_ms")),
    )


def _memory(points: Sequence[Mapping[str, Any]]) -> tuple[_Quantity, ...]:
    return (_Quantity("main", "resident", _values(points, "resident_bytes", 2.0**20)),)


#: Which limits are drawn into which chart.
_LIMITS = {"throughput": ("throughput_per_s",), "latency": ("apply_p",), "memory": ()}


def _chart(
    anchor: str,
    title: str,
    points: Sequence[Mapping[str, Any]],
    quantities: tuple[_Quantity, ...],
    series: Mapping[str, Any],
    *,
    logarithmic: bool = False,
) -> Chart:
    shown = tuple(quantity for quantity in quantities if any(value is not None for value in quantity.values))
    limits = [limit for limit in series.get("limits", ()) if str(limit["metric"]).startswith(_LIMITS[anchor] or ("-",))]
    kills = [float(moment) for moment in series.get("killed_at_s", ())]
    figures = tuple(_figure(size, points, shown, limits, kills, logarithmic=logarithmic) for size in SIZES)
    legend = tuple((quantity.style, quantity.name) for quantity in shown)
    return Chart(anchor, title, _described(shown), figures, legend)


def _described(quantities: Sequence[_Quantity]) -> str:
    """The figure in words: from where to where each line goes."""
    told = []
    for quantity in quantities:
        known = [value for value in quantity.values if value is not None]
        told.append(
            f"{quantity.name}: first {number(known[0])}, last {number(known[-1])}, "
            f"between {number(min(known))} and {number(max(known))}."
        )
    return " ".join(told)


def _figure(
    size: Size,
    points: Sequence[Mapping[str, Any]],
    quantities: Sequence[_Quantity],
    limits: Sequence[Mapping[str, Any]],
    kills: Sequence[float],
    *,
    logarithmic: bool,
) -> Figure:
    ends = [float(point["to_s"]) for point in points]
    begin, end = float(points[0]["from_s"]), max(ends[-1], float(points[0]["from_s"]) + 1e-9)
    values = [value for quantity in quantities for value in quantity.values if value is not None]
    values += [float(limit["bound"]) for limit in limits]
    scale = _Logarithmic.over(values, size) if logarithmic else _Linear.over(values, size)
    across = _Across(begin, end, size)
    middles = [(float(point["from_s"]) + float(point["to_s"])) / 2 for point in points]
    gaps = [
        index
        for index, (one, two) in enumerate(itertools.pairwise(middles), 1)
        if any(one < kill <= two for kill in kills)
    ]
    lines = tuple(
        Line(quantity.style, quantity.name, _path(middles, quantity.values, gaps, across, scale))
        for quantity in quantities
    )
    marks = tuple(Mark(scale.at(float(limit["bound"])), _label(limit)) for limit in limits)
    return Figure(size, lines, across.ticks(), scale.ticks(), marks, tuple(map(across.at, kills)))


def _label(limit: Mapping[str, Any]) -> str:
    """Short, because it stands in the figure: `limit p99 at most 9 ms`."""
    metric = str(limit["metric"])
    quantile = metric.removeprefix("apply_").removesuffix("_ms") if metric.startswith("apply_") else ""
    return " ".join(f"limit {quantile} {limit['bound_text']}".split())


def _path(
    moments: Sequence[float], values: Sequence[float | None], gaps: Sequence[int], across: _Across, scale: _Scale
) -> str:
    """A path through all known values; it starts anew behind a gap. A single value is drawn as a short dash."""
    parts: list[str] = []
    drawing = False
    for number, (moment, value) in enumerate(zip(moments, values, strict=True)):
        if value is None:
            drawing = False
            continue
        drawing = drawing and number not in gaps
        x, y = round(across.at(moment), 1), round(scale.at(value), 1)
        parts.append(f"L{x} {y}" if drawing else f"M{x - 1} {y}H{x + 1}")
        drawing = True
    return "".join(parts)


# --- axes ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Across:
    """Time, from left to right."""

    begin: float
    end: float
    size: Size

    def at(self, seconds: float) -> float:
        inside = self.size.width - LEFT - RIGHT
        return LEFT + inside * (seconds - self.begin) / (self.end - self.begin)

    def ticks(self) -> tuple[Tick, ...]:
        span = self.end - self.begin
        step = next((step for step in _TIME_STEPS_S if span / step <= self.size.ticks), _TIME_STEPS_S[-1])
        step *= max(1, math.ceil(span / step / self.size.ticks))
        first = math.ceil(self.begin / step)
        count = math.floor(self.end / step) - first + 1
        return tuple(Tick(self.at(n * step), moment((n) * step)) for n in range(first, first + count))


_TIME_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


@dataclass(frozen=True, slots=True)
class _Linear:
    """From zero up."""

    top: float
    step: float
    size: Size

    @classmethod
    def over(cls, values: Sequence[float], size: Size) -> _Linear:
        highest = max((*values, 1e-9)) * 1.05
        step = _nice(highest / 4)
        return cls(step * math.ceil(highest / step), step, size)

    def at(self, value: float) -> float:
        base = self.size.height - BOTTOM
        return base - (base - TOP) * value / self.top

    def ticks(self) -> tuple[Tick, ...]:
        count = round(self.top / self.step)
        return tuple(Tick(self.at(n * self.step), number(n * self.step)) for n in range(count + 1))


@dataclass(frozen=True, slots=True)
class _Logarithmic:
    """Whole decades."""

    low: int
    high: int
    size: Size

    @classmethod
    def over(cls, values: Sequence[float], size: Size) -> _Logarithmic:
        positive = [value for value in values if value > 0] or [1.0]
        low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
        return cls(low, max(high, low + 1), size)

    def at(self, value: float) -> float:
        base = self.size.height - BOTTOM
        place = (math.log10(max(value, 10.0**self.low)) - self.low) / (self.high - self.low)
        return base - (base - TOP) * place

    def ticks(self) -> tuple[Tick, ...]:
        return tuple(Tick(self.at(10.0**n), number(10.0**n)) for n in range(self.low, self.high + 1))


_Scale = _Linear | _Logarithmic


def _nice(value: float) -> float:
    """1, 2 or 5 times a power of ten, no smaller than `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9))


# --- words -----------------------------------------------------------------------------------


def number(value: Any) -> str:
    """A number for a reader; a dash where there is none."""
    if not isinstance(value, int | float):
        return "–"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def moment(seconds: float) -> str:
    """A moment of a run: `90 s`, `12 min`, `1 h 30`, `3 d`."""
    whole = round(seconds)
    if whole < 120 or whole % 60:
        return f"{whole} s"
    if whole < 7200 and whole % 3600:
        return f"{whole // 60} min"
    if whole % 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02}"
    return f"{whole // 86400} d" if whole % 86400 == 0 and whole else f"{whole // 3600} h"


_TABLE_NAMES = {
    "response": "Response",
    "wait": "Wait",
    "service": "Service",
    "lateness": "Lateness of the generator",
    "bare_sync": "Bare sync",
}


@dataclass(frozen=True, slots=True)
class PercentileTable:
    """Percentiles side by side: names of the columns with their counts, and rows of cells."""

    columns: tuple[tuple[str, int], ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def percentile_table(series: Mapping[str, Any]) -> PercentileTable | None:
    """The percentiles of all distributions; `None` where there are none."""
    tables: Mapping[str, Any] = series.get("percentiles", {})
    names = [name for name in _TABLE_NAMES if name in tables]
    if not names:
        return None
    by_name = {name: {row["percentile"]: row["ms"] for row in tables[name]} for name in names}
    all_percentiles = sorted({percentile for rows in by_name.values() for percentile in rows})
    rows = tuple(
        (
            "longest" if percentile == 100 else f"p{percentile:g}",
            tuple(number(by_name[name].get(percentile)) for name in names),
        )
        for percentile in all_percentiles
    )
    counts: Mapping[str, int] = series.get("counts", {})
    return PercentileTable(tuple((_TABLE_NAMES[name], counts.get(name, 0)) for name in names), rows)


#: The curves that are drawn, and their looks. A closed loop has no response times.
_CURVES = (("response", "applied"), ("service", "read"), ("bare_sync", "bare"))


def percentile_curves(series: Mapping[str, Any]) -> tuple[PercentilePlot, ...]:
    """The plot of percentiles in both sizes; none where the certificate has no curves, as older ones."""
    curves = [
        Curve(_TABLE_NAMES[name], css, tuple((float(p), float(ms)) for p, ms in series["curves"][name]))
        for name, css in _CURVES
        if name in series.get("curves", {})
    ]
    return percentile_plots(curves, [*_bounds(series)])


def _bounds(series: Mapping[str, Any]) -> Iterator[Bound]:
    for limit in series.get("limits", ()):
        about = METRICS.get(str(limit["metric"]))
        if about is not None and about.quantile is not None and limit["measured"] is not None:
            text = f"p{100 * about.quantile:g} ≤ {amount(limit['bound'])} ms"
            yield Bound(100 * about.quantile, float(limit["bound"]), text, str(limit["verdict"]))


def percentile_words(series: Mapping[str, Any]) -> str:
    """The plot in words, for those who do not see it: each curve from its median to the longest."""
    told = []
    for name, _ in _CURVES:
        rows = {row["percentile"]: row["ms"] for row in series.get("percentiles", {}).get(name, ())}
        if rows:
            median = f"median {number(rows[50.0])} ms, " if 50.0 in rows else ""
            told.append(f"{_TABLE_NAMES[name]}: {median}the longest {number(rows[100.0])} ms.")
    return " ".join(told)


def growth_sentence(series: Mapping[str, Any]) -> str:
    """How memory grew, in one sentence."""
    growth = series.get("growth")
    if not isinstance(growth, Mapping):
        return "The run is too short to tell whether memory grows."
    lower, upper = number(growth["lower"]), number(growth["upper"])
    grew = {True: "Memory grew", False: "No growth of memory shows"}[growth["lower"] > 0]
    return (
        f"{grew}: {number(growth['bytes_per_operation'])} bytes per operation, "
        f"95 % interval {lower} to {upper} ({growth['method']})."
    )


def load_sentence(series: Mapping[str, Any]) -> str:
    """What load the store was under."""
    if series.get("loop") == "closed":
        return (
            "Closed loop: each operation began when the one before was answered. These are service times; "
            "what clients with a rate of their own would have waited is not in them."
        )
    clients, callers = series.get("clients", 1), series.get("callers", 1)
    shared = f", called by {callers} threads" if callers != 1 else ""
    return (
        f"Open loop: {number(series.get('rate_per_s'))} operations per second on average ({series.get('arrivals')}) "
        f"from {clients} client{'s' if clients != 1 else ''}{shared}, due at times that were fixed before. "
        "Response counts from when an operation was due; it is wait and service together."
    )
