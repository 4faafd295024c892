"""Durations as people write them: `90s`, `10m`, `72h`, `2d`."""

from __future__ import annotations

import re

from harness.core.errors import UsageError

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_FORM = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhd])", re.ASCII)
#: Ten years: beyond it a 64-bit count of nanoseconds could overflow, and nobody waits.
MOST_S = 3_650 * 86_400


def parse_duration(text: str) -> float:
    """The duration in seconds. Raises `UsageError` for what is none, is zero, or is longer than ten years."""
    match = _FORM.fullmatch(text.strip())
    seconds = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
    if not 0 < seconds <= MOST_S:
        raise UsageError(f"{text!r} is no duration: write one like 90s, 10m, 72h or 2d, above 0 and up to 3650d.")
    return seconds


def duration_text(seconds: float) -> str:
    """As it would be written: in the largest unit that needs no fraction."""
    for unit, size in reversed(_UNITS_S.items()):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:g}s"
