"""What goes into a comparison of two versions, and what comes out of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.measure.stages import STAGES, Stage


@dataclass(frozen=True, slots=True)
class Version:
    """A version: as the user named it, its interpreter, and the folder that stands first on its path, if any."""

    given: str
    python: str
    folder: str | None


@dataclass(frozen=True, slots=True)
class PaceOptions:
    """Options of `harness pace`. A sample is `sample_ms` of work for each kind of operation, as far as it can be
    arranged.

    `directory` is where the stores are: on the disk whose time is to count. `request_limit_s` is for one sample.
    """

    seed: int = 0
    directory: Path = Path("reports")
    stages: tuple[Stage, ...] = STAGES
    sample_ms: float = 10.0
    warm_up: int = 2
    request_limit_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Sample:
    """For each kind of operation: how many were taken, refused and failed, and the time of all in nanoseconds."""

    done: Mapping[str, tuple[int, int, int]]
    spent_ns: Mapping[str, int]

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Sample:
        return cls({kind: tuple(counts) for kind, counts in answer["done"].items()}, dict(answer["spent_ns"]))

    def per_operation_ns(self, kind: str) -> float:
        """The mean time of one operation of this kind, in nanoseconds."""
        return self.spent_ns[kind] / max(1, sum(self.done[kind]))


@dataclass(frozen=True, slots=True)
class Pair:
    """The same work by both versions, one right after the other."""

    first: Sample
    second: Sample

    def difference(self, kind: str) -> float | None:
        """The log ratio of the times, second to first; `None` if one of them did not do it."""
        if kind not in self.first.spent_ns or kind not in self.second.spent_ns:
            return None
        return math.log(max(1, self.second.spent_ns[kind]) / max(1, self.first.spent_ns[kind]))

    def unequal(self) -> list[str]:
        """The kinds of operation of which one version took, refused or failed others than the other."""
        kinds = sorted({*self.first.done, *self.second.done})
        return [kind for kind in kinds if self.first.done.get(kind) != self.second.done.get(kind)]
