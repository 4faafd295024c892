"""What a run is asked to do, and the profiles."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.core.errors import UsageError
from harness.crash.states import Limits
from harness.explore.workloads import Extent
from harness.inject.nemesis import Schedule
from harness.judge.policy import Policy


@dataclass(frozen=True, slots=True)
class LiveExtent:
    """How many workloads of each kind live faults are tried on, and how many faults on each of them.

    `reopenings` are those after which a store should hold no more than before; 0 for as few as settle it, 256 at most.
    State machines make their own workloads: so many hunts for each claim, examples in each, and steps in each of these.
    `schedules` of several faults are made for each workload. `thorough`: there is time for scenarios that say of
    themselves that they are.
    """

    short: int
    long: int
    large: bool
    faults: int
    hunts: int = 1
    hunt_examples: int = 4
    hunt_steps: int = 10
    schedules: int = 24
    reopenings: int = 0
    thorough: bool = True

    def __post_init__(self) -> None:
        if self.faults < 1:
            raise UsageError(f"a budget of {self.faults} faults tries nothing: say 1 or more.")


@dataclass(frozen=True, slots=True)
class MeasureExtent:
    """How many operations a measurement against limits has; the bare disk is asked every `disk_every` of them.

    300 are the fewest without one beyond a bound that say anything about p99; some operations are reads. `seconds` is
    only a backstop.
    """

    operations: int
    disk_every: int
    seconds: float

    @property
    def warm_up(self) -> int:
        return max(20, self.operations // 10)


@dataclass(frozen=True, slots=True)
class Profile:
    """How much to try. Budgets count workloads, states, faults and samples; `seconds` is only a backstop."""

    name: str
    extent: Extent
    limits: Limits
    recovery_depth: int
    samples: int
    seconds: float
    live: LiveExtent = LiveExtent(2, 0, large=False, faults=300)
    measures: MeasureExtent = MeasureExtent(400, 5, 20.0)

    @property
    def exploring_s(self) -> float:
        """What the crash states of one workload may take."""
        return self.seconds / 6

    @property
    def trials_s(self) -> float:
        """What the live faults of one scenario may take on one workload."""
        return self.seconds / 4

    def limits_of(self, *, sparse: bool) -> Limits:
        """How much to try with one workload. Where only some of very many operations are crashed, less at each of them:
        a store that never syncs has very much pending there, and a recovery takes as long as there are operations."""
        whole = self.limits
        if not sparse:
            return whole
        return replace(
            whole,
            states_per_point=whole.states_per_point // 20,
            bounded_per_point=whole.bounded_per_point // 5,
            states=whole.states // 20,
        )


def not_part_of(profile: str) -> str:
    """Why a scenario was left out, where it is a matter of how much there is to be tried."""
    return f"not part of the profile {profile}"


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("quick", Extent(16, (8,), large=False, many=260), Limits(4_000, 60, 20_000, 200), 1, 2, 120.0,
                LiveExtent(2, 0, large=False, faults=240, schedules=12, thorough=False)),
        Profile("standard", Extent(48, (12, 28), large=True, many=260, pairs=3, crowds=2),
                Limits(8_000, 120, 60_000, 1_000), 1, 6, 900.0,
                LiveExtent(5, 1, large=True, faults=2_000, hunts=2, hunt_examples=8, hunt_steps=20, reopenings=1_000),
                MeasureExtent(2_000, 10, 120.0)),
        Profile(
            "exhaustive",
            Extent(600, (20, 40, 60), large=True, many=1_030, pairs=60, crowds=30),
            Limits(100_000, 2_000, 5_000_000),
            2,
            24,
            36_000.0,
            LiveExtent(40, 3, large=True, faults=50_000, hunts=16, hunt_examples=100, hunt_steps=40, reopenings=1_000),
            MeasureExtent(20_000, 20, 1_800.0),
        ),
    )
}


def _cores() -> int:
    """Those that this process may use, where the system says so."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `harness certify`. `time_limit_s` is for one call into the store.

    `coverage` makes workers measure branch coverage: a folder for the data, then the files to measure. `schedules` of
    faults are tried in the place of those that a seed would give. `policy` decides whether the store is ready.
    """

    profile: str = "standard"
    scenarios: tuple[str, ...] = ()
    seed: int = 0
    jobs: int = field(default_factory=_cores)
    time_limit_s: float = 10.0
    reports: Path | None = None
    resume: bool = False
    survey: bool = False
    coverage: tuple[str, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    policy: Policy | None = None

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise UsageError(f"there is no profile {self.profile!r}: say one of {', '.join(PROFILES)}.")
        if self.jobs < 1:
            raise UsageError(f"--jobs {self.jobs} leaves nobody to work: say 1 or more.")
        if not self.time_limit_s > 0:
            raise UsageError(
                f"--time-limit {self.time_limit_s:g} leaves no time: say how many seconds, above 0."
            )

    @property
    def budget(self) -> Profile:
        return PROFILES[self.profile]
