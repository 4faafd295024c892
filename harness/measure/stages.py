"""Whether a new version is slower than an old one: a decision in stages, with the errors spent in advance.

Each stage first compares the old version with itself. Where that shows a difference beyond the margin, pairs on this
machine mean nothing now, and the job ends as UNFIT. Then, for each metric, in this order:

1. no regression, if the upper bound of the log ratio is below `ACCEPTED` (5 %);
2. regression, if the lower bound is above `NEGLIGIBLE` (1 %): a margin, because a bias that is too small to matter
   becomes significant with enough pairs;
3. otherwise more pairs. After the last stage it stays OPEN, which is UNKNOWN.

A stage may err with the probabilities of its two levels, all stages together with their sums. A new version that is 5 %
slower or more passes in at most 5 of 100 jobs; one that is 1 % slower is flagged in at most 2 of 100, one that is as
fast as the old one in fewer than 1 (measured: docs/PERFORMANCE.md). With many metrics the second is kept by Holm's
procedure (Scandinavian Journal of Statistics 6, 1979). The first needs no correction, because a job passes only if
every metric does (Berger, Technometrics 24, 1982). The first regression ends a job. Bounds assume that noise is the
same for all pairs of a job, and independent but for the process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from harness.measure.pairs import Groups, Interval, flat, interval, is_above, is_below, mirrored, standing

#: Log ratios: slower by less than 1 % does not matter; slower by less than 5 % is accepted.
NEGLIGIBLE = math.log(1.01)
ACCEPTED = math.log(1.05)


@dataclass(frozen=True, slots=True)
class Stage:
    """Pairs and pairs of processes from the beginning of the job to the end of this stage, and how often it may err."""

    pairs: int
    processes: int
    pass_level: float
    alarm_level: float


STAGES = (Stage(40, 8, 0.01, 0.002), Stage(100, 16, 0.015, 0.004), Stage(400, 36, 0.025, 0.014))

#: Differences of each metric.
Family = Mapping[str, Groups]
#: Pairs of a stage that begins: whether the new version is one side (or the old one both), the stage, the one before.
Draw = Callable[[bool, Stage, Stage | None], Family]


class Decision(Enum):
    """What is known of one metric, or of a job."""

    NO_REGRESSION = "no regression"
    REGRESSION = "regression"
    OPEN = "open"
    UNFIT = "unfit"


@dataclass(frozen=True, slots=True)
class Step:
    """A metric at the end of a stage. `same`: the old version against itself; `versions`: None where that was unfit."""

    stage: Stage
    same: Groups
    versions: Groups | None
    decision: Decision

    def intervals(self, tests: int) -> tuple[Interval, Interval | None]:
        """Both with the levels that decided, for one of `tests` metrics."""
        alarm = self.stage.alarm_level / tests
        same = interval(self.same, alarm, alarm)
        return same, interval(self.versions, alarm, self.stage.pass_level) if self.versions else None


@dataclass(frozen=True, slots=True)
class Course:
    """A job from its first stage to its last, metric by metric."""

    steps: Mapping[str, tuple[Step, ...]]

    @property
    def decision(self) -> Decision:
        """That of the job: unfit before regression before open."""
        reached = {steps[-1].decision for steps in self.steps.values()}
        order = (Decision.UNFIT, Decision.REGRESSION, Decision.OPEN, Decision.NO_REGRESSION)
        return next((decision for decision in order if decision in reached), Decision.OPEN)


def run_stages(draw: Draw, metrics: tuple[str, ...], stages: tuple[Stage, ...] = STAGES) -> Course:
    """Draw pairs, stage by stage, until all metrics are decided, one is slower, or the machine is unfit."""
    steps: dict[str, list[Step]] = {metric: [] for metric in metrics}
    same: dict[str, Groups] = dict.fromkeys(metrics, ())
    versions: dict[str, Groups] = dict.fromkeys(metrics, ())
    before: Stage | None = None
    for stage in stages:
        _extend(same, draw(False, stage, before))
        if unfit := unlike(same, stage.alarm_level):
            for metric in metrics:
                decision = Decision.UNFIT if metric in unfit else Decision.OPEN
                steps[metric].append(Step(stage, same[metric], None, decision))
            break
        _extend(versions, draw(True, stage, before))
        decided = {metric: known[-1].decision for metric, known in steps.items() if known}
        for metric, decision in decide(versions, stage, decided).items():
            steps[metric].append(Step(stage, same[metric], versions[metric], decision))
        reached = [known[-1].decision for known in steps.values()]
        if Decision.REGRESSION in reached or Decision.OPEN not in reached:
            break
        before = stage
    return Course({metric: tuple(known) for metric, known in steps.items()})


def _extend(groups: dict[str, Groups], more: Family) -> None:
    for metric, known in groups.items():
        groups[metric] = known + tuple(group for group in more.get(metric, ()) if group)


def unlike(family: Family, level: float) -> frozenset[str]:
    """The metrics in which the old version differs from itself by more than 1 %, in either direction."""
    slower = _alarms(family, level, len(family))
    faster = _alarms({metric: mirrored(groups) for metric, groups in family.items()}, level, len(family))
    return frozenset((*slower, *faster))


def decide(family: Family, stage: Stage, decided: Mapping[str, Decision]) -> dict[str, Decision]:
    """The decision on each metric at the end of a stage; what was decided before stays."""
    decisions = {metric: decided.get(metric, Decision.OPEN) for metric in family}
    open_ = [metric for metric, decision in decisions.items() if decision is Decision.OPEN]
    for metric in open_:
        if flat(family[metric]) and is_below(family[metric], ACCEPTED, stage.pass_level):
            decisions[metric] = Decision.NO_REGRESSION
    still = {metric: family[metric] for metric in open_ if decisions[metric] is Decision.OPEN}
    for metric in _alarms(still, stage.alarm_level, len(family)):
        decisions[metric] = Decision.REGRESSION
    return decisions


def _alarms(family: Family, level: float, tests: int) -> list[str]:
    """The metrics that are slower by more than the margin: Holm's procedure over `tests` metrics."""
    found: list[str] = []
    likely = [metric for metric, groups in family.items() if flat(groups) and is_above(groups, NEGLIGIBLE, level)]
    for metric in sorted(likely, key=lambda name: -standing(family[name], NEGLIGIBLE)):
        if not is_above(family[metric], NEGLIGIBLE, level / (tests - len(found))):
            break
        found.append(metric)
    return found
