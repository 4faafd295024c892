"""From a part that is wrong to a few operations that contradict each other.

After Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002): leave out half, a quarter, ...,
one. Only what a sound part could miss is left out, so what remains is a contradiction within the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.history.decided import Decided
from harness.history.events import Event
from harness.history.parts import Part, before, event_of
from harness.history.search import Meter, Search

#: Of operations that are not known to be superfluous together, so many are tried one by one.
_MOST_TESTS = 2_000


@dataclass(slots=True)
class Judge:
    """Decides smaller parts, each with a budget of its own, until time is over."""

    clock: Callable[[], float]
    deadline: float
    steps: int
    entries: int
    tests: int = 0

    def decided(self, part: Part) -> Decided:
        """What is found about `part`; open where the budget ends."""
        if self.over:
            return Decided(None)
        self.tests += 1
        found = part.decide()
        if found.legal is not None:
            return found
        search = Search(part.problem())
        search.run(Meter(self.clock, self.deadline, self.steps, self.entries), self.steps + 1)
        return Decided(search.legal, tuple(search.order) if search.legal else ())

    @property
    def over(self) -> bool:
        return self.tests >= _MOST_TESTS or self.clock() > self.deadline

    def wrong(self, part: Part) -> bool:
        return self.decided(part).legal is False


def shrink(part: Part, judge: Judge) -> Part:
    """A part of `part` that is wrong too, and where nothing more can be left out as far as the judge came."""
    part = _cut(part, judge)
    while not judge.over:
        smaller = _without_units(part, judge)
        if len(smaller.atoms) == len(part.atoms):
            break
        part = smaller
    return part


def _cut(part: Part, judge: Judge) -> Part:
    """The shortest beginning that is wrong: whatever follows makes it no better."""
    times = sorted({event.completed for event in map(event_of, part.atoms) if event.answered})
    low, high = 0, len(times) - 1  # the end is wrong
    while low < high:
        middle = (low + high) // 2
        if judge.wrong(_until(part, times[middle])):
            high = middle
        else:
            low = middle + 1
    return _until(part, times[high]) if high >= 0 and high < len(times) - 1 else part


def _until(part: Part, time: float) -> Part:
    return before(part, time + 0.5)  # times are whole numbers


def _without_units(part: Part, judge: Judge) -> Part:
    units = list(part.units())
    size = max(1, len(units) // 2)
    while units:
        place = 0
        while place < len(units) and not judge.over:
            smaller = _without(part, units[place : place + size])
            if len(smaller.atoms) < len(part.atoms) and judge.wrong(smaller):
                part = smaller
                del units[place : place + size]
            else:
                place += size
        if size == 1:
            break
        size = max(1, size // 2)
    return part


def _without(part: Part, units: Sequence[Sequence[Any]]) -> Part:
    gone = {id(atom) for unit in units for atom in unit}
    return part.of(atom for atom in part.atoms if id(atom) not in gone)


# --- what has vanished ----------------------------------------------------------------------------

_ROUNDS = 8
_CANDIDATES = 12


def vanished(whole: Part, events: Sequence[Event], judge: Judge) -> bool:
    """Whether there is an acknowledged one of `events` that nobody ever saw: without it `whole` is sound, but for
    contradictions that have nothing to do with it."""
    numbers = {event.number for event in events if event.called is not None and event.answered}
    changing: dict[int, list[Any]] = {}
    for atom in whole.atoms:
        number = event_of(atom).number
        if number in numbers and not whole.is_read(atom):
            changing.setdefault(number, []).append(atom)
    return any(_is_gone(whole, own, judge) for own in list(changing.values())[:_CANDIDATES])


def _is_gone(whole: Part, own: list[Any], judge: Judge) -> bool:
    rest = _without(whole, [own])
    for _ in range(_ROUNDS):
        found = judge.decided(rest)
        if found.legal is not False:
            return found.legal is True
        if found.against:
            numbers = {one.number for one in found.against}
            small = rest.of(atom for atom in rest.atoms if event_of(atom).number in numbers)
        else:
            small = shrink(rest, judge)
        if not judge.wrong(whole.of([*own, *small.atoms])):
            return False  # without it something is wrong that was right with it
        numbers = {event_of(atom).number for atom in small.atoms if whole.is_read(atom)}
        if not numbers:
            return False
        rest = rest.of(atom for atom in rest.atoms if event_of(atom).number not in numbers)
    return False
