"""The two certificates that are compared, and whether they come from the same search."""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.comparison import Change, Weight
from harness.core.evidence import OUT_OF_TIME, Certificate


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What is let pass, in percent of before; for branch coverage in points of percent.

    States and faults depend on how many calls a store makes, and a change of the store changes them a little. Live
    faults strike at what a clock lets happen, so a line more or less is covered. Costs are the same in every run: their
    2 % only leave room for a line of code.
    """

    effort_percent: float = 10.0
    coverage_points: float = 0.5
    cost_percent: float = 2.0

    def words(self) -> tuple[str, ...]:
        return (
            f"workloads, states and faults: up to {self.effort_percent:g} % fewer, with the same profile and seed",
            f"branch coverage: up to {self.coverage_points:g} points lower",
            f"each deterministic cost: up to {self.cost_percent:g} % more",
        )


@dataclass(frozen=True, slots=True)
class Pair:
    """An earlier certificate and a later one of the same store."""

    old: Certificate
    new: Certificate
    tolerance: Tolerance

    @property
    def same_search(self) -> bool:
        """Whether both looked in the same way, so that what they tried can be held against each other."""
        return not any(change.weight is Weight.UNDECIDED for change in run_changes(self))


def run_changes(pair: Pair) -> list[Change]:
    """How the two runs differ, apart from the store."""
    old, new = pair.old, pair.new
    searches = (
        ("profile", old.profile, new.profile),
        ("seed", str(old.seed), str(new.seed)),
        ("version of the harness", _environment(old, "harness"), _environment(new, "harness")),
    )
    late = [name for name, side in (("earlier", old), ("later", new)) if side.environment.get(OUT_OF_TIME)]
    surroundings = (
        ("adapter", old.adapter, new.adapter),
        ("version of Python", _environment(old, "python"), _environment(new, "python")),
        ("kernel", _environment(old, "kernel"), _environment(new, "kernel")),
        ("namespaces", _environment(old, "namespaces"), _environment(new, "namespaces")),
    )
    consequence = "how much was tried and covered is not compared"
    return [
        *(_difference(Weight.UNDECIDED, row, consequence) for row in searches if row[1] != row[2]),
        *(_late(name, consequence) for name in late),
        *(_difference(Weight.NOTE, row, "") for row in surroundings if row[1] != row[2]),
    ]


def _late(name: str, consequence: str) -> Change:
    sentence = f"Time ran out in the {name} run: {consequence}."
    return Change("run", Weight.UNDECIDED, f"time of the {name} run", sentence)


def _difference(weight: Weight, row: tuple[str, str, str], consequence: str) -> Change:
    name, before, now = row
    sentence = f"The {name} was {before or 'not recorded'} and is {now or 'not recorded'}"
    return Change("run", weight, name, f"{sentence}: {consequence}." if consequence else f"{sentence}.", before, now)


def _environment(certificate: Certificate, name: str) -> str:
    value = certificate.environment.get(name, "")
    return value if isinstance(value, str) else str(value)
