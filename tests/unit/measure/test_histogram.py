"""Distributions as HdrHistograms."""

from __future__ import annotations

import importlib.util

import pytest
from hdrh.histogram import HdrHistogram

from harness.measure import histogram
from harness.measure.histogram import Histogram

MS = 1_000_000


def test_percentiles_have_three_digits() -> None:
    """Of a thousand times from 1 to 1000 ms."""
    made = Histogram(number * MS for number in range(1, 1_001))
    table = {row["percentile"]: row for row in made.table()}

    assert made.count == 1_000
    assert [round(table[p]["ms"]) for p in (50.0, 99.0, 100.0)] == [500, 990, 1_000]
    assert [table[p]["beyond"] for p in (50.0, 99.0, 99.9, 100.0)] == [500, 10, 1, 0]


def test_the_curve_ends_with_the_largest() -> None:
    """And goes as far as there are samples."""
    points = Histogram(number * MS for number in range(1, 101)).curve()

    assert points[0][0] == 0.0 and points[-2][0] == 99.0 and points[-1] == [100.0, pytest.approx(100.0, rel=1e-3)]
    assert points == sorted(points)
    assert Histogram(()).curve() == []


def test_other_tools_can_read_it() -> None:
    """HdrHistogram's own form: histograms of several runs can be merged."""
    encoded = Histogram([MS, 2 * MS]).encoded()
    again = HdrHistogram.decode(encoded)

    assert again.get_total_count() == 2


def test_what_is_out_of_range_is_kept_at_its_end() -> None:
    """No time is dropped."""
    assert Histogram([0, 10**15]).count == 2


def test_a_machine_without_the_library_says_which_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """In words that can be typed."""
    assert histogram.missing() == ""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'durability-harness[measure]'" in histogram.missing()
