"""What is measured: ordinary operations of every kind that an adapter takes, the same for the same seed."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from harness import (
    DOCUMENT,
    KEY_VALUE,
    LOG,
    Append,
    AppendMany,
    Compact,
    Delete,
    Get,
    Load,
    Put,
    PutMany,
    Read,
    Save,
    UsageError,
)
from harness.measure.loads import SIZES, measured_operations


def adapter(model: Any, *operations: type, **more: Any) -> Any:
    """As much of an adapter class as there has to be."""
    return type("Made", (), {"model": model, **({"operations": operations} if operations else {}), **more})


@pytest.mark.parametrize(
    ("model", "declared", "kinds"),
    [
        (KEY_VALUE, (), {Put, Delete}),
        (KEY_VALUE, (PutMany, Get, Compact), {Put, Delete, PutMany, Get}),
        (DOCUMENT, (), {Save}),
        (DOCUMENT, (Load,), {Save, Load}),
        (LOG, (), {Append}),
        (LOG, (AppendMany, Read), {Append, AppendMany, Read}),
    ],
)
def test_every_kind_comes_in_every_round(model: Any, declared: tuple[type, ...], kinds: set[type]) -> None:
    """In any fourteen operations all kinds are; values have ordinary sizes and are unique; the seed decides."""
    made = measured_operations(adapter(model, *declared), "s", 140)

    assert made == measured_operations(adapter(model, *declared), "s", 140)
    assert made != measured_operations(adapter(model, *declared), "t", 140)
    for start in range(0, 140, 14):
        assert {type(operation) for operation in made[start : start + 14]} == kinds
    values = [operation.value for operation in made if isinstance(operation, Put)]
    assert len(set(values)) == len(values)
    assert all(len(value) <= max(SIZES) + 8 for value in values)


def test_reads_ask_for_what_is_there() -> None:
    """The last twenty records of a log, not all of a log that grows."""
    records = 0
    for operation in measured_operations(adapter(LOG, AppendMany, Read), "s", 300):
        match operation:
            case Read(start):
                assert start == max(0, records - 20)
            case Append():
                records += 1
            case AppendMany(added):
                records += len(added)


@dataclass(frozen=True, slots=True)
class Few:
    """A model of a user's own, with `most` examples."""

    most: int

    def initial(self) -> None:
        return None

    def step(self, state: None, operation: Any) -> tuple[None, None]:
        return None, None

    def equal(self, recovered: Any, state: None) -> bool:
        return True

    def example_operations(self, source: random.Random, count: int) -> list[Any]:
        return [(Append, Delete)[number % 3 > 0](str(source.random())) for number in range(min(count, self.most))]


def test_a_model_of_the_user_s_own_gives_its_examples() -> None:
    """As many as it takes to have enough of the kinds that the adapter takes."""
    assert Counter(map(type, measured_operations(adapter(Few(999)), "s", 30))) == {Append: 10, Delete: 20}
    assert Counter(map(type, measured_operations(adapter(Few(999), Append), "s", 30))) == {Append: 30}


def test_an_adapter_s_own_load_comes_first() -> None:
    """Whatever its model is."""
    own = adapter(KEY_VALUE, measured_operations=lambda self, source, count: [Put("own", "")] * (count + 1))

    assert measured_operations(own, "s", 3) == [Put("own", "")] * 3


def test_too_few_operations_are_refused() -> None:
    """They would have to be repeated, and a store may answer again from memory."""
    with pytest.raises(UsageError, match="of 10 operations that were asked for the adapter takes 2"):
        measured_operations(adapter(Few(2)), "s", 10)
