"""Locks that are taken in different orders: what may end in a deadlock, though it never did.

A `Request` is what a thread had when it asked for one lock more. Several requests are a `Cycle` if each asks for what
the next one has: a deadlock, as soon as all of these threads come there at once. Havelund found them in a single run
("Using Runtime Analysis to Guide Model Checking of Java Programs", SPIN 2000); they are joined here as Joshi, Park, Sen
and Naik do ("A Randomized Dynamic Program Analysis Technique for Detecting Real Deadlocks", PLDI 2009):

- by different threads: what one thread does comes one after the other;
- none of which has a lock that another one of them has as well: with such a gate only one of them can be there.

Who gives up - a try without waiting, a limit of time - waits for ever for nobody, so it makes no request; what it got
it has like anybody. A cycle is a possibility: whether its threads ever come there at once only a run can show.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.trace import CallSite

#: Threads of one cycle.
LONGEST = 3
#: Requests that are joined to others until the search is given up.
_JOINED_MOST = 100_000
#: Cycles at the same lines that are kept: by different locks, or of different operations.
ALIKE = 4


@dataclass(frozen=True, slots=True)
class Hold:
    """A lock that a thread has, or asks for: which (`lock`), what a reader would call it, and the line that takes it.

    `shared`: others may have it as well, if they share it too. `holder` is in whose name it is kept, if not the
    thread's: locks of flock(2) belong to an open file, and whoever uses the same one is not kept out.
    """

    lock: str
    name: str
    site: CallSite | None
    shared: bool = False
    holder: str = ""

    def excludes(self, other: Hold) -> bool:
        """Whether another thread has to wait for `other` as long as this is held."""
        if self.lock != other.lock or (self.shared and other.shared):
            return False
        return not self.holder or self.holder != other.holder


@dataclass(frozen=True, slots=True)
class Request:
    """A thread had the locks in `held`, in the order in which it took them, and asked for `wanted`, without a limit.

    `origin` is where that was seen, whatever the caller means by it.
    """

    thread: str
    held: tuple[Hold, ...]
    wanted: Hold
    origin: Any = field(default=None, compare=False)

    def has_what_keeps_out(self, other: Request) -> Hold | None:
        """What this one has that `other` asks for."""
        return next((hold for hold in self.held if hold.excludes(other.wanted)), None)

    def shares_a_gate(self, other: Request) -> bool:
        """Whether not both can have all that they had."""
        return any(mine.excludes(theirs) for mine in self.held for theirs in other.held)


#: Two lines: where a thread took the lock that another one asks for, and where it asks for its own.
Link = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Cycle:
    """Requests of different threads: each asks for what the next one has, and the last for what the first has."""

    requests: tuple[Request, ...]

    @property
    def holds(self) -> tuple[Hold, ...]:
        """For each request, what it has that the one before asks for."""
        before = (self.requests[-1], *self.requests)
        found = (request.has_what_keeps_out(last) for request, last in zip(self.requests, before, strict=False))
        return tuple(hold for hold in found if hold is not None)

    @property
    def links(self) -> tuple[Link, ...]:
        """For each request, two lines as `place` names them."""
        pairs = zip(self.holds, self.requests, strict=True)
        return tuple((place(hold.site), place(request.wanted.site)) for hold, request in pairs)

    def sentence(self) -> str:
        """The orders, and which locks these are: "A then B in line 7 of a.py, B then A in line 9 of a.py (A ...)"."""
        letters = {hold.lock: chr(ord("A") + number) for number, hold in enumerate(self.holds)}
        orders = ", ".join(
            f"{letters[hold.lock]} then {letters[request.wanted.lock]} in {_line(request.wanted.site)}"
            for hold, request in zip(self.holds, self.requests, strict=True)
        )
        names = ", ".join(f"{letters[hold.lock]} is {hold.name}" for hold in self.holds)
        return f"{orders} ({names})"


def cycles(requests: Iterable[Request]) -> list[Cycle]:
    """The cycles of two or three threads among `requests`, at most `ALIKE` with the same lines.

    Each is given once, the earliest of its requests first.
    """
    found: dict[frozenset[Link], list[Cycle]] = {}
    for cycle in _search(list(requests)):
        alike = found.setdefault(frozenset(cycle.links), [])
        if len(alike) < ALIKE:
            alike.append(cycle)
    return [cycle for alike in found.values() for cycle in alike]


def _search(requests: Sequence[Request]) -> Iterator[Cycle]:
    holders: dict[str, list[int]] = {}
    for number, request in enumerate(requests):
        for lock in dict.fromkeys(hold.lock for hold in request.held):
            holders.setdefault(lock, []).append(number)
    chains: list[tuple[int, ...]] = [(number,) for number in reversed(range(len(requests)))]
    joined = itertools.count(1)
    while chains and next(joined) <= _JOINED_MOST:
        chain = chains.pop()
        last = requests[chain[-1]]
        for number in holders.get(last.wanted.lock, ()):
            if number > chain[0] and _continues([requests[place] for place in chain], requests[number]):
                longer = (*chain, number)
                if requests[chain[0]].has_what_keeps_out(requests[number]):
                    yield Cycle(tuple(requests[place] for place in longer))
                elif len(longer) < LONGEST:
                    chains.append(longer)


def _continues(chain: list[Request], request: Request) -> bool:
    """Whether the last of the chain asks for what `request` has, and all of them can be there at once."""
    if not request.has_what_keeps_out(chain[-1]):
        return False
    return all(request.thread != other.thread and not request.shares_a_gate(other) for other in chain)


def place(site: CallSite | None) -> str:
    """A line of source, the same wherever the source lies: "store.py:12"; nothing if it is not known."""
    return "" if site is None else f"{os.path.basename(site.file)}:{site.line}"


def _line(site: CallSite | None) -> str:
    return "a line of nobody's" if site is None else f"line {site.line} of {os.path.basename(site.file)}"
