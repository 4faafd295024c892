"""Histories of any sequential model as a problem for the search: states and operations become small numbers.

The answer of an operation counts where the model gives answers to operations of this type: a type to which it answers
nothing but `None`, both in a replay of the history in the order of invocation and in one of its own examples, may
answer anything. Of the operations of the built-in models, reads are answered, and appends may be.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from harness.core.errors import UsageError
from harness.core.history import Called, History, Outcome
from harness.core.models import LOG, same_json
from harness.core.operations import Append, AppendMany, Read, describe
from harness.history.events import Event, final_event, operations_of
from harness.history.interning import Interned
from harness.history.search import NO, Problem

_EXAMPLES = 100
#: A kind whose answer is not compared.
_ANY = object()


def model_problem(history: History, model: Any) -> Problem:
    """All of a history at once, for any model.

    Raises `UsageError` for an operation that the model can't take.
    """
    log = model == LOG
    events = operations_of(history, plain_reads=log)
    answers = _log_answer if log else _own_answers(history, model)
    moves = _Moves(model)
    kinds = [moves.kind(event, answers) for event in events]
    if history.has_final:
        events.append(final_event(history))
        kinds.append(moves.final(history.final))
    pure = {kind for kind in set(kinds) if moves.is_final(kind) or (log and isinstance(moves.operation(kind), Read))}
    return Problem(events, kinds, moves, frozenset(pure))


def _log_answer(called: Called) -> Any:
    """The position, if the store gave one, or what was read."""
    match called.operation:
        case Append() | AppendMany():
            return called.answer if type(called.answer) is int else _ANY
        case Read():
            return called.answer
    raise UsageError(f"{type(called.operation).__name__} is no operation of LOG: name the model it is of.")


def _own_answers(history: History, model: Any) -> Callable[[Called], Any]:
    """For a user's model: the answer of an operation if the model answers to operations of its type."""
    operations = [called.operation for called in history.operations if called.outcome is not Outcome.FAIL]
    answered = _answered_types(model, operations)
    examples = getattr(model, "example_operations", None)
    if examples is not None:
        answered |= _answered_types(model, examples(random.Random(0), _EXAMPLES))

    def answer(called: Called) -> Any:
        return called.answer if type(called.operation) in answered else _ANY

    return answer


def _answered_types(model: Any, operations: list[Any]) -> set[type]:
    found: set[type] = set()
    state = model.initial()
    for operation in operations:
        state, answer = _step(model, state, operation)
        if answer is not None:
            found.add(type(operation))
    return found


def _step(model: Any, state: Any, operation: Any) -> tuple[Any, Any]:
    try:
        state, answer = model.step(state, operation)
    except Exception as error:
        raise UsageError(f"the model can't take {describe(operation)}: {type(error).__name__}: {error}.") from error
    return state, answer


class _Moves:
    """The model, asked once for each pair of a state and a kind of operation."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._states = Interned(strict=True)
        self._states.number(model.initial())
        self._kinds: list[tuple[Any, Any]] = []
        self._numbers = Interned(strict=True)
        self._finals: dict[int, Any] = {}
        self._known: dict[tuple[int, int], int] = {}

    def kind(self, event: Event, answers: Callable[[Called], Any]) -> int:
        assert event.called is not None
        operation, answer = event.called.operation, answers(event.called) if event.answered else _ANY
        number = self._numbers.number((operation, answer))
        if number == len(self._kinds):
            self._kinds.append((operation, answer))
        return number

    def final(self, snapshot: Any) -> int:
        """The kind of the snapshot, which is compared by `model.equal`."""
        number = len(self._kinds)
        self._kinds.append((None, _ANY))
        self._finals[number] = snapshot
        return number

    def is_final(self, kind: int) -> bool:
        return kind in self._finals

    def operation(self, kind: int) -> Any:
        return self._kinds[kind][0]

    def __call__(self, state: int, kind: int) -> int:
        found = self._known.get((state, kind))
        if found is None:
            found = self._known[state, kind] = self._move(state, kind)
        return found

    def _move(self, state: int, kind: int) -> int:
        before = self._states.values[state]
        if kind in self._finals:
            return state if self._model.equal(self._finals[kind], before) else NO
        operation, given = self._kinds[kind]
        after, answer = _step(self._model, before, operation)
        if given is not _ANY and not same_json(given, answer):
            return NO
        return self._states.number(after)
