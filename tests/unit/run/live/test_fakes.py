"""Full disks in memory: what they show, what is sound, and that nothing real is reached."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import Append, Save
from harness.core.workload import Workload
from harness.inject import fakes as inject
from harness.judge.classify import Violation
from harness.run.live import fakes
from harness.run.live.bench import Bench
from harness.run.live.fakes import FakeDisksEngine, FakeFullDisk
from tests.unit.run.live import failing_stores as stores

SAVES = (Save({"n": 1}), Save({"n": 2}))
Make = Callable[[Any], Bench]


class ClosedQuietly(stores.Documents):
    """Writes through a buffer and does not ask how the close went."""

    def save(self, store: Path, data: bytes) -> None:
        out = (store / "new").open("wb")
        try:
            out.write(data)
        finally:
            with contextlib.suppress(OSError):
                out.close()
        os.replace(store / "new", store / "document")


def engine(make_bench: Make, adapter: Any, steps: tuple[Any, ...] = SAVES) -> FakeDisksEngine:
    return FakeDisksEngine(make_bench(adapter), Workload("short", steps), "io_error", "fails_cleanly")


def test_half_a_document_that_is_installed(make_bench: Make) -> None:
    made = engine(make_bench, ClosedQuietly)
    assert made.rehearse() == ""
    trial = made.attempt(FakeFullDisk(1))
    assert trial.fired and trial.violation is not None
    assert trial.violation.kind == "cannot_open"
    assert trial.site is not None and trial.site.function == "ClosedQuietly.save"


def test_a_full_disk_that_is_raised_is_no_finding(make_bench: Make) -> None:
    made = engine(make_bench, stores.Documents)
    assert made.rehearse() == ""
    assert made.operations == 4
    trials = [made.attempt(fault) for fault in list(made.faults())[::6]]
    assert all(trial.violation is None for trial in trials)
    assert sum(trial.fired for trial in trials) > 0
    assert list(made.bench.directory.iterdir()) == [], "nothing of it was real"


def test_a_store_that_uses_what_can_not_be_faked_is_not_tried(make_bench: Make) -> None:
    made = engine(make_bench, stores.Log, (Append("a"),))
    assert made.rehearse() == "it calls os.pread, which can't be faked"
    assert list(made.bench.directory.iterdir()) == []


def test_without_pyfakefs_nothing_is_tried(make_bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakes, "available", lambda: False)
    assert "not installed" in engine(make_bench, stores.Documents).rehearse()
    assert inject.available()


def test_a_store_that_ends_its_process_is_not_tried(make_bench: Make) -> None:
    class Ending(stores.Documents):
        def save(self, store: Path, data: bytes) -> None:
            os._exit(3)

    made = engine(make_bench, Ending)
    assert "does not get through" in made.rehearse()
    assert made.attempt(FakeFullDisk(0)).fired == 0


def test_a_store_that_fails_by_itself_is_not_tried(make_bench: Make) -> None:
    class Failing(stores.Documents):
        def save(self, store: Path, data: bytes) -> None:
            raise ValueError("no")

    assert "no" in engine(make_bench, Failing).rehearse()


def test_who_takes_too_long_is_ended(make_bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakes, "_PATIENCE_S", 0.0)
    made = engine(make_bench, stores.Documents)
    assert "does not get through" in made.rehearse()
    assert made.child is not None and made.child.process == 0


def test_amounts_are_taken_from_all_parts_first(make_bench: Make) -> None:
    made = engine(make_bench, stores.Documents)
    made.used_bytes = 10_000
    amounts = [fault.free_bytes for fault in made.faults()]
    assert len(amounts) == len(set(amounts)) == fakes.SWEEP
    assert max(amounts[:20]) > 9_000


def test_a_trial_that_ended_its_worker(make_bench: Make) -> None:
    trial = engine(make_bench, stores.Documents).ended(FakeFullDisk(7), Violation("hang", "it did not return"))
    assert trial.exhibit is not None and "7 bytes" in trial.exhibit.reached
