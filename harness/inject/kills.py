"""Kills of a writer: at which moments of a run its process dies, and at which call of the store that is.

A process that is killed (SIGKILL) leaves on the disk what its completed calls wrote; a write in progress is cut at a
page boundary of the file, because the kernel copies page by page and looks for fatal signals in between
(generic_perform_write in mm/filemap.c). Between two calls nothing changes on the disk, so one kill before each call,
and one wherever the client learned something, leave every state that a kill between calls can leave.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from harness.core.persistence import PAGE_BYTES
from harness.core.trace import CallSite

#: Page boundaries inside one write that are tried; of a larger one the first, the last, and seeded ones between.
CUTS_MOST = 6
#: Moments of a workload at which the next process is killed too, and at which the writer only stands still.
RECOVERIES_KILLED = 6
STALLS = 6
#: Kills at moments that a clock decides.
RANDOM_MOMENTS = 16
_SCALE = 1000
_Item = TypeVar("_Item")


class Moment(Enum):
    """When a process is killed. `number` and `part_bytes` of a `Kill` mean what is said here."""

    BEFORE = "before a call"  # the call with this number
    INSIDE = "inside a write"  # the call with this number, after so many bytes
    AFTER = "after a call"  # the call with this number
    ACKNOWLEDGED = "after an acknowledgement"  # of the operation with this index
    RECOVERING = "again during recovery"  # first before the call, or inside it where there is a part
    STALLED = "stopped for a while"  # before the call; nothing is killed, the process goes on later
    RANDOM = "at a random moment"  # after so many thousandths of the time that the workload takes


#: Moments whose number is not that of a call.
_NO_CALL = (Moment.ACKNOWLEDGED, Moment.RANDOM)


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill of the process that runs a workload. Calls about the store's directory are counted, from 1."""

    moment: Moment
    number: int = 0
    part_bytes: int = 0

    def describe(self) -> str:
        match self.moment:
            case Moment.BEFORE | Moment.AFTER:
                side = self.moment.value.split()[0]
                return f"the process was killed {side} its I/O call number {self.number}"
            case Moment.INSIDE:
                return f"the process was killed inside I/O call number {self.number}, {self.part_bytes} bytes written"
            case Moment.ACKNOWLEDGED:
                return f"the process was killed when operation {self.number + 1} had just been acknowledged"
            case Moment.RECOVERING:
                return f"{self.first().describe()}, and so was the next one while it opened what was left"
            case Moment.STALLED:
                return f"the process was stopped before its I/O call number {self.number}, and went on later"
        return f"the process was killed after {self.number / _SCALE:.1%} of the time that it takes"

    def first(self) -> Kill:
        """The kill that comes before the one during recovery."""
        return Kill(Moment.INSIDE if self.part_bytes else Moment.BEFORE, self.number, self.part_bytes)


@dataclass(frozen=True, slots=True)
class Called:
    """One call of the store as a run without faults saw it.

    `cuts` are the page boundaries of the file inside a write, in bytes from its beginning. `changes` says that it
    changed the directory, `lasting` that it is one which could, or a sync. `locked`: a lock was held, or a lock file.
    """

    name: str
    site: CallSite | None
    cuts: tuple[int, ...] = ()
    changes: bool = False
    lasting: bool = False
    locked: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """The client learned what became of the operation with this index."""

    operation: int
    acknowledged: bool = True


#: What a run does, in order.
Course = Sequence[Called | Settled]


def cuts(position: int, size_bytes: int) -> tuple[int, ...]:
    """The page boundaries strictly inside a write of so many bytes at `position`, from its beginning."""
    first = PAGE_BYTES - position % PAGE_BYTES
    return tuple(range(first, size_bytes, PAGE_BYTES))


# --- which kills --------------------------------------------------------------------------------


def kills(course: Course, seed: int) -> Iterator[Kill]:
    """All kills at exact moments of a run, in the order in which they come."""
    number = 0
    for place, item in enumerate(course):
        if isinstance(item, Settled):
            if item.acknowledged:
                yield Kill(Moment.ACKNOWLEDGED, item.operation)
            continue
        number += 1
        yield Kill(Moment.BEFORE, number)
        for part in _chosen(item.cuts, f"cuts {seed} {number}"):
            yield Kill(Moment.INSIDE, number, part)
        if place + 1 == len(course) or isinstance(course[place + 1], Settled):
            yield Kill(Moment.AFTER, number)


def _chosen(parts: tuple[int, ...], seed: str) -> list[int]:
    if len(parts) <= CUTS_MOST:
        return list(parts)
    between = random.Random(seed).sample(parts[1:-1], CUTS_MOST - 2)
    return sorted((parts[0], parts[-1], *between))


def kills_in_recovery(course: Course, seed: int) -> Iterator[Kill]:
    """First kills after which the next process is killed as well: where something was under way."""
    open_moments = [kill for kill in kills(course, seed) if kill.moment is Moment.INSIDE or _under_way(course, kill)]
    for kill in spread(open_moments, RECOVERIES_KILLED, f"recoveries {seed}"):
        yield Kill(Moment.RECOVERING, kill.number, kill.part_bytes)


def _under_way(course: Course, kill: Kill) -> bool:
    """Whether something has just changed."""
    if kill.moment is not Moment.BEFORE or kill.number < 2:
        return False
    return _calls(course)[kill.number - 2].changes


def stalls(course: Course, seed: int) -> Iterator[Kill]:
    """Moments at which the writer stands still: first of all where it holds a lock."""
    numbered = list(enumerate(_calls(course), 1))
    wanted = [number for number, call in numbered if call.locked and call.lasting]
    wanted = wanted or [number for number, call in numbered if call.lasting] or [number for number, _ in numbered]
    for number in spread(wanted, STALLS, f"stalls {seed}"):
        yield Kill(Moment.STALLED, number)


def random_kills(seed: int) -> Iterator[Kill]:
    """Kills by the clock, as fractions of the time that the workload takes."""
    chosen = random.Random(f"random kills {seed}")
    for _ in range(RANDOM_MOMENTS):
        yield Kill(Moment.RANDOM, chosen.randrange(1, _SCALE))


def spread(items: Sequence[_Item], most: int, seed: str) -> list[_Item]:
    """At most so many, one from each of as many parts."""
    if len(items) <= most:
        return list(items)
    chosen = random.Random(seed)
    edges = [number * len(items) // most for number in range(most + 1)]
    return [items[chosen.randrange(low, high)] for low, high in itertools.pairwise(edges)]


def duration_s(kill: Kill, whole_s: float) -> float:
    """When a random kill comes, in seconds from the beginning."""
    return whole_s * kill.number / _SCALE


# --- where they are -----------------------------------------------------------------------------


def _calls(course: Course) -> list[Called]:
    return [item for item in course if isinstance(item, Called)]


def call_at(course: Course, kill: Kill) -> Called | None:
    """The call that the kill strikes at; none for a kill after an acknowledgement."""
    calls = _calls(course)
    at_a_call = kill.moment not in _NO_CALL and 0 < kill.number <= len(calls)
    return calls[kill.number - 1] if at_a_call else None


def site_of(course: Course, kill: Kill) -> CallSite | None:
    """The last call begun that may have left something behind.

    Where the client learned something after the last change, what it learned counts: then it is the last call
    before that, a sync included, for it is this call that should have done more. For a random kill the course is
    that of the run that was killed, and all of it counts.
    """
    changed = settled = None
    lasting: Called | None = None
    for item in _before(course, kill):
        if isinstance(item, Settled):
            settled, changed = lasting, None
        elif item.lasting:
            lasting = item
            changed = item if item.changes else changed
    found = changed or settled or lasting or call_at(course, kill) or next(iter(_calls(course)), None)
    return found.site if found is not None else None


def _before(course: Course, kill: Kill) -> Iterator[Called | Settled]:
    """What had been begun when the kill came."""
    number = 0
    for item in course:
        if isinstance(item, Called):
            number += 1
            if number == kill.number and kill.moment not in _NO_CALL:
                if kill.moment in (Moment.AFTER, Moment.INSIDE):
                    yield item
                return
        yield item
        if isinstance(item, Settled) and kill == Kill(Moment.ACKNOWLEDGED, item.operation):
            return


def operation_at(course: Course, kill: Kill) -> tuple[Called, ...]:
    """The calls of the operation that the kill strikes in, from its first until the client is answered."""
    calls: list[Called] = []
    number = 0
    for item in course:
        if isinstance(item, Called):
            number += 1
            calls.append(item)
        elif number >= kill.number:
            break
        else:
            calls.clear()
    return tuple(calls)


def word(kill: Kill, course: Course) -> str:
    """The fault in a word, for a table of what struck where."""
    if kill.moment is Moment.STALLED:
        return "stall"
    if kill.moment is Moment.INSIDE:
        return "kill inside a write"
    if kill.moment is Moment.RECOVERING:
        return "kill during recovery"
    call = call_at(course, kill)
    return "kill holding a lock" if call is not None and call.locked else "kill"
