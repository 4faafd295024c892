"""The operations of a history that count, as the deciders see them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.history import Called, History, Outcome
from harness.core.operations import READS, Compact, Sync

#: The completion of an operation that was never answered: it may take effect at any later time.
NEVER = math.inf
#: The number of the snapshot at the end.
FINAL = -1
_MAINTENANCE = (Sync, Compact)


@dataclass(slots=True, eq=False)
class Event:
    """An operation, or the snapshot at the end, which is a read after all others (`called` is `None`).

    Nobody changes it; that it is not frozen makes it twice as fast to make.
    """

    number: int
    invoked: int
    completed: float
    called: Called | None

    @property
    def answered(self) -> bool:
        return self.completed != NEVER


def operations_of(history: History, *, plain_reads: bool) -> list[Event]:
    """What may have had an effect, or tells something; with `plain_reads` reads and maintenance change nothing.

    Left out: what certainly had no effect (`FAIL`), and, with `plain_reads`, reads without an answer, `Sync` and
    `Compact`.
    """
    events = []
    without_answer = (*READS, *_MAINTENANCE) if plain_reads else ()
    silent = _MAINTENANCE if plain_reads else ()
    for called in history.operations:
        if called.outcome is Outcome.OK and not isinstance(called.operation, silent):
            assert called.completed_ns is not None
            events.append(Event(called.number, called.invoked_ns, called.completed_ns, called))
        elif called.outcome is Outcome.INFO and not isinstance(called.operation, without_answer):
            events.append(Event(called.number, called.invoked_ns, NEVER, called))
    return events


def final_event(history: History) -> Event:
    """The snapshot: after everything that was called, though what was not answered may still come after it."""
    times = [time for called in history.operations for time in (called.invoked_ns, called.completed_ns or 0)]
    at = max(times, default=0) + 1
    return Event(FINAL, at, at, None)


def by_invocation(events: Iterable[Event]) -> list[Event]:
    return sorted(events, key=lambda event: (event.invoked, event.completed))


def moments(order: Sequence[Event]) -> list[tuple[Event, int]]:
    """For a legal order, a moment for each operation, within its interval, so that the moments never decrease."""
    latest = itertools.accumulate((event.invoked for event in order), max)
    return list(zip(order, latest, strict=True))


def operation_of(event: Event) -> Any:
    """The operation; `None` for the snapshot."""
    return None if event.called is None else event.called.operation
