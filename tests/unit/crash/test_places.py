"""Which of very many operations are crashed."""

from __future__ import annotations

from typing import Any

from harness import Append, Sync
from harness.core.trace import CallSite, IoEvent, SyncDirectory, Trace, WriteData, empty_image
from harness.crash.places import FIRST_TURN, MOST_NEW, places

TURNS = {count + by for count in (16, 32, 64, 100, 128, 256) for by in (-2, -1, 0)}


def trace(*lines: int, operations: tuple[Any, ...] = ()) -> Trace:
    """One operation for each of `lines`, with one call there: a write, or at a negative line a sync."""
    effects = [WriteData(1, 0, b"x") if line > 0 else SyncDirectory(1) for line in lines]
    events = tuple(
        IoEvent("call", CallSite("store.py", abs(line), "apply"), 0, number, (effect,))
        for number, (line, effect) in enumerate(zip(lines, effects, strict=True))
    )
    return Trace(empty_image(), events, operations or (Append("x"),) * len(lines), "/data")


def test_counts_turn_by_twos_and_tens() -> None:
    """Before, at and after each such count, from where short workloads end; and the last operations."""
    assert places(trace(*[7] * 260)) == {-1, 0, 1, 258, 259} | TURNS
    assert min(TURNS) == FIRST_TURN - 2


def test_what_does_something_new_is_crashed_and_what_follows_too() -> None:
    """Another line, in whatever order the lines come; what was done before is nothing new."""
    done = [7] * 50
    done[40] = done[45] = 9

    assert places(trace(*done)) == {-1, 0, 1, 40, 41, 48, 49} | {place for place in TURNS if place < 34}


def test_other_calls_of_a_line_are_new() -> None:
    """A sync where there was a write."""
    assert places(trace(7, 7, 7, -7, *[7] * 6)) == {-1, 0, 1, 3, 4, 8, 9}


def test_a_store_that_never_does_the_same_is_crashed_at_its_beginning() -> None:
    """Something new in each operation is nothing to choose by."""
    found = places(trace(*range(1, 521, 2)))
    assert found == set(range(-1, MOST_NEW + 1)) | TURNS | {258, 259}


def test_maintenance_does_not_count() -> None:
    """A counter of what was written turns at the operation that wrote."""
    steps = tuple(item for number in range(40) for item in (Append(str(number)), Sync()))
    found = places(trace(*[7] * 80, operations=steps))
    assert {28, 30, 32, 60, 62, 64} <= found and not found & {31, 33, 63}


def test_few_operations_are_all_crashed() -> None:
    assert places(trace()) == {-1}
    assert places(trace(7, 7)) == {-1, 0, 1}
