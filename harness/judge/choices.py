"""Does some choice of what became of the failed operations explain a state?

An operation that raised may have happened or not, each for itself; the rest must still fit. Where many operations fail
the possible states double with each of them, so they are not listed: for the built-in models the question is decided
by dynamic programming over what is known of the recovered state.

Where a contract promises less than every acknowledged operation, an error that surfaced may also have cost the last
ones before it: a `Relapse`. So what happened is all operations, less any of the failed ones, less for each relapse
a run of operations that ends there.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from harness.core.models import DOCUMENT, KEY_VALUE, LOG, SequentialModel, alike, equals, same_json
from harness.core.operations import Delete, Put, PutMany, Save
from harness.judge.oracle import Oracle, distinct, records_of

#: Possible states of a model of the user's own, and sets of keys, that are kept at each step.
STATES_LIMIT = 128


class Answer(Enum):
    """Whether a state can be explained. UNKNOWN: the search was cut before it found an explanation."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Relapse:
    """After the first `at` operations a run of the last of them may have been lost, but none of the first `floor`."""

    at: int
    floor: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """What a client knows: its operations in order, and where some may have been lost.

    `failed` are those that may have happened or not, `never` those that did not.
    """

    operations: tuple[Any, ...]
    failed: frozenset[int] = frozenset()
    relapses: tuple[Relapse, ...] = ()
    never: frozenset[int] = frozenset()

    def forgiving(self, more: Iterable[int]) -> Account:
        """The same if `more` operations had raised too."""
        return dataclasses.replace(self, failed=self.failed | frozenset(more))

    def settling(self, index: int, *, happened: bool) -> Account:
        """The same if it were known what became of that operation."""
        never = self.never if happened else self.never | {index}
        return dataclasses.replace(self, failed=self.failed - {index}, never=never)

    def floor_at(self, count: int) -> int:
        """From which of the first `count` operations on all may be lost at that moment; `count` if none may."""
        return min((relapse.floor for relapse in self.relapses if relapse.at == count), default=count)


def explain(model: SequentialModel, account: Account, recovered: Any) -> Answer:
    """Whether `recovered` is a state that a correct store could show after what `account` tells."""
    if model is LOG:
        return _log(account, recovered)
    if model is DOCUMENT:
        return _document(account, recovered)
    if model is KEY_VALUE:
        return _key_value(account, recovered)
    states, cut = possible_states(model, account)
    if any(equals(model, recovered, state) for state in states):
        return Answer.YES
    return Answer.UNKNOWN if cut else Answer.NO


def outcomes(model: SequentialModel, account: Account, shown: Any) -> dict[int, bool]:
    """Of the failed operations those of which the state `shown` tells what became of them: whether they happened."""
    if not account.failed or explain(model, account, shown) is not Answer.YES:
        return {}
    found = {}
    for index in sorted(account.failed):
        with_it, without = (
            explain(model, account.settling(index, happened=happened), shown) for happened in (True, False)
        )
        if {with_it, without} == {Answer.YES, Answer.NO}:
            found[index] = with_it is Answer.YES
    return found


def of_key(account: Account, key: str) -> Account:
    """What `account` says about one key."""
    return dataclasses.replace(account, operations=tuple(_on_key(item, key) for item in account.operations))


def _on_key(operation: Any, key: str) -> Any:
    changes = _changes(operation)
    if key not in changes:
        return None
    return Delete(key) if changes[key] is None else Put(key, changes[key])


# --- forwards: what has been matched so far --------------------------------------------------------

_Progress = TypeVar("_Progress", bound=Hashable)


def _forwards(
    account: Account, start: _Progress, step: Callable[[_Progress, int], _Progress | None]
) -> set[_Progress]:
    """All ends that a walk over the operations can reach; a step to `None` is one that can't have happened."""
    reached: list[set[_Progress]] = [{start}]
    for index in range(len(account.operations)):
        before = reached[-1]
        happened = {stepped for progress in before if (stepped := step(progress, index)) is not None}
        after = set(before) if index in account.never else happened
        if index in account.failed:
            after |= before
        for earlier in reached[account.floor_at(index + 1) : index + 1]:
            after |= earlier
        reached.append(after)
    return reached[-1]


def _log(account: Account, recovered: Any) -> Answer:
    """Progress is the number of recovered records that are accounted for."""
    if not isinstance(recovered, list | tuple):
        return Answer.NO
    records = list(recovered)

    def step(done: int, index: int) -> int | None:
        added = list(records_of(account.operations[index]))
        return done + len(added) if alike(records[done : done + len(added)], added) else None

    return _answer(len(records) in _forwards(account, 0, step))


def _document(account: Account, recovered: Any) -> Answer:
    """Progress is the number of the last save that happened; -1 for none."""

    def step(last: int, index: int) -> int:
        return index if isinstance(account.operations[index], Save) else last

    ends = _forwards(account, -1, step)
    documents = (None if last < 0 else account.operations[last].document for last in ends)
    return _answer(any(same_json(recovered, document) for document in documents))


def _answer(yes: bool) -> Answer:
    return Answer.YES if yes else Answer.NO


# --- backwards: which keys have got their value ----------------------------------------------------


def _key_value(account: Account, recovered: Any) -> Answer:
    """Seen from the end, an operation fits if the keys that no later one has set have its values.

    What fits may be taken to have happened, because that leaves fewer keys for the earlier ones to explain.
    """
    if not isinstance(recovered, dict):
        return Answer.NO
    ends: list[list[frozenset[str]]] = [[] for _ in range(len(account.operations) + 1)]
    ends[-1] = [frozenset()]
    cut = False
    for count in range(len(account.operations), 0, -1):
        settled, too_many = _largest(ends[count])
        cut = cut or too_many
        for earlier in range(account.floor_at(count), count):
            ends[earlier].extend(settled)
        changes = _changes(account.operations[count - 1])
        failed = count - 1 in account.failed
        never = count - 1 in account.never
        ends[count - 1].extend(settled if never else _before(settled, changes, recovered, failed=failed))
    if any(recovered.keys() <= settled for settled in ends[0]):
        return Answer.YES
    return Answer.UNKNOWN if cut else Answer.NO


def _before(
    ends: list[frozenset[str]], changes: dict[str, Any], recovered: dict[str, Any], *, failed: bool
) -> Iterator[frozenset[str]]:
    for settled in ends:
        if all(key in settled or alike(recovered.get(key), value) for key, value in changes.items()):
            yield settled.union(changes)
        elif failed:
            yield settled


def _changes(operation: Any) -> dict[str, Any]:
    """Key -> value, `None` where the operation removes it."""
    match operation:
        case Put(key, value):
            return {key: value}
        case Delete(key):
            return {key: None}
        case PutMany(items):
            return dict(items)
    return {}


def _largest(ends: list[frozenset[str]]) -> tuple[list[frozenset[str]], bool]:
    """Those that no other contains, and whether some had to be left out."""
    kept: list[frozenset[str]] = []
    for settled in sorted(set(ends), key=lambda keys: (-len(keys), sorted(keys))):
        if not any(settled <= other for other in kept):
            kept.append(settled)
    return kept[:STATES_LIMIT], len(kept) > STATES_LIMIT


# --- models of the user's own ----------------------------------------------------------------------


def possible_states(model: SequentialModel, account: Account) -> tuple[list[Any], bool]:
    """The states that a correct store could have, and whether there may be more of them.

    States in which the failed operations did not happen come first, and last those in which they all did.
    """
    reached: list[list[Any]] = [[model.initial()]]
    cut = False
    for index, operation in enumerate(account.operations):
        before = reached[-1]
        after = before if index in account.never else list(_stepped(model, before, operation))
        if index in account.failed:
            after = [*before, *after]
        for earlier in reached[account.floor_at(index + 1) : index + 1]:
            after = [*after, *earlier]
        after = distinct(model, after)
        cut = cut or not after  # the model can't follow what was acknowledged
        cut = cut or len(after) > STATES_LIMIT
        half = STATES_LIMIT // 2
        reached.append(after if len(after) <= STATES_LIMIT else [*after[:half], *after[-half:]])
    return reached[-1], cut


def _stepped(model: SequentialModel, states: list[Any], operation: Any) -> Iterator[Any]:
    """The states after `operation`. Where its model refuses it, it can't have happened."""
    for state in states:
        with contextlib.suppress(Exception):
            yield model.step(state, operation)[0]


class Settled(Oracle):
    """An oracle that takes the first state it is shown, if that can be explained, for the truth from then on.

    What a failed operation left is settled by the first opening without fault: once it is gone, it stays gone.
    `answer` says whether that first state could be explained.
    """

    def __init__(self, model: SequentialModel, account: Account) -> None:
        super().__init__(model, ())
        self.account = account
        self.answer: Answer | None = None
        self.truth: list[Any] = []

    def matches(self, recovered: Any) -> tuple[int, ...]:
        if self.answer is None:
            self.answer = explain(self.model, self.account, recovered)
            if self.answer is Answer.YES:
                self.truth = self._explaining(recovered)
        return (0,) if any(equals(self.model, recovered, state) for state in self.truth) else ()

    def following(self, count: int, operations: Iterable[Any]) -> list[Any]:
        states = self.truth
        for operation in operations:
            states = [self.model.step(state, operation)[0] for state in states]
        return states

    def _explaining(self, recovered: Any) -> list[Any]:
        """The states of the model that `recovered` shows."""
        if self.model is LOG:
            return [tuple(recovered)]
        if self.model is DOCUMENT or self.model is KEY_VALUE:
            return [recovered]
        states, _ = possible_states(self.model, self.account)
        return [state for state in states if equals(self.model, recovered, state)]
