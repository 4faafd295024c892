"""Durations as people write them."""

from __future__ import annotations

import pytest

from harness import UsageError
from harness.run.durations import duration_text, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90.0), ("10m", 600.0), ("72h", 259_200.0), ("2d", 172_800.0), ("1.5h", 5_400.0), (" 5s ", 5.0)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    """A number and one of four units."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "s", "0s", "0.0h", "-5s", "5 s", "1e3s", "5w", "1h30m", "٣s", "9999999d", "nan s", "inf"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """One sentence that says how to write one."""
    with pytest.raises(UsageError, match="is no duration: write one like 90s"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(90, "90s"), (600, "10m"), (5_400, "90m"), (172_800, "2d"), (59.9, "59.9s")]
)
def test_durations_are_written_in_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    """No fraction but of seconds."""
    assert duration_text(seconds) == text
