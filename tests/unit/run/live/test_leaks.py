"""What stays behind when a store is opened and closed again and again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import Append
from harness.core.workload import Workload
from harness.inject.leaks import Cycle, LeakFault
from harness.judge.classify import Violation
from harness.run.live import leaks
from harness.run.live.leaks import LeakEngine
from tests.stores import skewed, wasteful
from tests.unit.run.live.engine_benches import PAIRS, kinds, rehearsed, tried

REOPEN = LeakFault(Cycle.REOPEN)
PATIENT = LeakFault(Cycle.REOPEN, 1_000)


def engine(adapter: Any, tmp_path: Path, workload: Workload = PAIRS) -> LeakEngine:
    made: LeakEngine = rehearsed(LeakEngine, adapter, tmp_path, workload, claim="io_error")
    return made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many cycles as are needed, however slow the machine is."""
    monkeypatch.setattr(leaks, "CYCLES", 96)
    monkeypatch.setattr(leaks, "_SECONDS", 60.0)
    monkeypatch.setattr(leaks, "_PATIENT_SECONDS", 300.0)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """The rehearsal of a store that keeps threads keeps some here."""
    wasteful.KeepsThreads.over.clear()
    yield
    wasteful.KeepsThreads.over.set()
    while wasteful.KeepsThreads.kept:
        wasteful.KeepsThreads.kept.pop().join()


@pytest.mark.parametrize(
    ("adapter", "what"),
    [
        (wasteful.KeepsDescriptors, "open descriptors"),
        (wasteful.KeepsFiles, "files in the directory"),
        (wasteful.KeepsThreads, "threads"),
        (wasteful.KeepsMemory, "bytes of memory"),
    ],
)
def test_what_grows_is_found_and_who_opened_it(adapter: Any, what: str, tmp_path: Path) -> None:
    [trial] = tried(engine(adapter, tmp_path), [REOPEN])

    assert trial.violation is not None and trial.violation.kind == "leak"
    assert what in trial.violation.sentence
    assert trial.site is not None and trial.site.function == f"{adapter.__name__}.open"


@pytest.mark.parametrize(
    ("adapter", "what"),
    [
        (wasteful.KeepsOneInForty, "open descriptors"),
        (wasteful.LeavesOneInForty, "files in the directory"),
    ],
)
def test_what_grows_seldom_is_found_in_many_cycles(adapter: Any, what: str, tmp_path: Path) -> None:
    many = LeakFault(Cycle.REOPEN, 672)
    [trial] = tried(engine(adapter, tmp_path), [many])

    assert trial.violation is not None and what in trial.violation.sentence
    assert trial.cycles == many.cycles
    assert trial.site is not None and trial.site.function == f"{adapter.__name__}.open"


def test_a_large_cache_settles_in_a_thousand_cycles(tmp_path: Path) -> None:
    [trial] = tried(engine(wasteful.CachesMany, tmp_path), [PATIENT])

    assert trial.violation is None and trial.fired and trial.cycles == PATIENT.cycles


def test_a_slow_store_gets_as_far_as_its_time_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "_PATIENT_SECONDS", 0.0)
    [trial] = tried(engine(wasteful.Careful, tmp_path), [PATIENT])

    assert trial.fired and 0 < trial.cycles < PATIENT.cycles


def test_a_profile_says_how_many_cycles(tmp_path: Path) -> None:
    made = engine(wasteful.Careful, tmp_path)
    made.bench.extra = {"reopenings": PATIENT.cycles}
    assert next(iter(made.faults())) == PATIENT


def test_a_file_for_each_save_is_found(tmp_path: Path) -> None:
    [reopened, overwritten] = tried(engine(wasteful.KeepsVersions, tmp_path))

    assert kinds([reopened]) == set() and kinds([overwritten]) == {"leak"}
    assert overwritten.site is not None and overwritten.site.function == "KeepsVersions.write"


@pytest.mark.parametrize("adapter", [wasteful.Careful, wasteful.KeepsFew, wasteful.KeepsChanges])
def test_what_settles_is_left_alone(adapter: Any, tmp_path: Path) -> None:
    trials = tried(engine(adapter, tmp_path))

    assert kinds(trials) == set() and all(trial.fired for trial in trials)


def test_a_log_grows_when_it_is_written_to(tmp_path: Path) -> None:
    faults = list(engine(skewed.InOrder, tmp_path, Workload("log", (Append("a"),))).faults())
    assert faults == [REOPEN]


def test_a_store_that_fails_before_anything_can_be_said_proves_nothing(tmp_path: Path) -> None:
    class Fails(wasteful.Careful):
        def snapshot(self, store: Path) -> Any:
            raise ValueError("no")

    [trial] = tried(engine(Fails, tmp_path), [REOPEN])
    assert not trial.fired and trial.violation is None


def test_what_ended_a_worker_is_told(tmp_path: Path) -> None:
    trial = engine(wasteful.Careful, tmp_path).ended(REOPEN, Violation("hang", "it did not return"))
    assert trial.exhibit is not None and trial.exhibit.reached.startswith("The store is opened, read and closed")
