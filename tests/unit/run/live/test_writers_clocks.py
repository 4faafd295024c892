"""Processes that share a store while somebody sets the clock: locks that expire by it, and others."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest

from harness import Get, Put
from harness.core.workload import By, Workload
from harness.inject.writers import Jump, Pause
from harness.run.live import timepiece, writers
from harness.run.live.wallclock import MachineClock
from harness.run.live.writers_clocks import WriterClocksEngine
from store_under_test.defective import d41_lock_expiry_by_wall_clock, n15_readers_without_lock
from store_under_test.metrics_store.adapter import MetricsStoreAdapter
from tests.stores import skewed
from tests.unit.run.live.benches import bench
from tests.unit.run.live.writing import PUTS, SAVES, engine, found

HOUR_S = 3600.0
READ = Workload("read", (*PUTS.steps, By(2, Get("c"))))


def at(made: WriterClocksEngine, *names: str, seconds: float = HOUR_S, put_right: bool = False) -> list[Jump]:
    """Steps of the clock before the calls with these names, of those inside the operation."""
    numbers = [n for n in sorted(made.inside()) if getattr(made.alone.course[n - 1], "name", "") in names]
    return [Jump(Pause(number, early=True), seconds, put_right) for number in numbers]


def after_reading(made: WriterClocksEngine, **how: Any) -> list[Jump]:
    """A step of the clock when the operation has read what it is going to change."""
    [read] = at(made, "readall", **how)
    return [dataclasses.replace(read, pause=Pause(read.pause.call + 1, early=True))]


def test_a_lock_that_expires_by_the_wall_clock_is_taken_from_its_holder(tmp_path: Path) -> None:
    """The line that compares is to blame; set back, the clock takes the lock from nobody."""
    made = engine(WriterClocksEngine, d41_lock_expiry_by_wall_clock.Adapter, tmp_path, READ)
    assert found(made, at(made, "replace") * 2) == {("lost_update", "LeaseFile._is_alive")}
    assert found(made, at(made, "replace", seconds=-HOUR_S)) == set()


def test_it_is_enough_that_the_others_saw_the_clock_wrong(tmp_path: Path) -> None:
    made = engine(WriterClocksEngine, skewed.Locked, tmp_path)
    assert found(made, after_reading(made, put_right=True)) == {("lost_update", "Locked.stamp")}


def test_a_lock_that_is_as_old_as_its_file_is_taken_too(tmp_path: Path) -> None:
    """The files of a machine are dated by its clock, before and after somebody sets it."""
    made = engine(WriterClocksEngine, skewed.Aged, tmp_path)
    assert found(made, after_reading(made)) == {("lost_update", "Aged.is_expired")}
    touched = engine(WriterClocksEngine, skewed.Touched, tmp_path / "touched")
    assert found(touched, after_reading(touched)) == {("lost_update", "Touched.is_expired")}


@pytest.mark.parametrize(
    "adapter", [skewed.Leased, skewed.Patient, skewed.Flocked, n15_readers_without_lock.Adapter, MetricsStoreAdapter]
)
def test_locks_by_other_clocks_keep_everything(adapter: Any, tmp_path: Path) -> None:
    made = engine(WriterClocksEngine, adapter, tmp_path, SAVES if adapter is MetricsStoreAdapter else PUTS)
    faults = [*at(made, "write"), *at(made, "fsync", seconds=-HOUR_S, put_right=True)]
    assert faults and found(made, faults) == set()


def test_what_goes_wrong_without_the_clock_as_well_is_not_its_doing(tmp_path: Path) -> None:
    """That is for those who only stop processes; nothing can be said about the clock then."""
    made = engine(WriterClocksEngine, skewed.Racing, tmp_path)
    trial = made.attempt(after_reading(made)[0])
    assert (trial.fired, trial.violation, trial.idle) == (0, None, "the same happens while the clock goes right")


def test_whoever_sleeps_by_the_wall_clock_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first notes the hour; an hour later, by a clock that was set back, the second sleeps until then."""
    made = engine(WriterClocksEngine, skewed.Oversleeps, tmp_path)
    monkeypatch.setattr(writers, "PATIENCE_S", 3.0)
    monkeypatch.setattr(writers, "HEAD_START_S", 0.5)
    last = len(made.alone.course)
    trial = made.attempt(Jump(Pause(last), -HOUR_S))
    assert trial.violation is not None and trial.violation.kind == "hang"
    assert trial.site is not None and trial.site.function == "Oversleeps.lock"


def test_a_story_tells_when_the_clock_was_set_and_who_asked_for_the_time(tmp_path: Path) -> None:
    made = engine(WriterClocksEngine, d41_lock_expiry_by_wall_clock.Adapter, tmp_path, READ)
    [fault] = at(made, "replace")
    trial = made.attempt(fault)
    assert trial.exhibit is not None
    assert trial.exhibit.called == "client 1 stood still; the wall clock was set 1 hour forward"
    assert trial.exhibit.lines[-1] == f"<{fault.describe()}>"
    assert {(row.call, row.fault) for row in trial.struck} == {("replace", "stop"), ("reading the clock", "step")}
    assert dataclasses.replace(fault, put_right=True).describe() == (
        f"one process stopped before its I/O call number {fault.pause.call}, the wall clock was set 1 hour forward, "
        "another one, which had opened the store before, did its operations, the clock was put right, and the first "
        "went on"
    )


def test_the_clock_goes_forward_at_every_call_and_does_something_else(tmp_path: Path) -> None:
    made = engine(WriterClocksEngine, skewed.Patient, tmp_path)
    faults = list(made.faults())
    forward = [fault for fault in faults if (fault.seconds, fault.put_right) == (HOUR_S, False)]
    assert {fault.pause.call for fault in forward} == set(range(1, len(made.alone.course) + 1))
    assert {(fault.seconds < 0, fault.put_right) for fault in faults} == {
        (minus, right) for minus in (True, False) for right in (True, False)
    }
    alone = WriterClocksEngine(
        bench(skewed.Patient, tmp_path / "one"), Workload("one", (By(1, Put("a", "1")),)), "writers", "processes"
    )
    assert alone.rehearse() == "" and list(alone.faults()) == []


def test_nobody_at_work_meanwhile_proves_nothing(tmp_path: Path) -> None:
    made = engine(WriterClocksEngine, skewed.Patient, tmp_path)
    assert made.attempt(Jump(Pause(999), HOUR_S)).fired == 0


def test_a_clock_of_the_machine_sleeps_and_counts_as_ever() -> None:
    """Only the wall clock is set, and lines that are not to see it are shown the right time."""
    clock = MachineClock()
    timepiece.install()
    seen: list[Any] = []
    clock.tell = lambda site, how: seen.append((site.function, how))
    with timepiece.engaged(clock):
        before, ticks = time.time(), time.monotonic()
        clock.set_by(HOUR_S)
        clock.wait(0.0)
        assert 3500 < time.time() - before < 4000 and 0 <= time.monotonic() - ticks < 400
        clock.sees = lambda site: False
        assert 0 <= time.time() - before < 400
        assert clock.wall_ns() >= 0
    assert set(seen) == {("test_a_clock_of_the_machine_sleeps_and_counts_as_ever", "reading the clock")}
    clock.begin()
    assert not clock.applied
