"""Streams of operations: endless, and any of them made again from its number."""

from __future__ import annotations

import random
from typing import Any

import pytest

from harness import LOG, Append, AppendMany, Contract, UsageError
from harness.measure.openloop import RealClock
from harness.measure.operations import BLOCK, Stream


class Plain:
    """Takes single records, where the model's examples have batches too."""

    model = LOG
    contract = Contract()


class Batches(Plain):
    operations = (Append, AppendMany)


class Few(Plain):
    """Gives three operations, however many are asked for."""

    def measured_operations(self, random: random.Random, count: int) -> list[Any]:
        return [Append(text) for text in "abc"]


class Nothing(Plain):
    """Gives what it does not take."""

    def measured_operations(self, random: random.Random, count: int) -> list[Any]:
        return [AppendMany(("a",))]


def test_any_operation_can_be_made_again() -> None:
    """In any order, from the seed and its number; another seed gives others."""
    stream, again, other = Stream(Plain(), 3), Stream(Plain(), 3), Stream(Plain(), 4)
    forth = [stream.at(index) for index in range(3 * BLOCK)]
    back = [again.at(index) for index in reversed(range(3 * BLOCK))]

    assert forth == back[::-1]
    assert all(Stream(Plain(), 3).at(index) == forth[index] for index in (1, BLOCK - 1, BLOCK, 2 * BLOCK + 5))
    assert forth[:BLOCK] != forth[BLOCK : 2 * BLOCK]
    assert forth[:BLOCK] != [other.at(index) for index in range(BLOCK)]


def test_only_operations_that_the_adapter_takes_are_given() -> None:
    """Batches where they are declared, and nowhere else."""
    plain, batches = Stream(Plain(), 0), Stream(Batches(), 0)

    assert {type(plain.at(index)) for index in range(BLOCK)} == {Append}
    assert {type(batches.at(index)) for index in range(BLOCK)} == {Append, AppendMany}


def test_few_operations_are_repeated() -> None:
    """A block is full, whatever the adapter gives."""
    assert [Stream(Few(), 0).at(index).record for index in range(5)] == list("abcab")


def test_an_adapter_that_gives_nothing_is_told() -> None:
    """One sentence."""
    with pytest.raises(UsageError, match="gives no operation that it takes"):
        Stream(Nothing(), 0).at(0)


def test_what_was_left_out_is_not_repeated() -> None:
    """Those before a number, without the ones that had no effect; one that is listed twice is left out once."""
    stream = Stream(Few(), 0)

    assert [operation.record for operation in stream.before(7, [0, 3, 3, 5])] == list("bcba")
    assert list(stream.before(0, [4])) == []


def test_a_stream_knows_what_it_has_made() -> None:
    """So that the next block is made when the clients stand still."""
    stream = Stream(Plain(), 0)
    stream.at(BLOCK)

    assert stream.holds(2 * BLOCK - 1)
    assert not stream.holds(2 * BLOCK)


def test_the_real_clock_goes_on_and_does_not_wait_for_the_past() -> None:
    """Monotonic time, and processor time of this thread."""
    clock = RealClock()
    before = clock.now_ns()
    clock.sleep_until_ns(before)
    clock.sleep_until_ns(before + 1000)

    assert clock.now_ns() >= before + 1000
    assert clock.cpu_ns() > 0
