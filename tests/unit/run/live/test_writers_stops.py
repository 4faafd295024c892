"""Two processes stopped, and a third that passes: locks that protect nothing are found, sound ones are left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import Put
from harness.core.workload import By, Workload
from harness.inject.kills import Called
from harness.inject.writers import TwoStops, holding, two_stops
from harness.run.live.writers_stops import TwoStopsEngine
from tests.stores import shared
from tests.unit.run.live.writing import PUTS, engine, found, function_of

CROWD = Workload("crowd", (*PUTS.steps, By(1, Put("b", "again")), By(3, Put("d", "3")), By(4, Put("e", "4"))))


def promising(adapter: Any) -> Any:
    return type(adapter.__name__, (adapter,), {"contract": shared.Removing.contract})


def test_who_waits_for_a_lock_that_its_holder_removes_is_not_alone(tmp_path: Path) -> None:
    """Every time, whatever the machine does; where the file of the lock is removed."""
    made = engine(TwoStopsEngine, shared.Removing, tmp_path, CROWD)
    faults = list(made.faults())
    assert made.operations == 4 and len(faults) > 8

    assert found(made, faults, function_of) == {("lost_update", "Removing.alone")}


@pytest.mark.parametrize("adapter", [shared.Rechecking, shared.ForProcesses])
def test_a_lock_that_protects_is_left_alone(adapter: Any, tmp_path: Path) -> None:
    """One that is never removed, and one that is looked at once it is held. Nobody hangs, and every trial fires."""
    made = engine(TwoStopsEngine, promising(adapter), tmp_path, CROWD)
    assert found(made, made.faults(), function_of) == set()


def test_a_process_that_never_gets_to_its_stop_proves_nothing(tmp_path: Path) -> None:
    made = engine(TwoStopsEngine, shared.Removing, tmp_path, CROWD)
    first = next(iter(made.faults()))
    assert made.attempt(TwoStops(first.call, 999)).fired == 0
    assert made.attempt(TwoStops(999, first.second)).fired == 0


def test_it_takes_three_clients_and_a_lock(tmp_path: Path) -> None:
    two = engine(TwoStopsEngine, shared.Removing, tmp_path / "two", PUTS)
    assert list(two.faults()) == []

    class Bare(shared.Unlocked):
        contract = shared.Removing.contract

        def write(self, path: Path, pairs: dict[str, str]) -> None:
            path.write_text(str(pairs))

        def read(self, path: Path) -> dict[str, str]:
            return {}

    assert list(engine(TwoStopsEngine, Bare, tmp_path / "bare", CROWD).faults()) == []


def course(*locked: bool, name: Callable[[int], str] = lambda number: "write") -> list[Called]:
    return [Called(name(number), None, locked=held) for number, held in enumerate(locked, 1)]


def test_a_lock_is_held_from_the_call_after_the_one_that_takes_it() -> None:
    assert holding(course(False, True, True, True, False, True)) == [3, 4]
    assert holding([]) == []


def test_stops_are_inside_operations_and_at_calls_that_others_notice() -> None:
    held = course(True, True, True, True, True, name=lambda number: "fsync" if number == 3 else "write")
    stops = list(two_stops(held, held, {2, 3, 4, 5}, {2, 3, 4}))

    assert {stop.call for stop in stops} == {2, 4} and {stop.second for stop in stops} == {2, 4}
    assert len(set(stops)) == len(stops) == 4
    assert "before its I/O call number 2, holding a lock" in stops[0].describe() and not stops[0].killed
