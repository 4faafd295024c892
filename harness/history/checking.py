"""Judging a history: the cheapest decider that can decide each part of it, and the search for the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.history import History
from harness.core.verdict import Verdict
from harness.history.events import FINAL, Event, moments
from harness.history.parts import Part, before, event_of, parts_of
from harness.history.search import Meter, Search
from harness.history.shrinking import Judge, shrink, vanished
from harness.history.telling import Teller, tell
from harness.history.values import LOST_UPDATE, NOT_LINEARIZABLE, Budget, Checked, Contradiction, Placed

_FIRST_ROUND = 2_000
_GROWTH = 4
_SEARCH = "search"
#: A smaller part may take so many times the steps that the whole took.
_PATIENCE = 4
_LEAST_STEPS = 10_000


def check(
    history: History, model: Any, budget: Budget | None = None, *, clock: Callable[[], float] = time.monotonic
) -> Checked:
    """Whether there is one order of the operations of `history`, within the times of their calls and answers, in which
    `model` gives all the answers that were given (linearizability, Herlihy and Wing 1990).

    Raises `UsageError` for an operation that the model does not know.
    """
    return _Check(history, budget or Budget(), clock).run(parts_of(history, model))


class _Check:
    """One check under one budget."""

    def __init__(self, history: History, budget: Budget, clock: Callable[[], float]) -> None:
        self._history = history
        self._budget = budget
        self._clock = clock
        self._began = clock()
        self._meter = Meter(clock, self._began + budget.seconds, budget.steps, budget.entries)
        self._deciders: dict[str, None] = {}

    def run(self, parts: Sequence[Part]) -> Checked:
        orders: list[Sequence[Event]] = []
        open_: list[Part] = []
        for part in parts:
            decided = part.decide()
            if decided.legal is None:
                open_.append(part)
                continue
            self._deciders[part.decider] = None
            if decided.legal is False:
                return self._failed(part, _Wrong(decided.against, decided.words))
            orders.append(decided.order)
        searches = [(part, Search(part.problem())) for part in open_]
        if searches:
            self._deciders[_SEARCH] = None
        for part, search in _in_turns(searches, self._meter):
            return self._failed(part, _Wrong(searched=search))
        if self._meter.spent:
            return self._unknown([part for part, search in searches if search.legal is None])
        orders += [search.order for _, search in searches]
        return self._result(Verdict.PASS, order=_merged(orders))

    def _result(self, verdict: Verdict, **rest: Any) -> Checked:
        return Checked(
            verdict,
            tuple(self._deciders),
            steps=self._meter.steps,
            entries=self._meter.entries,
            seconds=self._clock() - self._began,
            **rest,
        )

    def _failed(self, part: Part, wrong: _Wrong) -> Checked:
        steps = max(_LEAST_STEPS, _PATIENCE * self._meter.steps)
        judge = Judge(self._clock, self._began + self._budget.seconds, steps, self._budget.entries)
        teller = Teller(self._history)
        if wrong.words:
            against, sentence = list(wrong.against), teller.sentence(wrong.words, wrong.against)
        else:
            small = shrink(_these(part, wrong.against) if wrong.against else part, judge)
            against, sentence = list(dict.fromkeys(map(event_of, small.atoms))), tell(small, teller)
        kind = LOST_UPDATE if vanished(part, against, judge) else NOT_LINEARIZABLE
        contradiction = Contradiction(
            tuple(event.called for event in against if event.called is not None),
            any(event.number == FINAL for event in against),
            sentence,
            kind,
        )
        order, stuck = self._reached(part, against, wrong.searched, judge)
        return self._result(
            Verdict.FAIL, order=_merged([order]), stuck=stuck, contradiction=contradiction, part=part.name
        )

    def _reached(
        self, part: Part, against: list[Event], searched: Search | None, judge: Judge
    ) -> tuple[Sequence[Event], tuple[int, ...]]:
        """An order of what came before the contradiction, and what can't be next."""
        if searched is not None:
            return searched.farthest, tuple(event.number for event in searched.stuck)
        last = max(event.completed for event in against if event.answered)
        order = judge.decided(before(part, last)).order
        return order, tuple(event.number for event in against if event.completed == last)

    def _unknown(self, parts: Sequence[Part]) -> Checked:
        spent = {
            "steps": f"{self._budget.steps:,} steps",
            "seconds": f"{self._budget.seconds:g} seconds",
            "entries": f"{self._budget.entries:,} entries of its memory",
        }[self._meter.spent]
        part = max(parts, key=lambda part: len(part.atoms))
        events = list(dict.fromkeys(map(event_of, part.atoms)))
        unanswered = sum(not event.answered for event in events)
        reason = (
            f"the search did not end within {spent}: {part.name + ' has ' if part.name else ''}{len(events):,} "
            f"operations, {unanswered} of them without an answer, up to {_at_once(events)} at once"
        )
        hint = (
            "let fewer clients work at once, leave a key alone after operations that were not answered, and give every "
            "value only once, or a larger budget"
        )
        return self._result(Verdict.UNKNOWN, part=part.name, reason=reason, hint=hint)


@dataclass(frozen=True, slots=True)
class _Wrong:
    """What a decider has against a part, or the search that failed."""

    against: tuple[Event, ...] = ()
    words: str = ""
    searched: Search | None = None


def _these(part: Part, events: Iterable[Event]) -> Part:
    numbers = {event.number for event in events}
    return part.of(atom for atom in part.atoms if event_of(atom).number in numbers)


def _in_turns(searches: Sequence[tuple[Part, Search]], meter: Meter) -> Iterable[tuple[Part, Search]]:
    """Run all searches, a few steps each, then more; yields the first that fails, if one does."""
    steps = _FIRST_ROUND
    waiting = list(searches)
    while waiting and not meter.spent:
        for part, search in waiting:
            search.run(meter, steps)
            if search.legal is False:
                yield part, search
                return
        waiting = [(part, search) for part, search in waiting if search.legal is None]
        steps *= _GROWTH


def _merged(orders: Iterable[Sequence[Event]]) -> tuple[Placed, ...]:
    """The orders of independent parts as one: by a moment at which each operation may have taken effect."""
    placed = [moment for order in orders for moment in moments(order)]
    placed.sort(key=lambda moment: moment[1])
    return tuple(Placed(event.number, at_ns) for event, at_ns in placed if event.number != FINAL)


def _at_once(events: Iterable[Event]) -> int:
    """How many operations there were at once, at most; an unanswered one never ends."""
    edges = sorted(edge for event in events for edge in ((event.invoked, 0), (event.completed, 1)))
    now = most = 0
    for _, ends in edges:
        now += -1 if ends else 1
        most = max(most, now)
    return most
