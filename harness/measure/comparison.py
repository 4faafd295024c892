"""What `harness pace` found out about two versions: a value, and its JSON form.

`verdict` is PASS for no regression, FAIL for a regression, UNKNOWN for everything else. Ratios are natural logarithms
in values and factors minus one, in per cent, in JSON: 5.0 is slower by 5 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from harness.core.verdict import Verdict
from harness.measure.pairs import Groups, Interval
from harness.measure.stages import ACCEPTED, NEGLIGIBLE, STAGES, Course, Decision, Stage, Step

FORMAT_VERSION = 1

_VERDICTS = {Decision.NO_REGRESSION: Verdict.PASS, Decision.REGRESSION: Verdict.FAIL}


@dataclass(frozen=True, slots=True)
class Side:
    """One version: as it was named, its Python, and how many source files the other version does not have."""

    given: str
    python: str
    files: int


@dataclass(frozen=True, slots=True)
class Metric:
    """A kind of operation. Times are nanoseconds of one operation, one mean for each sample, in the order of the pairs.

    `reason` says why a metric that looks decided is not, or is empty.
    """

    name: str
    steps: tuple[Step, ...]
    old_ns: tuple[float, ...]
    new_ns: tuple[float, ...]
    reason: str = ""

    @property
    def decision(self) -> Decision:
        return Decision.OPEN if self.reason else self.steps[-1].decision

    @property
    def verdict(self) -> Verdict:
        return _VERDICTS.get(self.decision, Verdict.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything about one job."""

    store: str
    adapter: str
    old: Side
    new: Side
    seed: int
    issued_at: str
    seconds: float
    operations: int
    metrics: tuple[Metric, ...]
    not_tested: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    environment: dict[str, Any] = field(default_factory=dict)
    stages: tuple[Stage, ...] = STAGES

    @property
    def decision(self) -> Decision:
        """That of the job: unfit before regression before open."""
        course = Course({metric.name: metric.steps for metric in self.metrics}).decision
        spoilt = any(metric.reason for metric in self.metrics)
        return Decision.OPEN if spoilt and course is Decision.NO_REGRESSION else course

    @property
    def verdict(self) -> Verdict:
        return _VERDICTS.get(self.decision, Verdict.UNKNOWN)

    @property
    def tests(self) -> int:
        """How many metrics share the errors."""
        return len(self.metrics)

    @property
    def reached(self) -> Stage:
        """The stage at which the job ended."""
        return self.metrics[0].steps[-1].stage

    def to_json(self) -> dict[str, Any]:
        return {
            "format_version": FORMAT_VERSION,
            "kind": "pace",
            "store": self.store,
            "adapter": self.adapter,
            "verdict": self.verdict.value,
            "decision": self.decision.value,
            "old": _side(self.old),
            "new": _side(self.new),
            "margins_percent": {"regression_above": percent(NEGLIGIBLE), "accepted_below": percent(ACCEPTED)},
            "stages": [_stage(stage) for stage in self.stages],
            "tested": self.tests,
            "not_tested": list(self.not_tested),
            "metrics": [self._metric(metric) for metric in self.metrics],
            "operations_per_sample": self.operations,
            "seed": self.seed,
            "issued_at": self.issued_at,
            "seconds": round(self.seconds, 1),
            "environment": self.environment,
            "notes": list(self.notes),
        }

    def _metric(self, metric: Metric) -> dict[str, Any]:
        last = metric.steps[-1]
        return {
            "metric": metric.name,
            "verdict": metric.verdict.value,
            "decision": metric.decision.value,
            "reason": metric.reason,
            "course": [self._step(step) for step in metric.steps],
            "log_ratios": _rounded(last.versions or ()),
            "log_ratios_of_old_against_itself": _rounded(last.same),
            "old_ns": [round(value) for value in metric.old_ns],
            "new_ns": [round(value) for value in metric.new_ns],
        }

    def _step(self, step: Step) -> dict[str, Any]:
        same, versions = step.intervals(self.tests)
        return {
            "decision": step.decision.value,
            "new_against_old": _interval(versions) if versions else None,
            "old_against_itself": _interval(same),
        }


def percent(log_ratio: float) -> float:
    """By how many per cent a version is slower."""
    return round(100 * math.expm1(log_ratio), 3)


def _interval(known: Interval) -> dict[str, Any]:
    return {
        "estimate_percent": percent(known.estimate),
        "lower_percent": _finite(known.lower),
        "upper_percent": _finite(known.upper),
        "lower_level": known.lower_level,
        "upper_level": known.upper_level,
        "pairs": known.pairs,
        "pairs_of_processes": known.groups,
        "design_effect": round(known.design_effect, 3),
    }


def _finite(bound: float) -> float | None:
    """JSON has no infinity: None where there are too few pairs for a bound."""
    return percent(bound) if math.isfinite(bound) else None


def _rounded(groups: Groups) -> list[list[float]]:
    return [[round(value, 6) for value in group] for group in groups]


def _side(side: Side) -> dict[str, Any]:
    return {"given": side.given, "python": side.python, "own_files": side.files}


def _stage(stage: Stage) -> dict[str, Any]:
    return {
        "pairs": stage.pairs,
        "pairs_of_processes": stage.processes,
        "pass_level": stage.pass_level,
        "alarm_level": stage.alarm_level,
    }
