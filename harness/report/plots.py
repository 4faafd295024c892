"""Plots as SVG values: where lines, ticks and marks stand, for templates that only draw. Pure functions.

The plot of percentiles has the scale that HdrHistogram made usual: the horizontal axis is `1 / (1 - q)`, and it is
logarithmic, so that each further nine takes as much room as the one before; times are logarithmic too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Frame:
    """The size of a drawing and the margins around its plot, in pixels."""

    name: str
    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    @property
    def inner(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the plot."""
        return self.left, self.top, self.width - self.right, self.height - self.bottom


WIDE = Frame("wide", 820, 330, 62, 24, 16, 44)
NARROW = Frame("narrow", 340, 300, 50, 22, 16, 44)


@dataclass(frozen=True, slots=True)
class Curve:
    """One line: points (percentile, ms), what it is, and a class for its looks."""

    name: str
    css: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit on one percentile, in ms."""

    percentile: float
    ms: float
    text: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick of an axis: where it stands, and its label."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class DrawnCurve:
    """A line of the plot: the path, where its name stands, and a class for its colour."""

    name: str
    css: str
    path: str


@dataclass(frozen=True, slots=True)
class DrawnBound:
    """A limit in the plot: from the left edge to its percentile, with a label that ends or begins at `text_x`."""

    x: float
    y: float
    text: str
    text_y: float
    anchor: str
    text_x: float
    verdict: str


@dataclass(frozen=True, slots=True)
class PercentilePlot:
    """A drawing of one size."""

    frame: Frame
    columns: tuple[Tick, ...]
    rows: tuple[Tick, ...]
    curves: tuple[DrawnCurve, ...]
    bounds: tuple[DrawnBound, ...]


_COLUMNS = ((0.0, "0"), (50.0, "50 %"), (90.0, "90 %"), (99.0, "99 %"), (99.9, "99.9 %"), (99.99, "99.99 %"))
_LINE = 14


@dataclass(frozen=True, slots=True)
class _Scales:
    """From percentiles and ms to pixels."""

    frame: Frame
    nines: float
    low: float
    high: float

    def x(self, percentile: float) -> float:
        left, _, right, _ = self.frame.inner
        outside = max(1 - percentile / 100, 10**-self.nines)
        return round(left + (right - left) * -math.log10(outside) / self.nines, 1)

    def y(self, ms: float) -> float:
        _, top, _, bottom = self.frame.inner
        part = (math.log10(max(ms, 10**self.low)) - self.low) / (self.high - self.low)
        return round(bottom - (bottom - top) * part, 1)


def percentile_plot(curves: Sequence[Curve], bounds: Sequence[Bound], frame: Frame) -> PercentilePlot | None:
    """The plot; `None` where there is nothing to draw. The largest value of each curve stands at its right end."""
    curves = [curve for curve in curves if len(curve.points) > 1]
    if not curves:
        return None
    scales = _scales(curves, bounds, frame)
    columns = tuple(Tick(scales.x(p), text) for p, text in _COLUMNS if -math.log10(1 - p / 100) <= scales.nines)
    decades = range(math.floor(scales.low), math.ceil(scales.high) + 1)
    shown = [power for power in decades if scales.low <= power <= scales.high]
    rows = tuple(Tick(scales.y(10.0**power), _ms(10.0**power)) for power in shown)
    return PercentilePlot(
        frame,
        columns,
        rows,
        tuple(DrawnCurve(curve.name, curve.css, _path(scales, curve)) for curve in curves),
        tuple(_labelled(scales, bounds)),
    )


def percentile_plots(curves: Sequence[Curve], bounds: Sequence[Bound]) -> tuple[PercentilePlot, ...]:
    """The plot for a wide page and for a narrow one; none where there is nothing to draw."""
    drawn = (percentile_plot(curves, bounds, frame) for frame in (WIDE, NARROW))
    return tuple(plot for plot in drawn if plot is not None)


def _scales(curves: Sequence[Curve], bounds: Sequence[Bound], frame: Frame) -> _Scales:
    known = [p for curve in curves for p, _ in curve.points if p < 100]
    nines = max(1.0, *(-math.log10(1 - p / 100) for p in (*known, *(bound.percentile for bound in bounds)))) * 1.02
    values = [max(ms, 1e-6) for curve in curves for _, ms in curve.points]
    values += [max(bound.ms, 1e-6) for bound in bounds]
    low, high = math.log10(min(values)), math.log10(max(values))
    if high - low < 1:  # one decade at least, so that noise does not look like a mountain
        middle = (low + high) / 2
        low, high = middle - 0.5, middle + 0.5
    return _Scales(frame, nines, low - 0.06 * (high - low), high + 0.06 * (high - low))


def _path(scales: _Scales, curve: Curve) -> str:
    return "M" + "L".join(f"{scales.x(p)} {scales.y(ms)}" for p, ms in curve.points)


def _labelled(scales: _Scales, bounds: Iterable[Bound]) -> Iterable[DrawnBound]:
    """Limits from the fastest to the slowest; labels that would stand on each other move apart."""
    _, top, right, _ = scales.frame.inner
    used: list[float] = []
    for bound in sorted(bounds, key=lambda item: -item.ms):
        x, y = scales.x(bound.percentile), scales.y(bound.ms)
        text_y = max(y - 5, top + 10)
        while any(abs(text_y - other) < _LINE for other in used):
            text_y += _LINE
        used.append(text_y)
        anchor, text_x = ("start", x + 8) if x + 8 + 6.5 * len(bound.text) <= right else ("end", x - 8)
        yield DrawnBound(x, y, bound.text, round(text_y, 1), anchor, text_x, bound.verdict)


def _ms(value: float) -> str:
    """A time for an axis, in the unit that fits."""
    if value >= 1000:
        return f"{value / 1000:g} s"
    if value >= 1:
        return f"{value:g} ms"
    return f"{value * 1000:g} µs" if value >= 0.001 else f"{value * 1e6:g} ns"
