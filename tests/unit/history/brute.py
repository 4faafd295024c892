"""A decider that is too simple to be wrong: it tries every order of every choice of operations, and knows no times but
those of the rule. And the histories to try it on."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

from harness.core.history import Called, History, Outcome, history_of
from harness.core.models import DOCUMENT, KEY_VALUE, LOG, same_json
from harness.core.operations import READS, Append, AppendMany, Delete, Get, Load, Put, PutMany, Read, Save

READING = READS


def linearizable(history: History, model: Any) -> bool:
    """Whether some order of all answered and some unanswered operations explains every answer."""
    answered = [called for called in history if called.outcome is Outcome.OK]
    unanswered = [called for called in history if called.outcome is Outcome.INFO]
    for size in range(len(unanswered) + 1):
        for chosen in itertools.combinations(unanswered, size):
            for order in itertools.permutations(answered + list(chosen)):
                if _in_time(order) and _explained(order, history, model):
                    return True
    return False


def _in_time(order: tuple[Called, ...]) -> bool:
    """No operation stands before one that was answered before it was called."""
    for place, earlier in enumerate(order):
        for later in order[place + 1 :]:
            if later.outcome is Outcome.OK and later.completed_ns is not None:
                if later.completed_ns < earlier.invoked_ns:
                    return False
    return True


def _explained(order: tuple[Called, ...], history: History, model: Any) -> bool:
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

#: The order of the six moments of three operations, of which two share a client.
def interleavings() -> Iterator[tuple[tuple[int, int], ...]]:
    """Calls and answers of three operations, the first two of one client: all orders of the six moments, and ties."""
    moments = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    for order in itertools.permutations(moments):
        at = {moment: place for place, moment in enumerate(order)}
        if at[0, 0] < at[0, 1] < at[1, 0] < at[1, 1] and at[2, 0] < at[2, 1]:
            yield tuple((at[number, 0], at[number, 1]) for number in range(3))
    yield ((0, 1), (1, 2), (1, 1))
    yield ((0, 1), (2, 3), (1, 2))
    yield ((0, 2), (2, 2), (2, 4))


def called(number: int, client: int, operation: Any, times: tuple[int, int], outcome: Outcome, answer: Any) -> Called:
    return Called(number, client, operation, times[0], times[1], outcome, answer)


_CHOICES: dict[str, list[tuple[Any, tuple[Any, ...]]]] = {
    "KEY_VALUE": [
        (Put("k", "a"), (None,)),
        (Put("k", "b"), (None,)),
        (Delete("k"), (None,)),
        (Get("k"), (None, "a", "b")),
    ],
    "DOCUMENT": [(Save({"n": 1}), (None,)), (Save({"n": 2}), (None,)), (Load(), (None, {"n": 1}, {"n": 2}))],
    "LOG": [
        (Append("a"), (None, 0, 1)),
        (Append("b"), (None, 0)),
        (Read(0), ([], ["a"], ["a", "b"])),
        (Read(1), ([], ["b"])),
    ],
}
_MODELS: dict[str, Any] = {"KEY_VALUE": KEY_VALUE, "DOCUMENT": DOCUMENT, "LOG": LOG}


def tiny(name: str) -> Iterator[History]:
    """Every history of three operations, two clients, all interleavings; the outcome of the last two varies."""
    model = _MODELS[name]
    steps = [(operation, answer) for operation, answers in _CHOICES[name] for answer in answers]
    for times in interleavings():
        for chosen in itertools.product(steps, repeat=3):
            for outcomes in ((Outcome.OK,) * 3, (Outcome.OK, Outcome.OK, Outcome.INFO), (Outcome.INFO,) + (Outcome.OK,) * 2):
                if any(o is Outcome.INFO and a is not None for (_, a), o in zip(chosen, outcomes, strict=True)):
                    continue
                clients = (0, 0, 1)
                yield history_of(
                    called(number, clients[number], operation, times[number], outcomes[number], answer)
                    for number, (operation, answer) in enumerate(chosen)
                )
    assert model is not None


def generated(seed: int, name: str, *, clients: int = 3, length: int = 6, spoil: float = 0.5, keys: int = 1) -> History:
    """A history of a store that works, each operation at one moment within its interval; then perhaps one lie."""
    rnd = random.Random(seed)
    model = _MODELS.get(name) or _OWN
    state = model.initial()
    made: list[Called] = []
    free = [0] * clients
    last = 0
    for number in range(length):
        client = rnd.randrange(clients)
        begins = max(free[client], last - rnd.randrange(4))
        point = max(begins, last) + rnd.randrange(2)
        ends = point + rnd.randrange(4)
        last, free[client] = point, ends + 1
        operation = _operation(rnd, name, number, keys)
        outcome = rnd.choices((Outcome.OK, Outcome.INFO, Outcome.FAIL), (8, 2, 1))[0]
        answer = None
        if outcome is Outcome.OK or (outcome is Outcome.INFO and rnd.random() < 0.5):
            state, answer = model.step(state, operation)
        told = answer if outcome is Outcome.OK else None
        if isinstance(operation, (Append, AppendMany)) and rnd.random() < 0.4:
            told = None
        if outcome is Outcome.INFO:
            free[client] = 1 << 30 if sum(at < 1 << 30 for at in free) > 1 else free[client]
        made.append(Called(number, client, operation, begins, ends, outcome, told))
    final = rnd.random() < 0.5
    if rnd.random() < spoil:
        made, state = _spoiled(rnd, made, state, name)
    if not final:
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


def _spoiled(rnd: random.Random, made: list[Called], state: Any, name: str) -> tuple[list[Called], Any]:
    """One answer is that of another read, one append is elsewhere, or the snapshot has lost something."""
    import dataclasses

    if rnd.random() < 0.3:
        match state:
            case dict() if state:
                return made, dict(list(state.items())[:-1])
            case tuple() if state:
                return made, tuple(part for place, part in enumerate(state) if place != rnd.randrange(len(state)))
            case int():
                return made, state - 1
    reads = [place for place, one in enumerate(made) if one.outcome is Outcome.OK and one.answer is not None]
    if len(reads) > 1:
        first, second = rnd.sample(reads, 2)
        if type(made[first].answer) is type(made[second].answer):
            made[first] = dataclasses.replace(made[first], answer=made[second].answer)
    return made, state


# --- a model of a user's --------------------------------------------------------------------------
from dataclasses import dataclass  # noqa: E402


@dataclass(frozen=True)
class Add:
    amount: int


@dataclass(frozen=True)
class Look:
    pass


class Counter:
    """Adds up, and tells the sum after every addition."""

    def initial(self) -> int:
        return 0

    def step(self, state: int, operation: Any) -> tuple[int, Any]:
        match operation:
            case Add(amount):
                return state + amount, state + amount
            case Look():
                return state, state
        raise TypeError(f"what is {operation}?")

    def equal(self, recovered: Any, state: int) -> bool:
        return bool(recovered == state)


_OWN = Counter()
COUNTER = _OWN
