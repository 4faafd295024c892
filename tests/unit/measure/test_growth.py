"""Slopes with an interval of confidence."""

from __future__ import annotations

from harness.measure.growth import Slope, slope

PLACES = list(range(0, 1_000, 10))


def test_steady_growth_is_certain() -> None:
    """Also where memory comes in pages."""
    pages = [place * 1_024 // 4_096 * 4_096 for place in PLACES]
    found = slope(PLACES, pages)

    assert found is not None and 800 < found.low <= found.estimate <= found.high < 1_250


def test_one_jump_is_not() -> None:
    """A cache that is filled once makes the interval wide enough to hold no growth at all."""
    found = slope(PLACES, [0 if place < 500 else 1 << 20 for place in PLACES])

    assert found is not None and found.low < 0 < found.estimate < found.high


def test_what_stands_still_does_not_grow() -> None:
    """And says so for certain."""
    assert slope(PLACES, [5] * len(PLACES)) == Slope(0.0, 0.0, 0.0)


def test_few_samples_have_no_slope() -> None:
    """A block needs two ends."""
    assert slope([0, 1, 2], [0, 1, 2]) is None
