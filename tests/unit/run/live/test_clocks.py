"""Clocks that go wrong: what goes by them is found, what does not is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import DOCUMENT, KEY_VALUE, LOG, Contract
from harness.core.workload import Workload
from harness.inject.clocks import ClockFault, ClockMoment, ClockShape
from harness.judge.classify import Violation
from harness.run.live import timepiece
from harness.run.live.clocks import ClockEngine
from harness.run.live.contended import pair_of
from tests.stores import skewed
from tests.stores.honest import Sound
from tests.unit.run.live.engine_benches import PAIRS, RECORDS, bench, functions, kinds, rehearsed, tried

BACK = ClockFault(ClockShape.STEP, -3600.0, ClockMoment.BETWEEN, 1)
FORWARD = ClockFault(ClockShape.STEP, 3600.0, ClockMoment.BETWEEN, 1)
AUTUMN = ClockFault(ClockShape.SUMMER_ENDS, 0.0, ClockMoment.BETWEEN, 1)


def engine(adapter: Any, tmp_path: Path, workload: Workload = RECORDS) -> ClockEngine:
    made: ClockEngine = rehearsed(ClockEngine, adapter, tmp_path, workload)
    return made


def test_order_by_the_wall_clock_is_found_and_the_stamp_is_to_blame(tmp_path: Path) -> None:
    [trial] = tried(engine(skewed.Stamped, tmp_path), [BACK])

    assert trial.fired and trial.violation and trial.violation.kind == "torn_operation"
    assert trial.site is not None and trial.site.function == "Stamped.stamp"
    assert trial.exhibit is not None and "<the wall clock is set 1 hour back>" in trial.exhibit.lines
    assert {row.fault for row in trial.struck} == {"step"}


def test_order_by_local_time_is_found_when_summer_ends(tmp_path: Path) -> None:
    """The wall clock goes on as ever; only its local form repeats an hour."""
    assert kinds(tried(engine(skewed.Stamped, tmp_path), [AUTUMN])) == set()
    [trial] = tried(engine(skewed.Local, tmp_path), [AUTUMN])

    assert kinds([trial]) == {"torn_operation"} and functions([trial]) == {"Local.stamp"}


def test_order_by_the_times_of_files_is_found(tmp_path: Path) -> None:
    [trial] = tried(engine(skewed.Newest, tmp_path), [BACK])

    assert kinds([trial]) == {"torn_operation"} and functions([trial]) == {"Newest.rank"}


def test_waiting_for_a_clock_that_was_set_back_is_a_hang(tmp_path: Path) -> None:
    [trial] = tried(engine(skewed.Waits, tmp_path), [BACK])

    assert kinds([trial]) == {"hang"} and functions([trial]) == {"Waits.apply"}


def test_a_store_that_works_no_more_once_the_clock_is_right_is_found(tmp_path: Path) -> None:
    fault = ClockFault(ClockShape.STEP, 2.0**32, ClockMoment.BETWEEN, 1)

    assert kinds(tried(engine(skewed.Sour, tmp_path), [fault])) == {"not_writable"}
    assert kinds(tried(engine(skewed.Refuses, tmp_path), [fault])) == set()


@pytest.mark.parametrize("adapter", [skewed.InOrder, skewed.Refuses, Sound])
def test_stores_that_do_not_go_by_the_clock_are_left_alone(adapter: Any, tmp_path: Path) -> None:
    """Every fault there is; each of them fires."""
    trials = tried(engine(adapter, tmp_path, PAIRS if adapter is Sound else RECORDS))

    assert kinds(trials) == set()
    assert len(trials) > 5 and all(trial.fired for trial in trials)


def test_the_same_faults_for_the_same_workload(tmp_path: Path) -> None:
    first, second = (engine(skewed.InOrder, tmp_path) for _ in range(2))

    assert list(first.faults()) == list(second.faults())
    assert {fault.moment for fault in first.faults()} == {
        ClockMoment.BETWEEN,
        ClockMoment.INSIDE,
        ClockMoment.REOPEN,
    }
    assert {fault.shape for fault in first.faults()} == set(ClockShape)


def test_a_store_that_looks_at_no_clock_gets_only_a_few(tmp_path: Path) -> None:
    assert len(list(engine(Sound, tmp_path, PAIRS).faults())) < len(
        list(engine(skewed.InOrder, tmp_path).faults())
    )


def test_a_store_that_is_wrong_without_any_fault_is_not_tried(tmp_path: Path) -> None:
    class Wrong(skewed.InOrder):
        def snapshot(self, store: Path) -> Any:
            return ["something else"]

    refused = ClockEngine(bench(Wrong, tmp_path), RECORDS, "process_crash", "acknowledged")

    assert "without any fault" in refused.rehearse()


def test_a_mechanism_that_does_not_work_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timepiece, "probe", lambda: "the clocks can't be changed here: time.time")
    refused = ClockEngine(bench(Sound, tmp_path), PAIRS, "process_crash", "acknowledged")

    assert refused.rehearse() == "the clocks can't be changed here: time.time"


def test_what_ended_a_worker_is_told_without_running_anything(tmp_path: Path) -> None:
    trial = engine(skewed.InOrder, tmp_path).ended(BACK, Violation("hang", "it did not return"))

    assert trial.violation == Violation("hang", "it did not return") and trial.exhibit is not None
    assert trial.exhibit.lines[-1] == "<the wall clock is set 1 hour back before step 2>"


# --- two processes ------------------------------------------------------------------------------


def test_a_lock_that_expires_by_the_wall_clock_is_found(tmp_path: Path) -> None:
    """Somebody sets the clock forward while it is held, and two writers believe that they hold it."""
    tested = engine(skewed.Locked, tmp_path, PAIRS)
    trials = tried(tested, contended(tested))

    assert "lost_update" in kinds(trials) <= {"lost_update", "torn_operation", "cannot_open"}
    assert functions(trials) == {"Locked.stamp"}


def test_a_wait_for_a_lock_by_a_clock_that_is_set_back_is_a_hang(tmp_path: Path) -> None:
    tested = engine(skewed.Impatient, tmp_path, PAIRS)
    trials = tried(tested, contended(tested))

    assert kinds(trials) == {"hang"} and functions(trials) == {"Impatient.clock"}


def test_locks_that_no_clock_opens_are_left_alone(tmp_path: Path) -> None:
    tested = engine(skewed.Patient, tmp_path, PAIRS)
    trials = tried(tested, contended(tested))

    assert kinds(trials) == set() and any(trial.fired for trial in trials)


def test_a_lock_of_the_kernel_is_not_waited_for_in_vain(tmp_path: Path) -> None:
    """The process that was stopped goes on, and no fault is tried where a clock can't matter."""
    tested = engine(skewed.Flocked, tmp_path, PAIRS)
    fault = ClockFault(ClockShape.STEP, 3600.0, ClockMoment.HELD, 2)
    [trial] = tried(tested, [fault])

    assert kinds([trial]) == set()
    assert tested._calm(2).alone


def test_one_writer_is_not_tried_with_two(tmp_path: Path) -> None:
    assert not contended(engine(skewed.InOrder, tmp_path))


def contended(tested: ClockEngine) -> list[ClockFault]:
    return [fault for fault in tested.faults() if fault.moment in (ClockMoment.HELD, ClockMoment.WAITING)]


def test_less_is_owed_where_less_is_promised(tmp_path: Path) -> None:
    """A store that promises a prefix may lose the last records by a strange clock, as it may by anything else."""

    class Prefix(skewed.InOrder):
        contract = Contract(process_crash="prefix", power_loss=None, io_error=None, corruption=None)

        def snapshot(self, store: Path) -> Any:
            return [record for stamp, record in self.rows(store) if stamp <= 2**31]

    fault = ClockFault(ClockShape.STEP, 2.0**32, ClockMoment.BETWEEN, 2)
    strict = engine(Prefix, tmp_path)
    lenient = rehearsed(ClockEngine, Prefix, tmp_path, RECORDS, promise="prefix")

    assert kinds(tried(strict, [fault])) == {"lost_acknowledged"}
    assert kinds(tried(lenient, [fault])) == set()


@pytest.mark.parametrize("model", [KEY_VALUE, LOG, DOCUMENT, object()])
def test_two_operations_that_do_not_undo_each_other(model: Any) -> None:
    """New ones for the built-in models, the last two of the workload for a model of the user's own."""
    first, second = pair_of(model, PAIRS)

    assert first != second
    assert ((first, second) == PAIRS.steps) is (model not in (KEY_VALUE, LOG, DOCUMENT))
