"""How fast something grows, from samples taken along a run, with an interval of confidence.

Memory grows in steps, and what one sample says the next one repeats. So the samples are cut into `BLOCKS`, the growth
of each block is one observation, and the interval is Student's over these (method of batch means). One jump makes the
interval wide; steady growth makes it narrow.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

BLOCKS = 8
#: Student's t for 95 % on two sides and `BLOCKS - 1` degrees of freedom.
_T = 2.365


@dataclass(frozen=True, slots=True)
class Slope:
    """Growth for each step, with the bounds of its 95 % interval of confidence."""

    estimate: float
    low: float
    high: float


def slope(places: Sequence[int], values: Sequence[int]) -> Slope | None:
    """The slope of `values` over the ascending `places` at which they were taken; `None` where these are too few."""
    size = (len(values) - 1) // BLOCKS
    if size < 1:
        return None
    edges = [len(values) - 1 - size * number for number in range(BLOCKS, -1, -1)]
    rates = [
        (values[end] - values[start]) / (places[end] - places[start])
        for start, end in itertools.pairwise(edges)
    ]
    middle = (values[edges[-1]] - values[edges[0]]) / (places[edges[-1]] - places[edges[0]])
    margin = _T * statistics.stdev(rates) / math.sqrt(BLOCKS)
    return Slope(middle, middle - margin, middle + margin)
