"""Judging a history: the cheapest decider that can decide each part of it, and the search for the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from harness.core.history import History
from harness.core.models import DOCUMENT, KEY_VALUE
from harness.core.verdict import Verdict
from harness.history.events import FINAL, Event, moments
from harness.history.modelled import model_problem
from harness.history.registers import document_registers, joint_problem, key_value_registers, register_problem
from harness.history.search import Meter, Problem, Search
from harness.history.values import Budget, Checked, Placed

_FIRST_ROUND = 2_000
_GROWTH = 4


def check(
    history: History, model: Any, budget: Budget | None = None, *, clock: Callable[[], float] = time.monotonic
) -> Checked:
    """Whether there is one order of the operations of `history`, within the times of their calls and answers, in which
    `model` gives all the answers that were given (linearizability, Herlihy and Wing 1990).

    Raises `UsageError` for an operation that the model does not know.
    """
    allowed = budget or Budget()
    began = clock()
    meter = Meter(clock, began + allowed.seconds, allowed.steps, allowed.entries)
    searches = [(name, Search(problem)) for name, problem in _problems(history, model)]
    failed = _in_turns([search for _, search in searches], meter)
    facts: dict[str, Any] = {"steps": meter.steps, "seconds": clock() - began, "entries": meter.entries}
    if failed is not None:
        stuck = tuple(event.number for event in failed.stuck)
        return Checked(Verdict.FAIL, ("search",), _order([failed.farthest]), stuck, **facts)
    if meter.spent:
        return Checked(Verdict.UNKNOWN, ("search",), reason=meter.spent, **facts)
    return Checked(Verdict.PASS, ("search",), _order(search.order for _, search in searches), **facts)


def _problems(history: History, model: Any) -> Iterable[tuple[str, Problem]]:
    if model in (KEY_VALUE, DOCUMENT):
        registers = key_value_registers(history) if model == KEY_VALUE else document_registers(history)
        for part in registers:
            yield ", ".join(part.keys), register_problem(part) if len(part.keys) == 1 else joint_problem(part)
    else:
        yield "", model_problem(history, model)


def _in_turns(searches: Sequence[Search], meter: Meter) -> Search | None:
    """Run all searches, a few steps each, then more; the first that fails, if one does."""
    steps = _FIRST_ROUND
    waiting = list(searches)
    while waiting and not meter.spent:
        for search in waiting:
            search.run(meter, steps)
            if search.legal is False:
                return search
        waiting = [search for search in waiting if search.legal is None]
        steps *= _GROWTH
    return None


def _order(orders: Iterable[Sequence[Event]]) -> tuple[Placed, ...]:
    """The orders of independent parts as one: by a moment at which each operation may have taken effect."""
    placed = [moment for order in orders for moment in moments(order)]
    placed.sort(key=lambda moment: moment[1])
    return tuple(Placed(event.number, at_ns) for event, at_ns in placed if event.number != FINAL)
