"""What a check of a history may take, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from harness.core.errors import UsageError
from harness.core.history import Called
from harness.core.verdict import Verdict

#: An acknowledged operation has vanished: without it there is an order that explains every other answer.
LOST_UPDATE = "lost_update"
#: No order explains the answers.
NOT_LINEARIZABLE = "not_linearizable"


@dataclass(frozen=True, slots=True)
class Budget:
    """What a check may take: steps of the search, seconds, and entries of its memory (about 250 bytes each).

    Where one of them is spent the verdict is UNKNOWN. Raises `UsageError` for a budget that allows nothing.
    """

    steps: int = 2_000_000
    seconds: float = 30.0
    entries: int = 1_000_000

    def __post_init__(self) -> None:
        for name in ("steps", "seconds", "entries"):
            if not getattr(self, name) > 0:
                raise UsageError(f"a budget of {getattr(self, name)} {name} allows nothing: say more than 0.")


class Placed(NamedTuple):
    """An operation in the order that was found, and the moment at which it may have taken effect (ns)."""

    number: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class Contradiction:
    """The fewest operations that were found to contradict each other, and the contradiction in one sentence.

    `snapshot` tells that the snapshot at the end is one of them. `kind` is `LOST_UPDATE` or `NOT_LINEARIZABLE`.
    """

    operations: tuple[Called, ...]
    snapshot: bool
    sentence: str
    kind: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of a history.

    PASS: `order` has every operation that took effect, in an order that explains every answer. FAIL: `contradiction`
    says why; `order` is how far the search of that part came, and `stuck` are the operations of which none could be
    next; both are empty where nothing was searched. UNKNOWN: `reason` says what ran out, and `hint` what helps.
    `part` names the key that the verdict is about, where keys are independent. `steps` and `entries` are what the
    search took, `deciders` are all that took part.
    """

    verdict: Verdict
    deciders: tuple[str, ...]
    order: tuple[Placed, ...] = ()
    stuck: tuple[int, ...] = ()
    contradiction: Contradiction | None = None
    part: str = ""
    reason: str = ""
    hint: str = ""
    steps: int = 0
    seconds: float = 0.0
    entries: int = 0

    @property
    def kind(self) -> str:
        """`LOST_UPDATE`, `NOT_LINEARIZABLE`, or nothing where no operation contradicts another."""
        return self.contradiction.kind if self.contradiction is not None else ""
