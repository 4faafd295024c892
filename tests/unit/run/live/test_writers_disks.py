"""Processes that share a store while the disk is full for one of them: what that costs the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import Put
from harness.core.workload import By, Workload
from harness.inject.writers import Pause, Shortage
from harness.run.live import writers
from harness.run.live.writers_disks import WriterDisksEngine
from store_under_test.metrics_store.adapter import MetricsStoreAdapter
from tests.stores import filled
from tests.unit.run.live.benches import bench
from tests.unit.run.live.writing import PUTS, SAVES, engine, found


def of(
    made: WriterDisksEngine, error: str, name: str, *, part: bool = False, early: bool = True, there: bool = False
) -> list[Shortage]:
    """Failures of the calls with this name; the process stops when its operation begins, or `there`."""
    course = made.alone.course
    numbers = [n for n in made.targets[error] if getattr(course[n - 1], "name", "") == name]
    begun = min(made.inside())
    return [Shortage(Pause(n if there else begun, early=early), n, error, part) for n in numbers]


def test_whoever_puts_back_what_it_knew_overwrites_the_other(tmp_path: Path) -> None:
    """Where the write comes to its end is where the other's change is lost."""
    made = engine(WriterDisksEngine, filled.Restoring, tmp_path)
    [fault] = of(made, "EIO", "write")
    assert found(made, [fault]) == {("lost_update", "Restoring.failed")}
    exhibit = made.attempt(fault).exhibit
    assert exhibit is not None and exhibit.called == "client 1 stood still"
    assert exhibit.reached.endswith(f"; its I/O call number {fault.call} failed with EIO.")
    assert exhibit.lines[1] == "client 1: Put('b', '1')  # raised OSError: [Errno 5] Input/output error"


def test_a_lock_that_is_kept_after_a_failure_makes_the_other_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = engine(WriterDisksEngine, filled.Clinging, tmp_path)
    monkeypatch.setattr(writers, "PATIENCE_S", 3.0)
    trial = made.attempt(of(made, "ENOSPC", "write")[0])
    assert trial.violation is not None and trial.violation.kind == "hang"
    assert "client 2 did not return" in trial.violation.sentence
    assert trial.site is not None and trial.site.function == "Table.change"


@pytest.mark.parametrize("adapter", [filled.LockFile, filled.Barred])
def test_a_lock_file_that_is_left_behind_keeps_all_out(adapter: Any, tmp_path: Path) -> None:
    made = engine(WriterDisksEngine, adapter, tmp_path)
    assert found(made, of(made, "ENOSPC", "write")) == {("not_writable", "Table.change")}


def test_an_exception_may_be_the_answer_until_the_store_was_closed(tmp_path: Path) -> None:
    made = engine(WriterDisksEngine, filled.ClearsUp, tmp_path)
    assert found(made, of(made, "ENOSPC", "write")) == set()


def test_what_is_acknowledged_in_spite_of_a_failure_is_owed(tmp_path: Path) -> None:
    made = engine(WriterDisksEngine, filled.Swallowing, tmp_path)
    assert found(made, of(made, "ENOSPC", "write")) == {("swallowed_error", "Table.change")}


@pytest.mark.parametrize("adapter", [filled.Table, MetricsStoreAdapter])
def test_whoever_fails_cleanly_costs_nobody_anything(adapter: Any, tmp_path: Path) -> None:
    made = engine(WriterDisksEngine, adapter, tmp_path, SAVES if adapter is MetricsStoreAdapter else PUTS)
    faults = [
        *of(made, "ENOSPC", "open", early=False, there=True),
        *of(made, "ENOSPC", "write", part=True, there=True),
        *of(made, "EIO", "replace", there=True),
    ]
    assert len(faults) > 1 and found(made, faults) == set()


def test_what_is_struck_is_the_call_that_fails_and_that_before_which_it_stood(tmp_path: Path) -> None:
    made = engine(WriterDisksEngine, filled.Table, tmp_path)
    trial = made.attempt(of(made, "ENOSPC", "write", part=True)[0])
    assert {(row.call, row.fault) for row in trial.struck} == {("open", "stop"), ("write", "ENOSPC")}


def test_what_goes_wrong_without_a_failure_is_not_its_doing(tmp_path: Path) -> None:
    """Stopped between reading and writing, a store without a lock loses an update in any case."""
    made = engine(WriterDisksEngine, filled.Racing, tmp_path)
    number = of(made, "EIO", "replace")[0].call
    course = [getattr(item, "name", "") for item in made.alone.course]
    stop = course.index("write") + 1
    trial = made.attempt(Shortage(Pause(stop), number + 1, "EIO"))
    assert (trial.fired, trial.violation) == (0, None)
    calm = made.attempt(Shortage(Pause(stop), number, ""))
    assert (calm.fired, calm.idle) == (0, "the same happens where no call fails")


def test_a_failure_that_never_comes_proves_nothing(tmp_path: Path) -> None:
    made = engine(WriterDisksEngine, filled.Table, tmp_path)
    assert made.attempt(Shortage(Pause(999), 999, "EIO")).fired == 0
    assert made.attempt(Shortage(Pause(min(made.inside())), 999, "EIO")).fired == 0


def test_every_call_that_can_fail_does_so_first_with_a_stop_at_its_operation_or_at_itself(tmp_path: Path) -> None:
    made = engine(WriterDisksEngine, filled.Table, tmp_path)
    faults = list(made.faults())
    assert len(set(faults)) == len(faults)
    for error in ("ENOSPC", "EIO"):
        assert {fault.call for fault in faults if fault.error == error} == set(made.targets[error])
    first = faults[: sum(map(len, made.targets.values()))]
    assert all(fault.pause.call in (min(made.inside()), fault.call) for fault in first)
    assert any(fault.part for fault in first) and {fault.pause.early for fault in first} == {True, False}
    alone = WriterDisksEngine(
        bench(filled.Table, tmp_path / "one"), Workload("one", (By(1, Put("a", "1")),)), "writers", "processes"
    )
    assert alone.rehearse() == "" and list(alone.faults()) == []


def test_words_for_what_fails() -> None:
    full = Shortage(Pause(1), 7, "ENOSPC", part=True).describe()
    assert full.endswith("from its I/O call number 7 on, of which a part still fitted, until its operation had ended")
    assert Shortage(Pause(1), 7, "").describe().endswith("; no call failed")
