"""A decision about a release: ready, not ready or undecided, with the conditions that it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from harness.core.verdict import Verdict

#: The name of the policy that asks for nothing but what the contract promises.
DEFAULT_POLICY = "every promise is kept"


class Readiness(Enum):
    """What follows for a release."""

    READY = "ready"
    NOT_READY = "not ready"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that a policy asks for: PASS where it is met, and a sentence that says what was asked and found."""

    name: str
    verdict: Verdict
    sentence: str


@dataclass(frozen=True, slots=True)
class Decision:
    """`decision` is one of `Readiness`, as text; `policy` names the policy; `conditions` are all of them.

    `not_tried` says, in sentences, what the profile has left out or not exhausted: about that nothing is decided.
    """

    decision: str
    policy: str
    conditions: tuple[Condition, ...]
    not_tried: tuple[str, ...] = ()

    @property
    def readiness(self) -> Readiness:
        return Readiness(self.decision)

    @property
    def missing(self) -> tuple[Condition, ...]:
        """The conditions that are not met: refused ones first, then undecided ones."""
        failed = [item for item in self.conditions if item.verdict is Verdict.FAIL]
        return (*failed, *(item for item in self.conditions if item.verdict is Verdict.UNKNOWN))
