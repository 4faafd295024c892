"""What changed between two certificates of one store, as values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from harness.core.verdict import Verdict

FORMAT_VERSION = 1


class Weight(Enum):
    """What a change means for a gate; the worst first."""

    REGRESSION = "regression"
    UNDECIDED = "undecided"
    IMPROVEMENT = "improvement"
    NOTE = "note"


#: What changes are about, in the order in which they are told.
AREAS = (
    *("run", "contract", "claims", "findings", "evidence", "scenarios", "states and faults"),
    *("fault coverage", "branch coverage", "costs"),
)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `subject` is what changed; `old` and `new` are what stood there, empty for nothing."""

    area: str
    weight: Weight
    subject: str
    sentence: str
    old: str = ""
    new: str = ""


@dataclass(frozen=True, slots=True)
class FindingChange:
    """A finding and its `status`: "new", "mended" or "ongoing"; ids are empty where a side has none."""

    status: str
    kind: str
    site: str
    summary: str
    old_id: str = ""
    new_id: str = ""


@dataclass(frozen=True, slots=True)
class CostChange:
    """One cost before and now; `weight` is NOTE where nothing or too little changed."""

    operation: str
    unit: str
    old: int
    new: int
    weight: Weight

    @property
    def percent(self) -> float | None:
        """How much more, in percent of before; `None` where there was nothing before."""
        return 100 * (self.new - self.old) / self.old if self.old else None


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two certificates, as far as a reader has to know it."""

    verdict: Verdict
    issued_at: str
    profile: str
    seed: int
    harness: str
    python: str
    digest: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that changed from the `old` certificate of `store` to the `new` one, the worst first.

    `tolerances` say what is let pass, in words.
    """

    store: str
    old: Side
    new: Side
    changes: tuple[Change, ...]
    findings: tuple[FindingChange, ...]
    costs: tuple[CostChange, ...]
    tolerances: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """FAIL for a regression, UNKNOWN where something could not be compared, else PASS."""
        weights = {change.weight for change in self.changes}
        if Weight.REGRESSION in weights:
            return Verdict.FAIL
        return Verdict.UNKNOWN if Weight.UNDECIDED in weights else Verdict.PASS

    def of(self, weight: Weight) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.weight is weight)

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON types."""
        document: dict[str, Any] = _json(self)
        return {"format_version": FORMAT_VERSION, "verdict": self.verdict.value, **document}


def in_order(changes: Iterable[Change]) -> tuple[Change, ...]:
    """The worst first, then as areas are told; otherwise as they came."""
    weights = list(Weight)
    return tuple(sorted(changes, key=lambda change: (weights.index(change.weight), AREAS.index(change.area))))


def _json(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value):
        return {f.name: _json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return [_json(item) for item in value] if isinstance(value, tuple) else value
