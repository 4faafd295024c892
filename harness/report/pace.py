"""A comparison of two versions, as text and as one HTML page: what was found, how sure it is, and the samples
themselves.

The page draws, for each metric, how the times of both versions are distributed (empirical distribution functions) and
where the interval of the log ratio lies between the margins, stage by stage. Pictures are inline SVG; coordinates are
per cent of the width, so that they fit any screen without a script.
"""

from __future__ import annotations

import math
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from markupsafe import Markup

from harness.core.verdict import Verdict
from harness.measure.comparison import Comparison, Metric, percent
from harness.measure.pairs import Interval
from harness.measure.stages import ACCEPTED, NEGLIGIBLE, Decision
from harness.report.html import content_security_policy, page_environment, source
from harness.report.text import count, duration, listed, visible
from harness.report.words import VERDICTS

#: Of the samples of a metric, the slowest and fastest hundredth may lie outside of the picture.
_OUTSIDE = 0.01
_CURVE_POINTS = 160
#: The picture of the intervals shows so many per cent to both sides, at least.
_LEAST_SPAN = 8.0
_MOST_SPAN = 60.0

_HEADLINES = {
    Decision.NO_REGRESSION: "no regression",
    Decision.REGRESSION: "slower than before",
    Decision.OPEN: "undecided",
    Decision.UNFIT: "undecided: the machine is unfit",
}


def headline(comparison: Comparison) -> str:
    """The decision in a few words."""
    return _HEADLINES[comparison.decision]


def statement(comparison: Comparison) -> str:
    """The decision in one or two sentences."""
    tested = f"{count(comparison.tests, 'kind')} of operation tested over {count(comparison.reached.pairs, 'pair')}"
    slower = [metric.name for metric in comparison.metrics if metric.decision is Decision.REGRESSION]
    match comparison.decision:
        case Decision.NO_REGRESSION:
            return f"{tested}: each is slower by less than 5 %, or not slower at all."
        case Decision.REGRESSION:
            return f"{tested}: {listed(slower)} {'is' if len(slower) == 1 else 'are'} slower by more than 1 %."
        case Decision.UNFIT:
            unlike = [metric.name for metric in comparison.metrics if metric.decision is Decision.UNFIT]
            return (
                f"{tested}: the old version differs from itself in {listed(unlike)}, so what is measured on this "
                "machine now means nothing. Try again when it is quiet."
            )
    undecided = [metric.name for metric in comparison.metrics if metric.decision is Decision.OPEN]
    return (
        f"{tested}: {listed(undecided)} may be slower by less than 1 % or by more than 5 %. It takes a quieter machine."
    )


def metric_words(metric: Metric, comparison: Comparison) -> str:
    """What became of one metric."""
    if metric.reason:
        return metric.reason
    if metric.decision is Decision.OPEN and comparison.decision in (Decision.REGRESSION, Decision.UNFIT):
        return "not decided when the job ended"
    return "undecided" if metric.decision is Decision.OPEN else metric.decision.value


def signed(log_ratio: float) -> str:
    """A log ratio as a signed percentage: `+4.9 %`."""
    if not math.isfinite(log_ratio):
        return "+∞" if log_ratio > 0 else "−∞"
    return f"{round(percent(log_ratio), 1) + 0.0:+.1f} %".replace("-", "−")


def interval_words(known: Interval | None) -> str:
    """`+4.9 % (+2.1 to +7.8 %)`."""
    if known is None:
        return "not measured"
    return f"{signed(known.estimate)} ({signed(known.lower)} to {signed(known.upper)})"


# --- text ----------------------------------------------------------------------------------


def pace_text(comparison: Comparison) -> str:
    """The result as plain text, ending with a newline."""
    return "".join(f"{line}\n" for line in _lines(comparison))


def print_pace(comparison: Comparison, stream: TextIO) -> None:
    """Write it to `stream`; the headline is coloured on a terminal."""
    first, _, rest = pace_text(comparison).partition("\n")
    if stream.isatty() and not os.environ.get("NO_COLOR"):
        colour = {Verdict.PASS: 32, Verdict.FAIL: 31, Verdict.UNKNOWN: 33}[comparison.verdict]
        first = f"\x1b[{colour}m{first}\x1b[0m"
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(f"{first}\n{rest}".encode(encoding, "backslashreplace").decode(encoding))


def _lines(comparison: Comparison) -> Iterator[str]:
    yield f"{VERDICTS[comparison.verdict].icon} {visible(comparison.store)}: {headline(comparison)}"
    yield f"  {visible(statement(comparison))}"
    yield f"  old {visible(comparison.old.given)}, new {visible(comparison.new.given)}"
    yield ""
    for metric in comparison.metrics:
        same, versions = metric.steps[-1].intervals(comparison.tests)
        yield f"  {VERDICTS[metric.verdict].icon} {visible(metric.name)}: {metric_words(metric, comparison)}"
        yield f"      new against old     {interval_words(versions)}"
        yield f"      old against itself  {interval_words(same)}"
    yield ""
    if comparison.not_tested:
        yield f"  not tested, because not every sample has one: {visible(listed(comparison.not_tested))}"
    for note in comparison.notes:
        yield f"  note: {note}"
    stages = ", ".join(str(stage.pairs) for stage in comparison.stages)
    yield (
        f"  {count(comparison.operations, 'operation')} a sample, stages of {stages} pairs, "
        f"{comparison.reached.pairs} used; seed {comparison.seed}; {duration(comparison.seconds)}"
    )


# --- the page ------------------------------------------------------------------------------


def render_pace(comparison: Comparison) -> str:
    """The page, complete; write it as UTF-8."""
    style = source("style.css") + source("pace.css")
    return page_environment().get_template("pace.html.j2").render(
        comparison=comparison,
        headline=headline(comparison),
        statement=statement(comparison),
        metrics=tuple(picture(metric, comparison) for metric in comparison.metrics),
        style=Markup(style),
        policy=content_security_policy(style),
        verdicts=VERDICTS,
    )


@dataclass(frozen=True, slots=True)
class Tick:
    """A label on an axis; `x` is per cent of the width."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A distribution function as an SVG path in a box of 100 by 100."""

    path: str
    median: float
    label: str


@dataclass(frozen=True, slots=True)
class Bar:
    """An interval: from `left` to `right`, its estimate at `middle`; open where it goes on beyond the picture."""

    kind: str
    label: str
    words: str
    interval: Interval
    left: float
    right: float
    middle: float
    open_left: bool
    open_right: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything to draw of one metric."""

    metric: Metric
    words: str
    curves: tuple[Curve, ...]
    times: tuple[Tick, ...]
    bars: tuple[Bar, ...]
    percents: tuple[Tick, ...]
    negligible: float
    accepted: float
    zero: float


def picture(metric: Metric, comparison: Comparison) -> Picture:
    """The two pictures of `metric`."""
    rows = tuple(_interval_rows(metric, comparison.tests))
    span = _span([known for _, _, known in rows[-2:]])
    low, high = _time_range((*metric.old_ns, *metric.new_ns))
    return Picture(
        metric=metric,
        words=metric_words(metric, comparison),
        curves=tuple(_curves(metric, low, high)),
        times=_time_ticks(low, high),
        bars=tuple(_bar(kind, label, known, span) for kind, label, known in rows),
        percents=_percent_ticks(span),
        negligible=_place(NEGLIGIBLE, span),
        accepted=_place(ACCEPTED, span),
        zero=_place(0.0, span),
    )


def _bar(kind: str, label: str, known: Interval, span: float) -> Bar:
    left, right = _place(known.lower, span), _place(known.upper, span)
    middle = _place(known.estimate, span)
    return Bar(kind, label, interval_words(known), known, left, right, middle, left <= 0, right >= 100)


def _place(log_ratio: float, span: float) -> float:
    """Where a log ratio is in the picture of the intervals, in per cent of its width."""
    if not math.isfinite(log_ratio):
        return 0.0 if log_ratio < 0 else 100.0
    return round(max(0.0, min(100.0, 50 + 50 * percent(log_ratio) / span)), 3)


def _interval_rows(metric: Metric, tests: int) -> Iterator[tuple[str, str, Interval]]:
    for step in metric.steps:
        same, versions = step.intervals(tests)
        yield "same", f"old / old, {same.pairs} pairs", same
        if versions is not None:
            yield "versions", f"new / old, {versions.pairs} pairs", versions


def _span(known: Sequence[Interval]) -> float:
    """Per cent to each side of zero: what holds the finite bounds of the last stage, within reason."""
    bounds = [abs(percent(bound)) for one in known for bound in (one.lower, one.upper) if math.isfinite(bound)]
    return min(_MOST_SPAN, max([_LEAST_SPAN, *(1.1 * bound for bound in bounds)]))


def _percent_ticks(span: float) -> tuple[Tick, ...]:
    step = next(step for step in (2, 5, 10, 20) if span / step <= 4)
    reach = int(span // step)
    return tuple(
        Tick(50 + 50 * step * number / span, f"{step * number:+d} %".replace("-", "−") if number else "0")
        for number in range(-reach, reach + 1)
    )


# --- distributions -------------------------------------------------------------------------


def _time_range(times: Sequence[float]) -> tuple[float, float]:
    """The range on the axis in nanoseconds, without the outermost samples."""
    if not times:
        return 1.0, 1.0
    ordered = sorted(max(1.0, time) for time in times)
    outside = int(len(ordered) * _OUTSIDE)
    low, high = ordered[outside], ordered[-1 - outside]
    return low / 1.03, max(high, low * 1.02) * 1.03


def _curves(metric: Metric, low: float, high: float) -> Iterator[Curve]:
    for label, times in (("old", metric.old_ns), ("new", metric.new_ns)):
        if times:
            ordered = sorted(times)
            middle = _along(ordered[len(ordered) // 2], low, high)
            yield Curve(_path(ordered, low, high), middle, f"{label}: median {time_words(ordered[len(ordered) // 2])}")


def _along(time: float, low: float, high: float) -> float:
    """Where a time is on the logarithmic axis, in per cent."""
    share = math.log(max(time, 1.0) / low) / math.log(high / low)
    return round(100 * max(0.0, min(1.0, share)), 2)


def _path(ordered: Sequence[float], low: float, high: float) -> str:
    """The steps of the distribution function, at so many points as can be seen."""
    parts = [f"M0 {_height(bisect_left(ordered, low), ordered)}"]
    for number in range(1, _CURVE_POINTS + 1):
        x = 100 * number / _CURVE_POINTS
        below = bisect_right(ordered, low * (high / low) ** (number / _CURVE_POINTS))
        parts.append(f"H{x:.2f}V{_height(below, ordered)}")
    return "".join(parts)


def _height(below: int, ordered: Sequence[float]) -> str:
    return f"{100 - 100 * below / len(ordered):.1f}"


def _time_ticks(low: float, high: float) -> tuple[Tick, ...]:
    """Round times on the axis: few enough to be read on a narrow screen."""
    round_ones = _powers(low, high) if high > 6 * low else _multiples(low, high)
    inside = [time for time in round_ones if low <= time <= high] if low < high else []
    return tuple(Tick(_along(time, low, high), time_words(time)) for time in inside[:: math.ceil(len(inside) / 5) or 1])


def _powers(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**power for power in powers for step in (1, 2, 5)]


def _multiples(low: float, high: float) -> list[float]:
    """Those of a round number that about four of fit in between."""
    size = 10.0 ** math.floor(math.log10(max(high - low, 1e-9) / 3))
    step = size * max(factor for factor in (1, 2, 5) if factor * size <= max(high - low, 1e-9) / 3)
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def time_words(nanoseconds: float) -> str:
    """`340 ns`, `12.5 µs`, `3.1 ms`, `1.2 s`."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"
