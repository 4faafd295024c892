"""Histories of any sequential model as a problem for the search: states and operations become small numbers.

The answer of an operation counts where the model gives answers to operations of this type: a type to which it answers
nothing but `None`, both in a replay of the history in the order of invocation and in one of its own examples, may
answer anything. Of the operations of the built-in models, reads are answered, and appends may be.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from typing import Any

from harness.core.errors import UsageError
from harness.core.history import Called, History, Outcome
from harness.core.models import LOG, require_pure, same_json
from harness.core.operations import Append, AppendMany, Read, describe
from harness.history.events import Event, final_event, operations_of
from harness.history.interning import Interned
from harness.history.search import NO, Problem

_EXAMPLES = 100
#: A kind whose answer is not compared.
_ANY = object()


class Modelled:
    """The events of a history, and any model that they can be held against.

    Raises `UsageError` for an operation that the model can't take.
    """

    def __init__(self, history: History, model: Any) -> None:
        self._log = model == LOG
        self._answers = _log_answer if self._log else _own_answers(history, model)
        self._moves = _Moves(model, history.final)
        events = operations_of(history, plain_reads=self._log)
        self.events = (*events, final_event(history)) if history.has_final else tuple(events)

    def problem(self, events: Sequence[Event]) -> Problem:
        """Some of the events as a problem for the search."""
        kinds = [self._kind(event) for event in events]
        pure = (kind for kind in set(kinds) if self._moves.is_final(kind) or (self._log and self._is_read(kind)))
        return Problem(events, kinds, self._moves, frozenset(pure))

    def changed_nothing(self, event: Event) -> bool:
        """Whether, so far as a search has tried, the event never led to another state."""
        return self._moves.changed_nothing(self._kind(event))

    def _kind(self, event: Event) -> int:
        return self._moves.kind(event, self._answers)

    def _is_read(self, kind: int) -> bool:
        return isinstance(self._moves.operation(kind), Read)


def _log_answer(called: Called) -> Any:
    """The position, if the store gave one, or what was read."""
    match called.operation:
        case Append() | AppendMany():
            return called.answer if type(called.answer) is int else _ANY
        case Read():
            return called.answer
    raise UsageError(f"{describe(called.operation)} is no operation of LOG: name the model it is of.")


def _own_answers(history: History, model: Any) -> Callable[[Called], Any]:
    """For a user's model: the answer of an operation if the model answers to operations of its type."""
    operations = [called.operation for called in history.operations if called.outcome is not Outcome.FAIL]
    require_pure(model, operations[:_EXAMPLES])
    answered = _answered_types(model, operations)
    try:
        answered |= _answered_in_examples(model)
    except TypeError:  # a model that can't be hashed is asked again each time
        answered |= _answered_in_examples.__wrapped__(model)

    def answer(called: Called) -> Any:
        return called.answer if type(called.operation) in answered else _ANY

    return answer


@functools.lru_cache(maxsize=16)
def _answered_in_examples(model: Any) -> frozenset[type]:
    """Types of operations that the model answers in its own examples, which are the same whatever the history is."""
    examples = getattr(model, "example_operations", None)
    return frozenset() if examples is None else frozenset(_answered_types(model, examples(random.Random(0), _EXAMPLES)))


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

    _FINAL = (None, "the snapshot")

    def __init__(self, model: Any, final: Any) -> None:
        self._model = model
        self._final = final
        self._states = Interned(strict=True)
        self._states.number(model.initial())
        self._kinds = Interned(strict=True)
        self._known: dict[tuple[int, int], int] = {}
        self._changing: set[int] = set()

    def kind(self, event: Event, answers: Callable[[Called], Any]) -> int:
        if event.called is None:
            return self._kinds.number(self._FINAL)
        return self._kinds.number((event.called.operation, answers(event.called) if event.answered else _ANY))

    def is_final(self, kind: int) -> bool:
        return self._kinds.values[kind] is self._FINAL

    def operation(self, kind: int) -> Any:
        return self._kinds.values[kind][0]

    def changed_nothing(self, kind: int) -> bool:
        return kind not in self._changing

    def __call__(self, state: int, kind: int) -> int:
        found = self._known.get((state, kind))
        if found is None:
            found = self._known[state, kind] = self._move(state, kind)
            if found not in (NO, state):
                self._changing.add(kind)
        return found

    def _move(self, state: int, kind: int) -> int:
        before = self._states.values[state]
        if self.is_final(kind):  # what a snapshot is compared by is the model's own
            return state if self._equal(before) else NO
        operation, given = self._kinds.values[kind]
        after, answer = _step(self._model, before, operation)
        if given is not _ANY and not same_json(given, answer):
            return NO
        return self._states.number(after)

    def _equal(self, state: Any) -> bool:
        try:
            return bool(self._model.equal(self._final, state))
        except Exception as error:
            shown = f"{type(error).__name__}: {error}"
            raise UsageError(f"the model can't compare {describe(self._final)}: {shown}.") from error
