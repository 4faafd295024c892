"""Does something grow with every clean reopening, or does it settle?"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

#: Parts of the last half of all samples, each of which must have grown.
_PARTS = 4
#: Samples in each of these parts, for growth that need not show between any two samples.
_LEAST_PART = 10
#: Samples in a row that must show no growth for something to count as settled.
_CALM = 6


def settled(samples: Sequence[int], *, least: int) -> bool:
    """Whether the last samples differ by less than `least` each."""
    recent = samples[-_CALM:]
    return len(recent) == _CALM and all(
        later - earlier < least for earlier, later in itertools.pairwise(recent)
    )


def grows(samples: Sequence[int], *, least: int) -> bool:
    """Whether each quarter of the last half of the samples, taken at equal distances, added at least `least` for each
    distance. What was filled once and then stays does not grow, nor does what comes and goes."""
    half = samples[len(samples) // 2 :]
    distances = (len(half) - 1) // _PARTS
    if distances < 1:
        return False
    edges = half[-1 - _PARTS * distances :: distances]
    return all(later - earlier >= least * distances for earlier, later in itertools.pairwise(edges))


def creeps(samples: Sequence[int]) -> bool:
    """Whether the lowest sample of each quarter of the last half is above that of the quarter before, and all of the
    last quarter above all of the first: a growth that is seldom, but goes on. What was filled by the middle does not
    creep, nor does what falls back now and then."""
    size = len(samples) // 2 // _PARTS
    if size < _LEAST_PART:
        return False
    last = samples[-_PARTS * size :]
    parts = [last[start : start + size] for start in range(0, len(last), size)]
    rising = all(min(later) > min(earlier) for earlier, later in itertools.pairwise(parts))
    return rising and min(parts[-1]) > max(parts[0])
