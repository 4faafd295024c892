"""The search for an order: Wing and Gong (1993) with the memory of Lowe (2017), and less to try.

Operations are placed one after another; next may be what was called before the first of the unplaced ones was
answered. A configuration - what is placed, and the state - is never entered twice. Less to try, without losing
an order:

- A read that fits is placed at once: it changes nothing, and what follows does not need it later.
- Equal operations that were not answered are interchangeable: the oldest goes first.
- Such an operation is not placed where it changes nothing, and the search ends when all answered ones are placed.

What is placed is the first answered operation that is not, a mask of those behind it, and for each group of equal
unanswered operations how many were used: a key of constant size.

Sources: Wing and Gong, "Testing and verifying concurrent objects" (1993); Lowe, "Testing for linearizability" (2017);
Horn and Kroening, "Faster linearizability checking via P-compositionality" (2015), and Porcupine, which
partitions by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.history.events import NEVER, Event, by_invocation

#: From state and kind of operation to the next state; `NO` where the answer does not fit.
Moves = Callable[[int, int], int]
NO = -1


@dataclass(frozen=True, slots=True)
class Problem:
    """Events with a kind each; equal kinds are equal operations with equal answers.

    `pure` has the kinds that never change a state. States and kinds are small numbers.
    """

    events: Sequence[Event]
    kinds: Sequence[int]
    moves: Moves
    pure: frozenset[int]
    initial: int = 0


@dataclass(slots=True)
class Meter:
    """What is left to all searches of a check together, and what they took."""

    clock: Callable[[], float]
    deadline: float
    steps_left: int
    entries_left: int
    steps: int = 0
    entries: int = 0
    spent: str = ""

    #: The clock is looked at once in so many steps.
    EVERY = 64

    def take(self) -> bool:
        """Take one step; false where there is none left."""
        self.steps += 1
        if self.steps > self.steps_left:
            self.spent = "steps"
        elif self.entries > self.entries_left:
            self.spent = "entries"
        elif self.steps % self.EVERY == 0 and self.clock() > self.deadline:
            self.spent = "seconds"
        return not self.spent


class _Frame(NamedTuple):
    """A configuration that is being tried: what may come next, and the length of the order up to here."""

    base: int
    mask: int
    state: int
    used: int
    choices: list[int]
    length: int


@dataclass(slots=True)
class _Group:
    """Equal operations without an answer, the oldest first; `shift` is where the number of used ones is kept."""

    kind: int
    events: list[Event]
    shift: int
    mask: int


@dataclass(slots=True)
class Search:
    """A search that can be interrupted and gone on with. `legal` is `None` until it has ended."""

    problem: Problem
    legal: bool | None = None
    #: While it runs and after success, the order; after a failure see `farthest`.
    order: list[Event] = field(default_factory=list)
    farthest: list[Event] = field(default_factory=list)
    stuck: list[Event] = field(default_factory=list)

    _answered: list[Event] = field(default_factory=list)
    _kinds: list[int] = field(default_factory=list)
    _groups: list[_Group] = field(default_factory=list)
    _seen: set[tuple[int, int, int, int]] = field(default_factory=set)
    _stack: list[_Frame] = field(default_factory=list)
    _best: int = -1

    def __post_init__(self) -> None:
        kinds = dict(zip(map(id, self.problem.events), self.problem.kinds, strict=True))
        self._answered = by_invocation(event for event in self.problem.events if event.answered)
        self._kinds = [kinds[id(event)] for event in self._answered]
        waiting: dict[int, list[Event]] = {}
        for event in by_invocation(event for event in self.problem.events if not event.answered):
            waiting.setdefault(kinds[id(event)], []).append(event)
        shift = 0
        for kind, events in waiting.items():
            width = len(events).bit_length()
            self._groups.append(_Group(kind, events, shift, (1 << width) - 1))
            shift += width

    def run(self, meter: Meter, steps: int) -> None:
        """Go on for about `steps` steps."""
        until = meter.steps + steps
        if not self._stack and self.legal is None:
            self._enter(0, 0, self.problem.initial, 0, meter)
        while self.legal is None and meter.steps < until and not meter.spent:
            if not self._stack:
                self.legal = False
                self._seen.clear()
                return
            frame = self._stack[-1]
            del self.order[frame.length :]
            if frame.choices:
                self._take(frame, frame.choices.pop(), meter)
            else:
                self._note_farthest(self._stack.pop())

    def _take(self, frame: _Frame, choice: int, meter: Meter) -> None:
        """Place one more operation, and enter the configuration behind it."""
        meter.take()
        moves = self.problem.moves
        if choice >= 0:
            state = moves(frame.state, self._kinds[choice])
            if state != NO:
                self.order.append(self._answered[choice])
                self._enter(*_placed(frame.base, frame.mask, choice), state, frame.used, meter)
            return
        group = self._groups[-1 - choice]
        state = moves(frame.state, group.kind)
        if state not in (NO, frame.state):
            self.order.append(group.events[(frame.used >> group.shift) & group.mask])
            self._enter(frame.base, frame.mask, state, frame.used + (1 << group.shift), meter)

    def _enter(self, base: int, mask: int, state: int, used: int, meter: Meter) -> None:
        """Place the reads that fit; if the configuration is new, note what may come next."""
        kinds, pure, moves = self._kinds, self.problem.pure, self.problem.moves
        while True:
            next_ones, limit = self._candidates(base, mask)
            fitting = [choice for choice in next_ones if kinds[choice] in pure and moves(state, kinds[choice]) != NO]
            if not fitting:
                break
            for choice in fitting:
                self.order.append(self._answered[choice])
                mask |= 1 << (choice - base)
            base, mask = _shifted(base, mask)
        if base == len(self._answered):
            self.legal = True
            self._stack.clear()
            return
        configuration = (base, mask, state, used)
        if configuration in self._seen:
            return
        self._seen.add(configuration)
        meter.entries += 1
        choices = [-1 - number for number in range(len(self._groups)) if self._may_come(number, used, limit)]
        changing = [choice for choice in next_ones if kinds[choice] not in pure]
        changing.sort(key=lambda choice: self._answered[choice].completed, reverse=True)
        self._stack.append(_Frame(base, mask, state, used, choices + changing, len(self.order)))

    def _candidates(self, base: int, mask: int) -> tuple[list[int], float]:
        """The answered operations that may be next, and the moment before which what is next must have been called."""
        found: list[int] = []
        limit = NEVER
        answered = self._answered
        index = base
        while index < len(answered) and answered[index].invoked <= limit:
            if not mask >> (index - base) & 1:
                limit = min(limit, answered[index].completed)
                found.append(index)
            index += 1
        return found, limit

    def _may_come(self, number: int, used: int, limit: float) -> bool:
        group = self._groups[number]
        count = (used >> group.shift) & group.mask
        return count < len(group.events) and group.events[count].invoked <= limit

    def _note_farthest(self, frame: _Frame) -> None:
        """Behind a dead end: keep the longest order, and what could not be placed after it."""
        placed = frame.base + frame.mask.bit_count()
        if placed > self._best:
            self._best = placed
            self.farthest = list(self.order)
            self.stuck = [self._answered[choice] for choice in self._candidates(frame.base, frame.mask)[0]]


def _placed(base: int, mask: int, choice: int) -> tuple[int, int]:
    return _shifted(base, mask | 1 << (choice - base))


def _shifted(base: int, mask: int) -> tuple[int, int]:
    """The first operation that is not placed, and the mask from there on."""
    placed = (~mask & (mask + 1)).bit_length() - 1
    return base + placed, mask >> placed
