"""Syncs that fail, and then the power does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import Append, Contract, Save
from harness.core.persistence import EXT4, MAX_LOSS, STRICT
from harness.core.trace import FailedSync, MarkerKind
from harness.core.workload import Reopen, Workload
from harness.inject.syncs import Aftermath, SyncFault
from harness.judge.classify import Violation
from harness.run.live.bench import Bench
from harness.run.live.syncs import SyncGate, SyncsEngine, models_of, record_with, repaired
from tests.unit.run.live import failing_stores as stores

SAVES = (Save({"n": 1}), Save({"n": 2}))
APPENDS = (Append("one"), Append("two" * 3000), Append("three"))

Make = Callable[[Any], Bench]


def engine(make_bench: Make, adapter: Any, steps: tuple[Any, ...]) -> SyncsEngine:
    made = SyncsEngine(make_bench(adapter), Workload("short", steps), "io_error", "fails_cleanly")
    assert made.rehearse() == ""
    return made


def broken(made: SyncsEngine) -> set[tuple[str, str, Aftermath]]:
    found = set()
    for fault in made.faults():
        trial = made.attempt(fault)
        if trial.violation is not None:
            assert trial.site is not None
            line = Path(trial.site.file).read_text().splitlines()[trial.site.line - 1].strip()
            found.add((trial.violation.kind, line, fault.aftermath))
    return found


def test_a_sync_error_that_is_swallowed_costs_what_was_acknowledged(make_bench: Make) -> None:
    found = broken(engine(make_bench, stores.SwallowedSync, SAVES))
    assert {kind for kind, _, _ in found} <= {"cannot_open", "swallowed_error", "torn_operation", "phantom"}
    assert {line for _, line, _ in found} == {"os.fsync(descriptor)"}
    assert {aftermath for _, _, aftermath in found} >= {Aftermath.CLEAN, Aftermath.REVERTED}


def test_a_sync_that_is_tried_again_and_believed(make_bench: Make) -> None:
    found = broken(engine(make_bench, stores.PatientLog, APPENDS))
    assert {aftermath for _, _, aftermath in found} >= {Aftermath.CLEAN, Aftermath.LATE}
    assert {line for _, line, _ in found} == {"os.fsync(store)"}


def test_a_sync_on_demand_that_is_asked_for_again_and_believed(make_bench: Make) -> None:
    """The workload need not have a sync: some follow it."""
    found = broken(engine(make_bench, stores.SyncsOnceMore, (Append("one"),)))
    assert "lost_acknowledged" in {kind for kind, _, _ in found}
    assert {line for _, line, _ in found} == {"os.fsync(store)"}
    assert broken(engine(make_bench, stores.SyncsOnDemand, (Append("one"),))) == set()


def test_the_program_of_a_finding_ends_with_the_power(make_bench: Make) -> None:
    made = engine(make_bench, stores.SwallowedSync, SAVES)
    trials = [trial for fault in made.faults() if (trial := made.attempt(fault)).violation is not None]
    programs = [trial.exhibit.lines for trial in trials if trial.exhibit is not None]
    assert len(programs) == len(trials)
    assert all(program[-1] == "<power lost>" for program in programs)
    assert min(map(len, programs)) == 3, "one operation, the fault, the end of the power"


def test_what_was_in_progress_when_the_power_failed_is_not_acknowledged(make_bench: Make) -> None:
    record = taken(make_bench, stores.SwallowedSync, SyncFault(1, Aftermath.CLEAN), SAVES)
    begins = [place for place, event in enumerate(record.trace.events) if event.marker is not None]
    begins = [place for place in begins if record.trace.events[place].marker.kind is MarkerKind.BEGIN]
    first, second = begins
    assert record.program(first) == ("Save({'n': 1})  # not acknowledged",)
    assert record.program(second - 1) == ("Save({'n': 1})  # acknowledged",)
    assert record.program(second)[1] == "Save({'n': 2})  # not acknowledged"
    assert record.program(len(record.trace.events) - 1) == tuple(record.client.lines)
    assert record.program(0) == ()


@pytest.mark.parametrize(
    ("adapter", "steps"),
    [(stores.Documents, SAVES), (stores.Documents, (*SAVES, Reopen(), *SAVES)), (stores.Log, APPENDS)],
    ids=["replaced whole", "reopened", "read-only until reopened"],
)
def test_errors_that_surface_are_no_finding(make_bench: Make, adapter: Any, steps: tuple[Any, ...]) -> None:
    made = engine(make_bench, adapter, steps)
    assert broken(made) == set()
    assert sum(made.attempt(fault).fired > 0 for fault in made.faults()) > 10


def test_a_store_that_promises_a_prefix_may_lose_what_it_had_not_synced(make_bench: Make) -> None:
    class Prefix(stores.Documents):
        contract = Contract(process_crash="prefix", power_loss="prefix")

    assert broken(engine(make_bench, Prefix, SAVES)) == set()


def test_a_store_that_loses_data_anyway_says_nothing_about_failed_syncs(make_bench: Make) -> None:
    made = SyncsEngine(make_bench(stores.NeverSynced), Workload("short", SAVES), "io_error", "fails_cleanly")
    assert "even if every sync works" in made.rehearse()


# --- what a failed sync leaves -----------------------------------------------------------------------


def taken(make_bench: Make, adapter: Any, fault: SyncFault, steps: tuple[Any, ...]) -> Any:
    bench = make_bench(adapter)
    return record_with(bench, SyncGate(bench.directory, fault), steps)


def test_the_trace_says_which_sync_did_not_work(make_bench: Make) -> None:
    record = taken(make_bench, stores.Documents, SyncFault(1, Aftermath.CLEAN), SAVES)
    failed = [effect for event in record.trace.events for effect in event.effects if isinstance(effect, FailedSync)]
    assert len(failed) == 1 and failed[0].reverted is None
    assert list(record.client.errors) == [0]
    again = [effect for event in repaired(record.trace).events for effect in event.effects]
    assert not any(isinstance(effect, FailedSync) for effect in again)


def test_a_file_that_falls_back_holds_what_was_last_synced(make_bench: Make) -> None:
    class Careless(stores.Log):
        def append(self, store: Any, line: bytes) -> None:
            self.write(store, line)
            try:
                import os

                os.fsync(store)
            except OSError:
                return

    record = taken(make_bench, Careless, SyncFault(3, Aftermath.REVERTED), (Append("a"), Append("b"), Append("c")))
    failed = [effect for event in record.trace.events for effect in event.effects if isinstance(effect, FailedSync)]
    assert [effect.reverted for effect in failed] == [b"a\n"]
    assert record.swallowed == {1}
    assert (Path(record.trace.directory) / "log").read_bytes() == b"a\nc\n"


def test_an_error_reported_late_comes_with_the_next_sync_of_that_file(make_bench: Make) -> None:
    steps = (Append("a"), Append("b"), Append("c"))
    record = taken(make_bench, stores.Log, SyncFault(2, Aftermath.LATE), steps)
    assert list(record.client.errors) == [1, 2], "the first is acknowledged, the second raises, the log is sick"


def test_after_an_error_has_surfaced_the_recording_ends_at_the_next_opening(make_bench: Make) -> None:
    record = taken(make_bench, stores.Documents, SyncFault(1, Aftermath.CLEAN), (SAVES[0], Reopen(), SAVES[1]))
    assert len(record.client.operations) == 1


def test_a_trial_that_ended_its_worker(make_bench: Make) -> None:
    made = engine(make_bench, stores.Documents, SAVES)
    trial = made.ended(SyncFault(1, Aftermath.CLEAN), Violation("hang", "it did not return"))
    assert trial.fired == 1 and trial.violation is not None and trial.violation.kind == "hang"


def test_a_fault_beyond_the_last_sync_never_fires(make_bench: Make) -> None:
    assert engine(make_bench, stores.Documents, SAVES).attempt(SyncFault(99, Aftermath.CLEAN)).fired == 0


def test_the_models_that_say_most_are_taken_where_they_are_promised() -> None:
    assert models_of((EXT4, STRICT, MAX_LOSS)) == (MAX_LOSS, STRICT)
    assert models_of((EXT4,)) == (EXT4,)
