"""Who tries the same again and again waits for somebody else, though he never sleeps for long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: As often as this it was tried, and of so many steps one attempt may be made.
TIMES = 4
LONGEST = 24


def repeats(steps: Sequence[Any]) -> bool:
    """Whether the last steps are one sequence over and over."""
    for period in range(1, min(LONGEST, len(steps) // TIMES) + 1):
        if steps[-1] == steps[-1 - period]:
            last = steps[-period * TIMES :]
            if last[period:] == last[:-period]:
                return True
    return False
