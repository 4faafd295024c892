"""Does something grow with every clean reopening, or does it settle?"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

#: Parts of the last half of all samples, each of which must have grown.
_PARTS = 4
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
