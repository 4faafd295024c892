"""Figures of an endurance run: where lines go, where they end, and what stands on the axes."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from harness.report import plots_series
from harness.report.html import render_html
from harness.report.plots import NARROW, WIDE
from harness.report.plots_series import LEFT, RIGHT, SIZES, TOP, Chart, charts, moment, number
from tests.golden.sample import enduring, passing, series


def chart(name: str, **changed: Any) -> Chart:
    return next(item for item in charts({**series(), **changed}) if item.anchor == name)


def path(drawn: Chart, style: str) -> str:
    return next(line.path for line in drawn.figures[0].lines if line.style == style)


def places(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", text)]


def test_there_are_three_charts_in_two_sizes() -> None:
    """Throughput, latency and memory, for wide pages and narrow ones."""
    drawn = charts(series())

    assert [item.anchor for item in drawn] == ["throughput", "latency", "memory"]
    assert {tuple(figure.size for figure in item.figures) for item in drawn} == {SIZES}


@pytest.mark.parametrize("name", ["throughput", "latency", "memory"])
def test_everything_is_inside_the_canvas(name: str) -> None:
    """Lines, limits, ticks and kills."""
    for figure in chart(name).figures:
        across = [x for line in figure.lines for x, _ in places(line.path)]
        down = [y for line in figure.lines for _, y in places(line.path)]
        across += [tick.at for tick in figure.x_ticks] + list(figure.kills)
        down += [tick.at for tick in figure.y_ticks] + [mark.at for mark in figure.marks]
        assert LEFT - 1 <= min(across) <= max(across) <= figure.size.width - RIGHT + 0.01
        assert TOP - 0.01 <= min(down) <= max(down) <= figure.base + 0.01


def test_a_line_ends_where_the_run_was_killed() -> None:
    """And begins anew behind it; without a kill it is one."""
    assert path(chart("throughput"), "main").count("M") == 2
    assert path(chart("throughput", killed_at_s=[]), "main").count("M") == 1
    assert len(chart("throughput").figures[0].kills) == 1


def test_a_line_has_a_gap_where_a_percentile_is_missing() -> None:
    """Nothing is drawn that was not measured."""
    assert len(places(path(chart("latency", killed_at_s=[]), "high"))) == 11
    assert path(chart("latency", killed_at_s=[]), "high").count("M") == 2


def test_limits_are_drawn_where_they_belong() -> None:
    """Latencies into latency, a rate into throughput, and none into memory: its limit is a slope."""
    assert [mark.label for mark in chart("latency").figures[0].marks] == [
        "limit p50 at most 2 ms",
        "limit p99 at most 9 ms",
    ]
    assert chart("throughput").figures[0].marks == chart("memory").figures[0].marks == ()
    rate = {"metric": "throughput_per_s", "bound": 30.0, "bound_text": "at least 30 operations/s"}
    assert [mark.label for mark in chart("throughput", limits=[rate]).figures[0].marks] == [
        "limit at least 30 operations/s"
    ]


def test_higher_values_are_drawn_higher_and_later_ones_further_right() -> None:
    """The coordinates of SVG run down."""
    drawn = places(path(chart("memory", killed_at_s=[]), "main"))

    assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)
    assert drawn[-1][1] < drawn[0][1]


def test_a_latency_axis_has_whole_decades() -> None:
    """From below the smallest to above the longest."""
    assert [tick.label for tick in chart("latency").figures[0].y_ticks] == ["0.1", "1", "10", "100", "1,000"]


def test_ticks_of_time_do_not_crowd() -> None:
    """At most as many as fit, from seconds to months."""
    for last_s in (2.0, 59.0, 3_600.0, 86_400.0, 259_200.0, 30 * 86_400.0):
        points = [{**point, "from_s": 0.0, "to_s": last_s} for point in series()["points"]]
        for figure in chart("memory", points=points).figures:
            assert 2 <= len(figure.x_ticks) <= figure.size.ticks + 1


def test_a_chart_is_told_in_words() -> None:
    """For who can't see it: from where to where each line goes."""
    told = chart("throughput").description

    assert told == "answered: first 20, last 17.2, between 17.2 and 20."


def test_a_closed_loop_is_never_called_response_time() -> None:
    """Its times are service times, and labelled so."""
    assert chart("latency").title == "Response time in milliseconds"
    assert chart("latency", loop="closed").title.startswith("Service time, one operation after another,")
    assert "Closed loop" in plots_series.load_sentence({"loop": "closed"})


def test_too_little_is_not_drawn() -> None:
    """One window is no line; what was never measured has none."""
    assert charts({**series(), "points": series()["points"][:1]}) == ()
    assert charts({}) == ()
    without = [{**point, "p99_ms": None} for point in series()["points"]]
    assert "high" not in [style for style, _ in chart("latency", points=without).legend]


def test_a_value_of_zero_has_a_place() -> None:
    """Also on a logarithmic axis, and where all values are."""
    still = [
        {**point, "throughput_per_s": 0.0, "p50_ms": 0.0, "p99_ms": None, "max_ms": 0.0, "bare_sync_ms": 0.0}
        for point in series()["points"]
    ]
    for name in ("throughput", "latency"):
        assert places(path(chart(name, points=still, limits=[]), "main"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (90, "90 s"), (600, "10 min"), (5_400, "90 min"),
     (9_000, "2 h 30"), (10_800, "3 h"), (172_800, "2 d")],
)
def test_moments_are_written_short(seconds: float, text: str) -> None:
    """In the unit that fits."""
    assert moment(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (1234.5, "1,234"), (0.12345, "0.123"), (7.0, "7"), ("x", "–"), (12.345, "12.3")]
)
def test_numbers_are_written_with_three_digits(value: object, text: str) -> None:
    """A dash where there is none."""
    assert number(value) == text


def test_percentiles_stand_side_by_side_with_their_counts() -> None:
    """A column each, a dash where one is left out, the longest last."""
    table = plots_series.percentile_table(series())

    assert table is not None
    assert table.columns == (("Response", 72_000), ("Wait", 72_000))
    assert table.rows == (("p50", ("1.25", "0")), ("p99", ("9.5", "–")), ("longest", ("120", "99")))
    assert plots_series.percentile_table({}) is None


def test_the_plot_of_percentiles_is_that_of_limits() -> None:
    """Both sizes, the curves that there are in their order, and each limit on a percentile up to it."""
    [wide, narrow] = plots_series.percentile_curves(series())

    assert (wide.frame, narrow.frame) == (WIDE, NARROW)
    assert [(curve.name, curve.css) for curve in wide.curves] == [("Response", "applied"), ("Bare sync", "bare")]
    assert [(bound.text, bound.verdict) for bound in wide.bounds] == [("p99 ≤ 9 ms", "unknown"), ("p50 ≤ 2 ms", "pass")]
    assert plots_series.percentile_words(series()) == "Response: median 1.25 ms, the longest 120 ms."


def test_an_older_certificate_has_no_curves_and_no_plot() -> None:
    """Its table stays; a distribution too small for a median is told by its longest."""
    older = {key: value for key, value in series().items() if key != "curves"}
    few = {"percentiles": {"response": [{"percentile": 100.0, "ms": 3.0}]}}
    page = render_html(dataclasses.replace(enduring(), series=older))

    assert plots_series.percentile_curves(older) == () == plots_series.percentile_curves({})
    assert 'id="curves-caption"' in render_html(enduring()) and 'id="curves-caption"' not in page
    assert 'id="percentiles-caption"' in page
    assert plots_series.percentile_words(few) == "Response: the longest 3 ms."


def test_growth_is_a_sentence() -> None:
    """Whether memory grew is told by the interval, not by the estimate."""
    growth = series()["growth"]

    grew = plots_series.growth_sentence(series())
    assert grew.startswith("Memory grew: 12.5 bytes per operation, 95 % interval 3.25")
    calm = plots_series.growth_sentence({"growth": {**growth, "lower": -1.0}})
    assert calm.startswith("No growth of memory shows")
    assert "too short" in plots_series.growth_sentence({})


def test_only_an_endurance_run_has_the_section() -> None:
    """And it has no section about crash states."""
    page, other = render_html(enduring()), render_html(passing())

    assert 'id="series"' in page and 'id="models"' not in page
    assert 'id="series"' not in other and 'id="models"' in other
