"""When operations arrive: open-loop schedules, fixed before a run begins, from a seed.

An open loop has clients that do not wait for the store: an operation is due when it is due, also while the store is
still busy with an earlier one. So a store that stands still is charged for all who waited meanwhile. (A client that
calls again only when it was answered leaves out just those calls that would have been slow: "coordinated omission",
G. Tene, "How NOT to Measure Latency", 2013.)

A schedule is infinite and made in slices, each from the seed and its number alone. So a run of any length takes no more
memory than a slice, and one that was killed goes on at any slice.

- `uniform`: one operation every 1/rate seconds, clients in turn.
- `poisson`: independent clients. The sum of N Poisson processes of rate/N is one of the whole rate, in which each
  arrival belongs to any client with equal chance.
- `bursts`: Poisson with a rate that is high for `BURST_S` of every `BURST_EVERY_S` seconds and low in between.
- `business-hours`: Poisson with a rate that follows the hours of a day; a run begins at 08:00.

The last two are thinned (Lewis and Shedler, "Simulation of nonhomogeneous Poisson processes by thinning", 1979). The
mean rate over a whole period is the one asked for. That arrivals come at random moments, independent of each other, is
a model: real clients may be more regular, or more bunched.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from harness.core.errors import UsageError

SECOND_NS = 1_000_000_000
#: Arrivals in a slice, on average.
SLICE_ARRIVALS = 256
BURST_S = 2.0
BURST_EVERY_S = 20.0
#: How much higher the rate is within a burst than between two.
BURST_FACTOR = 10.0
DAY_S = 86_400.0
FIRST_HOUR = 8
#: The share of each hour of a day, from midnight: quiet nights, a dip at noon, some work in the evening.
HOURS = (1, 1, 1, 1, 1, 1, 2, 5, 10, 14, 15, 14, 10, 13, 15, 15, 13, 10, 6, 4, 3, 3, 2, 1)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One operation is due `at_ns` after the run began, from the client of this number."""

    at_ns: int
    client: int


def _steady(_seconds: float) -> float:
    return 1.0


def in_bursts(seconds: float) -> float:
    """The rate at a moment of a run, relative to the mean: `BURST_FACTOR` times as high within a burst."""
    low = BURST_EVERY_S / (BURST_EVERY_S + (BURST_FACTOR - 1) * BURST_S)
    return low * BURST_FACTOR if seconds % BURST_EVERY_S < BURST_S else low


def over_the_day(seconds: float) -> float:
    """The rate at a moment of a run, relative to the mean of the day."""
    hour = int(seconds % DAY_S // 3600 + FIRST_HOUR) % 24
    return HOURS[hour] * 24 / sum(HOURS)


#: For each kind: the rate at a moment, relative to the mean, and the highest that it gets.
_RATES: dict[str, tuple[Callable[[float], float], float]] = {
    "poisson": (_steady, 1.0),
    "bursts": (in_bursts, in_bursts(0.0)),
    "business-hours": (over_the_day, max(HOURS) * 24 / sum(HOURS)),
}
KINDS = ("uniform", *_RATES)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Arrivals of `kind` at a mean of `rate` per second, from `clients`. Raises `UsageError` for what makes none."""

    rate: float
    kind: str = "poisson"
    clients: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.rate > 0 and math.isfinite(self.rate)):
            raise UsageError(f"a rate of {self.rate:g} operations per second is no load: say a number above 0.")
        if self.clients < 1:
            raise UsageError(f"{self.clients} clients make no load: say 1 or more.")
        if self.kind not in KINDS:
            raise UsageError(f"there are no arrivals {self.kind!r}: say one of {', '.join(KINDS)}.")

    @property
    def slice_s(self) -> float:
        """The length of a slice in seconds."""
        return SLICE_ARRIVALS / self.rate

    def slice(self, number: int) -> tuple[Arrival, ...]:
        """The arrivals of slice `number`, from 0, in order of time."""
        if self.kind == "uniform":
            first = number * SLICE_ARRIVALS
            return tuple(self._even(first + index) for index in range(SLICE_ARRIVALS))
        return tuple(self._at_random(number))

    def _even(self, index: int) -> Arrival:
        return Arrival(round(index * SECOND_NS / self.rate), index % self.clients)

    def _at_random(self, number: int) -> list[Arrival]:
        source = random.Random(f"arrivals {self.seed} {number}")
        relative, highest = _RATES[self.kind]
        begin, end = number * self.slice_s, (number + 1) * self.slice_s
        arrivals = []
        moment = begin + source.expovariate(self.rate * highest)
        while moment < end:
            if source.random() * highest < relative(moment):
                arrivals.append(Arrival(int(moment * SECOND_NS), source.randrange(self.clients)))
            moment += source.expovariate(self.rate * highest)
        return arrivals
