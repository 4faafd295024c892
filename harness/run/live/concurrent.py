"""What is wrong with the history of several clients: the kinds of the certificate, the first that applies."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.core.errors import UsageError
from harness.core.history import Called, History, Outcome
from harness.core.models import DOCUMENT, KEY_VALUE, equals
from harness.core.operations import Append, AppendMany, Get, Load, Put, PutMany, Read, Save, describe
from harness.core.verdict import Verdict
from harness.history.checking import check
from harness.history.values import LOST_UPDATE, NOT_LINEARIZABLE, Budget
from harness.judge.classify import Violation, foreign_document, foreign_pair, foreign_record, told_of
from harness.run.recovering import TolerantModel, is_built_in

#: A trial has a few dozen operations at most: far more than any of them needed.
BUDGET = Budget(steps=200_000, seconds=5.0, entries=100_000)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The broken promise, if one is, with the number of the operation that is to blame where that is known; `unknown`
    says why nothing can be said."""

    violation: Violation | None = None
    blamed: int | None = None
    unknown: str = ""


def judged(history: History, model: Any) -> Judgement:
    """Judge the history of one trial by its answers and the snapshot at its end."""
    model = model if is_built_in(model) else TolerantModel(model)
    foreign = next((found for found in _foreign(history, model) if found is not None), None)
    if foreign is not None:
        return Judgement(foreign)
    try:
        checked = check(history, model, BUDGET)
    except UsageError as error:  # a model of the user's own can't take what was done in another order
        return Judgement(unknown=str(error))
    if checked.verdict is Verdict.PASS:
        return Judgement()
    if checked.verdict is Verdict.UNKNOWN:
        return Judgement(unknown=f"the history of {len(history)} operations is too hard to judge: {checked.reason}")
    contradiction = checked.contradiction
    return _broken(history, model, "" if contradiction is None else contradiction.sentence)


def _broken(history: History, model: Any, contradiction: str) -> Judgement:
    """What is wrong with a history that no order explains."""
    if torn := _torn_batch(history, model):
        return Judgement(Violation("torn_operation", f"part of {describe(torn.operation)} is seen"), torn.number)
    lost = _lost(history, model)
    gone = "every other answer says that it never happened"
    if not lost and history.has_final:
        lost, gone = _lost(_without_reads(history), model), "it is gone"
    shown = f"; reading gives {describe(history.final, limit=120)} at last" if history.has_final else ""
    if lost:
        names = " and ".join(f"{describe(called.operation)} of client {called.client}" for called in lost)
        sentence = f"{names} was acknowledged, and {gone}{shown}"
        return Judgement(Violation(LOST_UPDATE, sentence, tuple(called.number for called in lost)), lost[0].number)
    sentence = contradiction or f"no order of the {len(history)} operations explains every answer{shown}"
    return Judgement(Violation(NOT_LINEARIZABLE, sentence))


# --- what nobody wrote --------------------------------------------------------------------------


def _foreign(history: History, model: Any) -> Iterator[Violation | None]:
    """Of all that was read, what nobody wrote, or not like this. What a model of the user's own reads is not known."""
    operations = tuple(called.operation for called in history)
    for value in _read(history, model):
        if model is DOCUMENT:
            yield told_of(value, partial(_foreign_document, operations, value))
        elif model is KEY_VALUE and isinstance(value, dict):
            yield told_of(value, partial(foreign_pair, operations, value))
        elif model is not KEY_VALUE and isinstance(value, list | tuple):
            yield told_of(value, partial(foreign_record, operations, value))
        else:
            yield Violation("torn_operation", f"reading gives a {type(value).__name__}")


def _read(history: History, model: Any) -> Iterator[Any]:
    if not is_built_in(model):
        return
    for called in history:
        if called.outcome is Outcome.OK:
            match called.operation:
                case Get(key) if called.answer is not None:
                    yield {key: called.answer}
                case Load() | Read():
                    yield called.answer
    if history.has_final:
        yield history.final


def _foreign_document(operations: tuple[Any, ...], value: Any) -> Violation | None:
    states: list[Any] = [None, *(operation.document for operation in operations if isinstance(operation, Save))]
    return None if any(equals(DOCUMENT, value, state) for state in states) else foreign_document(states, value)


# --- with other operations it would be right ----------------------------------------------------


def _torn_batch(history: History, model: Any) -> Called | None:
    """A batch such that the history is right if only its parts are atomic."""
    for called in history:
        parts = list(_parts(called, len(history)))
        if len(parts) > 1 and _is_right(_instead(history, called, parts), model):
            return called
    return None


def _parts(called: Called, start: int) -> Iterator[Called]:
    operations: Iterable[Any] = ()
    match called.operation:
        case PutMany(items) if called.outcome is not Outcome.FAIL:
            operations = (Put(key, value) for key, value in items)
        case AppendMany(records) if called.outcome is not Outcome.FAIL:
            operations = (Append(record) for record in records)
    for place, operation in enumerate(operations):
        number = 1000 * start + 100 * called.number + place
        yield dataclasses.replace(called, number=number, operation=operation, answer=None)


def _lost(history: History, model: Any) -> tuple[Called, ...]:
    """One or two acknowledged changes without which the history is right, the last first: an earlier one is often
    only hidden by it."""
    changes = [called for called in reversed(history.operations) if _is_owed(called)]
    for count in (1, 2):
        for lost in itertools.combinations(changes, count):
            if _is_right(_without(history, lost), model):
                return lost
    return ()


def _is_owed(called: Called) -> bool:
    return called.outcome is Outcome.OK and not isinstance(called.operation, Get | Load | Read)


def _without(history: History, left_out: tuple[Called, ...]) -> History:
    return dataclasses.replace(history, operations=tuple(called for called in history if called not in left_out))


def _without_reads(history: History) -> History:
    """What was seen at last, but not on the way: a change may be seen, and be overwritten by who never saw it."""
    changes = (called for called in history if not isinstance(called.operation, Get | Load | Read))
    return dataclasses.replace(history, operations=tuple(changes))


def _instead(history: History, called: Called, others: Iterable[Called]) -> History:
    rest = (other for other in history if other is not called)
    operations = sorted((*rest, *others), key=lambda other: (other.invoked_ns, other.number))
    return dataclasses.replace(history, operations=tuple(operations))


def _is_right(history: History, model: Any) -> bool:
    return check(history, model, BUDGET).verdict is Verdict.PASS
