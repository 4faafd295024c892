"""Measurements in reports: the plot of percentiles, the tables, the lines on the console."""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from harness.core.evidence import Certificate
from harness.core.verdict import Verdict
from harness.report import measurements as measuring
from harness.report import render_html
from harness.report.console import certificate_text
from harness.report.plots import NARROW, WIDE, Bound, Curve, percentile_plot
from tests.golden.sample import passing

TABLE = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0)


def series(factor: float, count: int = 2_000) -> dict[str, Any]:
    points = [[100 * (1 - 10 ** (-step / 8)), factor * (1 + step)] for step in range(26)]
    table = [{"percentile": p, "ms": factor * p, "beyond": round(count * (1 - p / 100))} for p in TABLE]
    return {"count": count, "percentiles": table, "curve": [*points, [100.0, factor * 40]], "histogram": "HIST"}


def limit(metric: str, verdict: str, **more: Any) -> dict[str, Any]:
    given = {"unit": "ms", "sense": "at most", "limit": 10.0, "quantile": None, "series": "", "measured": 9.0}
    given |= {"floor": None, "own": None, "samples": 2_000, "reason": "", "meaning": f"the meaning of {metric}"}
    return {**given, "metric": metric, "verdict": verdict, **more}


MEASURED: dict[str, Any] = {
    "limits": [
        limit("apply_p99_ms", "fail", quantile=0.99, series="apply", measured=21, floor=1.5, reason="apply_p99_ms: so"),
        limit("read_p50_ms", "unknown", quantile=0.5, series="read", measured=None, reason="read_p50_ms: none"),
        limit("throughput_per_s", "pass", unit="operations/s", sense="at least", limit=100.0, measured=1_234.5),
        limit("descriptors", "pass", unit="", limit=1.0, measured=1),
    ],
    "load": {
        "operations": 2_000, "warm_up_operations": 200, "repetitions": 2, "complete": True,
        "file_system": "ext4",
    },
    "latency": {"apply": series(0.1), "bare disk": series(0.02, 200)},
    "open": [3.0, 1.0, 2.0],
    "replay": {"operations": 2_200, "ms": [5.0]},
    "throughput_per_s": 1_234.5,
    "memory": {
        "resident_bytes_per_operation": 10.0,
        "growth_bytes_per_operation": [1.0, 2.0, 3.0],
        "allocated_bytes_per_operation": None,
    },
    "descriptors": 1,
    "machine": {"processor": "<EPYC>", "cpus": 2},
}


def measured(**more: Any) -> Certificate:
    return dataclasses.replace(passing(), measurements={**MEASURED, **more})


def page_section(certificate: Certificate) -> str:
    page = render_html(certificate)
    return page[page.index('<section id="measurements"') :].partition("</section>")[0]


def test_a_certificate_without_measurements_has_no_section() -> None:
    """Nor an entry in the contents, nor lines on the console."""
    assert "measurements" not in re.sub(r"<style>.*?</style>", "", render_html(passing()), flags=re.DOTALL)
    assert "met " not in certificate_text(passing())


def test_limits_are_a_table_with_words() -> None:
    """What was measured, what the disk took, how many samples, and the verdict not in colour alone."""
    section = page_section(measured())

    assert "apply_p99_ms" in section and "21 ms" in section and "1.5 ms" in section and "✗</span> missed" in section
    assert ">so<" in section and "at least 1,00" not in section and "at least 100 operations/s" in section
    assert "&lt;EPYC&gt;" in section and "<EPYC>" not in section
    assert '<a href="#measurements">Measurements</a>' in render_html(measured())


def test_percentiles_are_a_table_too() -> None:
    """With the number of samples that lie beyond each."""
    [first, *_, last] = measuring.percentile_rows(MEASURED)

    assert first == measuring.PercentileRow("p50", (("5 ms", "1,000 beyond"), ("1 ms", "100 beyond")))
    assert last.name == "largest" and last.cells[0] == ("10 ms", "0 beyond")
    assert "p99.9" in page_section(measured())


def test_the_plot_is_well_formed_and_speaks() -> None:
    """Two sizes, each with a title and a description in words; no style and no script in it."""
    section = page_section(measured())
    drawings = re.findall(r"<svg class=\"percentiles (?:wide|narrow)\".*?</svg>", section, re.DOTALL)

    assert len(drawings) == 2
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.find("title") is not None and "median 5 ms" in (root.findtext("desc") or "")
        assert "style=" not in drawing and "<script" not in drawing
    assert 'aria-labelledby="latency-wide-t latency-wide-d"' in section


def test_limits_without_a_value_are_not_drawn() -> None:
    """There is no line that they could be held against."""
    [wide, narrow] = measuring.percentile_plots(MEASURED)

    assert [bound.text for bound in wide.bounds] == ["p99 ≤ 10 ms"] == [bound.text for bound in narrow.bounds]
    assert [curve.css for curve in wide.curves] == ["applied", "bare"]


def test_the_console_has_a_line_for_each_limit() -> None:
    """With the verdict in a word."""
    text = certificate_text(measured())

    assert "    ✗ missed     apply_p99_ms      21 ms, at most 10 ms, bare disk 1.5 ms\n" in text
    assert "    ? undecided  read_p50_ms       –, at most 10 ms\n" in text
    assert "    ✓ met        throughput_per_s  1,234 operations/s, at least 100 operations/s\n" in text
    assert "    ✓ met        descriptors       1, at most 1\n" in text


def test_what_else_was_measured_is_told() -> None:
    """Whether or not there is a limit; what was not measured is left out."""
    facts = dict(measuring.facts(MEASURED))

    assert facts["opening again, median"] == "2 ms" and facts["descriptors while open"] == "1"
    assert facts["growth over the second half, 95 % confidence"] == "1 to 3 bytes an operation"
    assert "allocated for an operation" not in facts
    assert measuring.facts({}) == () and measuring.percentile_rows({}) == () and measuring.load_words({}) == ""


def test_how_it_was_measured_is_said() -> None:
    """That it was a closed loop, how often, and where."""
    words = measuring.load_words(MEASURED)

    assert words.startswith("Closed loop: 2,000 operations, one after another, after 200 to warm up; measured twice")
    assert words.endswith("On <EPYC>, 2 processors and ext4.")
    once = measuring.load_words({**MEASURED, "load": {**MEASURED["load"], "repetitions": 1, "complete": False}})
    assert "ended early by the backstop of the profile; measured once." in once


# --- the plot as values ---------------------------------------------------------------------

CURVE = Curve("operations", "applied", ((0.0, 1.0), (50.0, 2.0), (90.0, 3.0), (99.0, 10.0), (100.0, 20.0)))


def test_each_nine_takes_the_same_room() -> None:
    """On the horizontal axis: from 0 to 90 % as much as from 90 to 99 %."""
    plot = percentile_plot([CURVE], [], WIDE)
    assert plot is not None
    at = {tick.text: tick.at for tick in plot.columns}

    assert at["99 %"] - at["90 %"] == pytest.approx(at["90 %"] - at["0"], abs=0.2)
    assert "99.9 %" not in at


@pytest.mark.parametrize("frame", [WIDE, NARROW])
def test_everything_stands_inside(frame: Any) -> None:
    """Curves, limits far away from them, and their labels."""
    bounds = [Bound(99.9, 1_000.0, "p99.9 ≤ 1,000 ms", "pass"), Bound(50.0, 0.001, "p50 ≤ 0.001 ms", "fail")]
    plot = percentile_plot([CURVE], bounds, frame)
    assert plot is not None
    left, top, right, bottom = frame.inner
    points = [tuple(map(float, pair.split())) for pair in plot.curves[0].path[1:].split("L")]

    assert all(left <= x <= right and top <= y <= bottom for x, y in points)
    assert all(left <= bound.x <= right and top <= bound.y <= bottom for bound in plot.bounds)
    assert {bound.anchor for bound in plot.bounds} == {"start", "end"}
    assert [tick.text for tick in plot.rows][:2] == ["1 µs", "10 µs"] and plot.rows[-1].text == "1 s"


def test_labels_do_not_cover_each_other() -> None:
    """Limits at the same height."""
    bounds = [Bound(99.0, 10.0, f"limit {number}", "pass") for number in range(3)]
    plot = percentile_plot([CURVE], bounds, WIDE)
    assert plot is not None
    heights = sorted(bound.text_y for bound in plot.bounds)

    assert all(later - earlier >= 14 for earlier, later in itertools.pairwise(heights))


def test_times_that_are_all_alike_make_no_mountain() -> None:
    """A decade is shown at least; very fast ones are told in nanoseconds."""
    plot = percentile_plot([Curve("x", "applied", ((0.0, 0.0005), (100.0, 0.0006)))], [], WIDE)

    assert plot is not None and [tick.text for tick in plot.rows] == ["1 µs"]
    fast = percentile_plot([Curve("x", "applied", ((0.0, 0.00005), (100.0, 0.0002)))], [], WIDE)
    assert fast is not None and "100 ns" in [tick.text for tick in fast.rows]


def test_nothing_to_draw() -> None:
    """No curve, or one point alone."""
    assert percentile_plot([], [], WIDE) is None
    assert percentile_plot([Curve("x", "applied", ((0.0, 1.0),))], [], WIDE) is None
    assert measuring.percentile_plots({}) == ()


def test_limits_are_a_claim_in_words() -> None:
    """The page says what it means, and how many were measured."""
    made = passing().evidence[0]
    row = dataclasses.replace(made, scenario="limits", claim="limits", persistence_model="", bounds={"limits": 4})
    claim = dataclasses.replace(passing().claims[0], claim="limits", promised="4 limits", verdict=Verdict.PASS)
    page = render_html(dataclasses.replace(measured(), claims=(claim,), evidence=(row,)))

    assert "What is measured stays within the limits that the adapter declares." in page
    assert "4 limits measured, in " in page and "live fault" not in page.partition("</section>")[0]
