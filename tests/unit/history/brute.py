"""A decider that is too simple to be wrong: it tries every order of every choice of operations, and knows no times but
those of the rule. And the histories to try it on."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.core.history import Called, History, Outcome, history_of
from harness.core.models import DOCUMENT, KEY_VALUE, LOG, same_json
from harness.core.operations import Append, AppendMany, Delete, Get, Load, Put, PutMany, Read, Save


@dataclass(frozen=True)
class Add:
    amount: int


@dataclass(frozen=True)
class Look:
    pass


class Counter:
    """A user's model: it adds up, and tells the sum after every addition."""

    def initial(self) -> int:
        return 0

    def step(self, state: int, operation: Any) -> tuple[int, Any]:
        match operation:
            case Add(amount):
                return state + amount, state + amount
            case Look():
                return state, state
        raise TypeError(f"a counter can't {operation}")

    def equal(self, recovered: Any, state: int) -> bool:
        return bool(recovered == state)


MODELS: dict[str, Any] = {"KEY_VALUE": KEY_VALUE, "DOCUMENT": DOCUMENT, "LOG": LOG, "counter": Counter()}


def linearizable(history: History, model: Any) -> bool:
    """Whether some order of all answered and some unanswered operations explains every answer."""
    answered = [called for called in history if called.outcome is Outcome.OK]
    unanswered = [called for called in history if called.outcome is Outcome.INFO]
    for size in range(len(unanswered) + 1):
        for chosen in itertools.combinations(unanswered, size):
            for order in itertools.permutations(answered + list(chosen)):
                if in_time(order) and explained(order, history, model):
                    return True
    return False


def in_time(order: tuple[Called, ...]) -> bool:
    """No operation stands before one that was answered before it was called."""
    for place, earlier in enumerate(order):
        for later in order[place + 1 :]:
            if later.outcome is Outcome.OK and later.completed_ns is not None:
                if later.completed_ns < earlier.invoked_ns:
                    return False
    return True


def explained(order: tuple[Called, ...], history: History, model: Any) -> bool:
    """Whether the model, operation by operation, gives the answers and the snapshot; unanswered ones may come after."""
    state = model.initial()
    fits = not history.has_final or all(called.outcome is Outcome.INFO for called in order)
    fits = fits and (not history.has_final or model.equal(history.final, state))
    for place, called in enumerate(order):
        state, answer = model.step(state, called.operation)
        if called.outcome is Outcome.OK and not _agrees(called, answer, model):
            return False
        rest = order[place + 1 :]
        if history.has_final and all(other.outcome is Outcome.INFO for other in rest):
            fits = fits or model.equal(history.final, state)
    return fits or not history.has_final


def _agrees(called: Called, answer: Any, model: Any) -> bool:
    if isinstance(called.operation, (Append, AppendMany)) and type(called.answer) is not int:
        return True
    if isinstance(called.operation, (Put, PutMany, Delete, Save)):
        return True
    return same_json(called.answer, answer)


# --- histories ------------------------------------------------------------------------------------


def interleavings() -> Iterator[tuple[tuple[int, int], ...]]:
    """Calls and answers of three operations, the first two of one client: all orders of the six moments, and ties."""
    moments = [(number, end) for number in range(3) for end in (0, 1)]
    for order in itertools.permutations(moments):
        at = {moment: place for place, moment in enumerate(order)}
        if at[0, 0] < at[0, 1] < at[1, 0] < at[1, 1] and at[2, 0] < at[2, 1]:
            yield tuple((at[number, 0], at[number, 1]) for number in range(3))
    yield from (((0, 1), (1, 2), (1, 1)), ((0, 1), (2, 3), (1, 2)), ((0, 2), (2, 2), (2, 4)))


#: What the operations of tiny histories are, and the answers that they may have.
_CHOICES: dict[str, tuple[tuple[Any, tuple[Any, ...]], ...]] = {
    "KEY_VALUE": (
        (Put("k", "a"), (None,)),
        (Put("k", "b"), (None,)),
        (Delete("k"), (None,)),
        (Get("k"), (None, "a", "b")),
    ),
    "DOCUMENT": ((Save({"n": 1}), (None,)), (Save({"n": 2}), (None,)), (Load(), (None, {"n": 1}, {"n": 2}))),
    "LOG": (
        (Append("a"), (None, 0, 1)),
        (Append("b"), (None, 0)),
        (Read(0), ([], ["a"], ["a", "b"])),
        (Read(1), ([], ["b"])),
    ),
    "counter": ((Add(1), (1, 2)), (Add(2), (2, 3)), (Look(), (0, 1, 3))),
}
_OUTCOMES = ((Outcome.OK,) * 3, (Outcome.OK, Outcome.OK, Outcome.INFO), (Outcome.INFO, Outcome.OK, Outcome.OK))


def tiny(name: str) -> Iterator[History]:
    """Every history of three operations of two clients: all interleavings, all answers, one of them or none missing."""
    steps = [(operation, answer) for operation, answers in _CHOICES[name] for answer in answers]
    for chosen in itertools.product(steps, repeat=3):
        for times, outcomes in itertools.product(interleavings(), _OUTCOMES):
            yield History(
                tuple(
                    Called(number, number // 2, operation, *times[number], outcomes[number], answer)
                    for number, (operation, answer) in enumerate(chosen)
                )
            )


@dataclass
class _Clients:
    """Clients that call when they are free; one that was not answered calls no more, but for the last."""

    rnd: random.Random
    free: dict[int, int]
    point: int = 0

    def call(self, outcome: Outcome) -> tuple[int, int, int]:
        client = self.rnd.choice(sorted(self.free))
        begins = max(self.free[client], self.point - self.rnd.randrange(4))
        self.point = max(begins, self.point) + self.rnd.randrange(2)
        ends = self.point + self.rnd.randrange(4)
        self.free[client] = ends + 1
        if outcome is Outcome.INFO and len(self.free) > 1:
            del self.free[client]
        return client, begins, ends


def generated(seed: int, name: str, *, clients: int = 3, length: int = 6, keys: int = 1) -> History:
    """A history of a store that works, each operation at one moment within its interval; in half of them one lie."""
    rnd = random.Random(seed)
    model = MODELS[name]
    state = model.initial()
    made: list[Called] = []
    working = _Clients(rnd, dict.fromkeys(range(clients), 0))
    for number in range(length):
        outcome = rnd.choices((Outcome.OK, Outcome.INFO, Outcome.FAIL), (8, 2, 1))[0]
        client, begins, ends = working.call(outcome)
        operation = _operation(rnd, name, number, keys)
        answer = None
        if outcome is Outcome.OK or (outcome is Outcome.INFO and rnd.random() < 0.5):
            state, answer = model.step(state, operation)
        untold = outcome is not Outcome.OK or (isinstance(operation, (Append, AppendMany)) and rnd.random() < 0.4)
        made.append(Called(number, client, operation, begins, ends, outcome, None if untold else answer))
    if rnd.random() < 0.5:
        made, state = _spoiled(rnd, made, state)
    if rnd.random() < 0.5:
        return history_of(made)
    return history_of(made, final=list(state) if isinstance(state, tuple) else state, has_final=True)


def _operation(rnd: random.Random, name: str, number: int, keys: int) -> Any:
    key = f"k{rnd.randrange(keys)}"
    value = f"v{number}" if rnd.random() < 0.7 else f"v{rnd.randrange(3)}"
    match name:
        case "KEY_VALUE":
            made = [Put(key, value), Get(key), Get(key), Put(key, value), Delete(key)]
            if keys > 1:
                made.append(PutMany((("k0", value), (key, f"{value}x"))))
        case "DOCUMENT":
            made = [Save({"v": value}), Load(), Load()]
        case "LOG":
            made = [Append(value), Append(value), Read(0), Read(rnd.randrange(3)), AppendMany((value, f"{value}x"))]
        case _:
            made = [Add(rnd.randrange(1, 3)), Look()]
    return rnd.choice(made)


def _spoiled(rnd: random.Random, made: list[Called], state: Any) -> tuple[list[Called], Any]:
    """The snapshot has lost something, or one read has the answer of another one."""
    if rnd.random() < 0.3:
        match state:
            case dict() if state:
                return made, dict(list(state.items())[:-1])
            case tuple() if state:
                gone = rnd.randrange(len(state))
                return made, state[:gone] + state[gone + 1 :]
            case int():
                return made, state - 1
    reads = [place for place, one in enumerate(made) if one.outcome is Outcome.OK and one.answer is not None]
    if len(reads) > 1:
        first, second = rnd.sample(reads, 2)
        if type(made[first].answer) is type(made[second].answer):
            made[first] = dataclasses.replace(made[first], answer=made[second].answer)
    return made, state
