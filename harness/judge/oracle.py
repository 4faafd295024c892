"""Which recovered states are admissible.

Let `a` operations be acknowledged before the crash point and `b >= a` begun. Admissible are the
states after exactly `k` operations, with `a <= k <= b` where the contract says "acknowledged",
`s <= k <= b` where it says "synced" (`s`: before the last completed sync), and `0 <= k <= b`
where it says "prefix". An operation that raised may have happened or not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.core.models import DOCUMENT, KEY_VALUE, LOG, SequentialModel, alike, equals, same_json
from harness.core.operations import Append, AppendMany
from harness.core.plain import plain_bytes

#: Possible states kept after each operation, when operations that raised make them branch.
BRANCH_LIMIT = 64
#: Answers remembered for models that can only be asked state by state.
REMEMBERED_ANSWERS = 256


@dataclass(frozen=True, slots=True)
class Window:
    """The admissible numbers of operations, both ends included."""

    lowest: int
    highest: int


def window(promise: str, *, acknowledged: int, begun: int, synced: int) -> Window:
    """What `promise` admits at a crash point."""
    if promise == "acknowledged":
        return Window(acknowledged, begun)
    return Window({"synced": synced, "prefix": 0}[promise], begun)


class Oracle:
    """The possible states of a correct store after each operation of a workload."""

    def __init__(
        self,
        model: SequentialModel,
        operations: tuple[Any, ...],
        failed: Iterable[int] = (),
        *,
        start: Any = None,
        starts: Iterable[Any] = (),
    ) -> None:
        """`start` is the state before the first operation, if not the initial one; `starts` are several, of which it
        was one."""
        self.model = model
        self.operations = operations
        self.failed = frozenset(failed)
        possible = distinct(model, list(starts))[:BRANCH_LIMIT]
        self.states: list[list[Any]] = [possible or [model.initial() if start is None else start]]
        for index, operation in enumerate(operations):
            self.states.append(self._after(index, operation))
        self._index = self._indexed()
        self._answers: dict[bytes, tuple[int, ...]] = {}

    def _after(self, index: int, operation: Any) -> list[Any]:
        before = self.states[-1]
        after = [self.model.step(state, operation)[0] for state in before]
        if index in self.failed:
            after = [*before, *after]
        return distinct(self.model, after)[:BRANCH_LIMIT]

    def _indexed(self) -> dict[Any, list[int]] | None:
        if not any(self.model is model for model in (KEY_VALUE, DOCUMENT, LOG)):
            return None
        index: dict[Any, list[int]] = {}
        for count, states in enumerate(self.states):
            for state in states:
                index.setdefault(frozen(self.model, state), []).append(count)
        return index

    def matches(self, recovered: Any) -> tuple[int, ...]:
        """Every number of operations after which a correct store could show `recovered`."""
        if self._index is None:
            return self._asked(recovered)
        try:
            return tuple(dict.fromkeys(self._index.get(frozen(self.model, recovered), ())))
        except Exception:
            return ()  # not even the type of a snapshot of this model, or what can't be compared

    def _asked(self, recovered: Any) -> tuple[int, ...]:
        """Asks a model of the user's own about each state, but once only for the same plain data."""
        plain = plain_bytes(recovered)
        known = None if plain is None else self._answers.get(plain)
        if known is not None:
            return known
        found = tuple(
            count
            for count, states in enumerate(self.states)
            if any(equals(self.model, recovered, state) for state in states)
        )
        if plain is not None:
            if len(self._answers) >= REMEMBERED_ANSWERS:
                self._answers.clear()
            self._answers[plain] = found
        return found

    def following(self, count: int, operations: Iterable[Any]) -> list[Any]:
        """The possible states after `operations`, starting after `count` operations of the workload."""
        states = self.states[count]
        for operation in operations:
            states = [self.model.step(state, operation)[0] for state in states]
        return states


def distinct(model: SequentialModel, states: list[Any]) -> list[Any]:
    """Each state once, in the order of their first appearance."""
    distinct: list[Any] = []
    for state in states:
        if not any(state is other or _same(state, other) for other in distinct):
            distinct.append(state)
    return distinct


def _same(state: Any, other: Any) -> bool:
    """Equal for Python and for JSON: the one takes `True` for 1, the other a tuple for a list."""
    return alike(state, other) and same_json(state, other)


def frozen(model: SequentialModel, state: Any) -> Any:
    """A hashable form of a state or snapshot of a built-in model."""
    if model is KEY_VALUE:
        return frozenset(state.items())
    if model is LOG:
        if not isinstance(state, list | tuple):
            raise TypeError("not a list of records")
        return tuple(state)
    return json.dumps(_numbers(state), sort_keys=True, ensure_ascii=False)  # escapes would join surrogates


def _numbers(value: Any) -> Any:
    """1 and 1.0 are the same JSON number; a key that is no text is no JSON, and would become text."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("not a JSON object")
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers(item) for item in value]
    return value


def records_of(operation: Any) -> tuple[str, ...]:
    """The records that a log operation adds."""
    match operation:
        case Append(record):
            return (record,)
        case AppendMany(records):
            return tuple(records)
    return ()
