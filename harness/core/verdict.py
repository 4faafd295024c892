"""The verdict lattice: FAIL > UNKNOWN > PASS.

Merging takes the worst. There is no default and no truth value: nothing that was not decided
is ever a PASS.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NoReturn


class Verdict(Enum):
    """What became of a claim."""

    PASS = "pass"
    UNKNOWN = "unknown"
    FAIL = "fail"

    def __or__(self, other: Verdict) -> Verdict:
        """The worse of the two."""
        return self if _RANK[self] >= _RANK[other] else other

    def __bool__(self) -> NoReturn:
        raise TypeError("a Verdict has no truth value; compare it with Verdict.PASS")


_RANK = {Verdict.PASS: 0, Verdict.UNKNOWN: 1, Verdict.FAIL: 2}


def merge(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of `verdicts`; UNKNOWN where there is none, because nothing was decided."""
    worst: Verdict | None = None
    for verdict in verdicts:
        worst = verdict if worst is None else worst | verdict
    return Verdict.UNKNOWN if worst is None else worst
