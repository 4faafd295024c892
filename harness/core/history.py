"""A history: what concurrent clients called on one store, when, and what they were told.

Times are nanoseconds of one monotonic clock that all clients share. Intervals are closed: two operations of which one
ends at the moment at which the other begins are concurrent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Outcome(Enum):
    """What the client knows. `INFO`: it was never told, so the operation takes effect at any later time, or never."""

    OK = "ok"
    FAIL = "fail"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Called:
    """One operation of one client. `answer` counts where it is `OK`; `error` says why it is not.

    `completed_ns` is `None` where the client was never answered. `FAIL` means that it certainly had no effect.
    """

    number: int
    client: int
    operation: Any
    invoked_ns: int
    completed_ns: int | None = None
    outcome: Outcome = Outcome.INFO
    answer: Any = None
    error: str = ""

    def __post_init__(self) -> None:
        if self.outcome is not Outcome.INFO and self.completed_ns is None:
            raise ValueError(f"operation {self.number} has an outcome and no completion.")
        if self.completed_ns is not None and self.completed_ns < self.invoked_ns:
            raise ValueError(f"operation {self.number} ends before it begins.")


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A fault while the clients were at work, for the reader: nothing is concluded from it."""

    what: str
    began_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True)
class History:
    """All operations of a run in the order of their invocations; `final` is the snapshot after the last one, if taken.

    `has_final` tells a snapshot that is `None` from none.
    """

    operations: tuple[Called, ...]
    disturbances: tuple[Disturbance, ...] = ()
    final: Any = None
    has_final: bool = False

    @property
    def clients(self) -> tuple[int, ...]:
        return tuple(sorted({called.client for called in self.operations}))

    def __iter__(self) -> Iterator[Called]:
        return iter(self.operations)

    def __len__(self) -> int:
        return len(self.operations)


def history_of(operations: Iterable[Called], **rest: Any) -> History:
    """A history of operations in any order."""
    return History(tuple(sorted(operations, key=lambda called: (called.invoked_ns, called.number))), **rest)
