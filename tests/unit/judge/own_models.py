"""Models that users might bring: one that ignores a time stamp, one with a precondition, one of plain numbers."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Write:
    """Set the text of a stamped note."""

    text: str


@dataclass(frozen=True, slots=True)
class StampedNote:
    """One note; the store adds a time, of which the model knows nothing."""

    def initial(self) -> dict[str, Any]:
        return {"text": ""}

    def step(self, state: dict[str, Any], operation: Any) -> tuple[dict[str, Any], Any]:
        return {"text": operation.text}, None

    def equal(self, recovered: Any, state: dict[str, Any]) -> bool:
        return isinstance(recovered, dict) and recovered.get("text") == state["text"]

    def example_operations(self, source: random.Random, count: int) -> list[Any]:
        return [Write(f"note {number}") for number in range(count)]


@dataclass(frozen=True, slots=True)
class Push:
    """Add an item at the end."""

    item: str


@dataclass(frozen=True, slots=True)
class Pop:
    """Take the first item away; there must be one."""


@dataclass(frozen=True, slots=True)
class Queue:
    """First in, first out; taking from an empty queue is an error of the caller."""

    def initial(self) -> tuple[str, ...]:
        return ()

    def step(self, state: tuple[str, ...], operation: Any) -> tuple[tuple[str, ...], Any]:
        match operation:
            case Push(item):
                return (*state, item), None
        if not state:
            raise IndexError("the queue is empty")
        return state[1:], state[0]

    def equal(self, recovered: Any, state: tuple[str, ...]) -> bool:
        return isinstance(recovered, list) and tuple(recovered) == state

    def example_operations(self, source: random.Random, count: int) -> list[Any]:
        return [Push(f"item-{number}") if number % 3 < 2 else Pop() for number in range(count)]


@dataclass(frozen=True, slots=True)
class Grid:
    """A mapping from places to items, keyed by tuples: a state that is no JSON."""

    def initial(self) -> dict[tuple[int, int], str]:
        return {}

    def step(self, state: dict[tuple[int, int], str], operation: Any) -> tuple[Any, Any]:
        return {**state, (len(state), 0): operation.item}, None

    def equal(self, recovered: Any, state: dict[tuple[int, int], str]) -> bool:
        return bool(recovered == state)

    def example_operations(self, source: random.Random, count: int) -> list[Any]:
        return [Push(f"item-{number}") for number in range(count)]


@dataclass(frozen=True, slots=True)
class Add:
    """Add a number."""

    number: int


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of all numbers."""

    def initial(self) -> int:
        return 0

    def step(self, state: int, operation: Any) -> tuple[int, Any]:
        return state + operation.number, None

    def equal(self, recovered: Any, state: int) -> bool:
        return bool(recovered + 0 == state)

    def example_operations(self, source: random.Random, count: int) -> list[Any]:
        return [Add(2**number) for number in range(count)]
