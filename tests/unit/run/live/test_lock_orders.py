"""Orders of locks in which no schedule had struck: those that are led to a deadlock, and those that never are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness import Delete, Get, Put
from harness.core.trace import CallSite
from harness.core.verdict import Verdict
from harness.core.workload import By, Workload
from harness.inject.writers import Crossing, Stand, Turns
from harness.judge.lock_order import Hold, Request
from harness.run.encoding import decode_value, encode_value, operation_types
from harness.run.live import crossings
from harness.run.live.crossings import LockOrders, Scene
from harness.run.live.engines import ENGINES, fault_types
from harness.run.live.lanes import Lane
from harness.run.live.threads import ThreadsEngine
from harness.run.live.values import Trial
from tests.stores import ordered
from tests.stores.conduct import certified, happens_again, small_runs, spec, verdicts
from tests.unit.run.live.benches import bench

PUTS = Workload("puts", (By(0, Put("a", "0")), By(1, Put("a", "1")), By(2, Put("b", "2")), By(2, Get("b"))))
SOUND = (
    *(ordered.Ordered, ordered.Reentrant, ordered.Gated, ordered.BacksOff, ordered.BacksOffLater),
    *(ordered.LocksARecord, ordered.KeyByKey),
)


def engine(adapter: Any, folder: Path, workload: Workload = PUTS) -> ThreadsEngine:
    made = ThreadsEngine(bench(adapter, folder), workload, "writers", "threads")
    assert made.rehearse() == ""
    return made


def led(made: ThreadsEngine) -> list[tuple[Crossing, Trial]]:
    """What came of the schedules that lead to cycles."""
    return [(fault, made.attempt(fault)) for fault in made.afterwards()]


# --- deadlocks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "adapter", [ordered.CompactsOnDemand, ordered.CompactsNowAndThen, ordered.LocksAFile, ordered.KeyByValue]
)
def test_locks_in_two_orders_that_no_pair_has_met_are_led_to_a_deadlock(adapter: Any, tmp_path: Path) -> None:
    """No single switch strikes. The story tells the stack of each thread, and what it has locked."""
    made = engine(adapter, tmp_path)
    singles = [fault for fault in made.faults() if len(fault.switches) == 1]
    assert singles and all(made.attempt(fault).violation is None for fault in singles)
    fault, trial = led(made)[-1]
    assert trial.violation is not None and trial.exhibit is not None
    assert trial.violation.kind == "deadlock" and trial.fired
    assert trial.violation.sentence.count(" stands in line ") == 2
    assert trial.exhibit.called.count(", with what it locked in line ") == 2 and "called from" in trial.exhibit.called
    stands = re.findall(r" stands in line (\d+) ", trial.violation.sentence)
    assert sorted(stand.asking for stand in fault.stands) == sorted(f"ordered.py:{line}" for line in stands)
    assert fault.describe() in trial.exhibit.lines[-1]
    assert made.notes() == [] and made.orders.count >= 2


def test_a_deadlock_that_takes_three_switches_is_led_to_from_a_run_with_two(tmp_path: Path) -> None:
    """Who never meets shows one order alone; where they met they are held back at the same turns."""
    made = engine(ordered.Helps, tmp_path)
    assert led(made) == [] and made.notes() == []
    assert made.attempt(Turns((2, 4))).violation is None
    fault, trial = led(made)[-1]
    assert trial.violation is not None and trial.violation.kind == "deadlock"
    assert fault.switches == (2, 4) and not fault.meeting


def test_three_threads_of_which_no_two_are_at_odds_are_led_to_a_deadlock(tmp_path: Path) -> None:
    fault, trial = led(engine(ordered.Ring, tmp_path))[-1]
    assert trial.violation is not None and trial.violation.kind == "deadlock"
    assert trial.violation.sentence.count(" stands in line ") == len(fault.stands) == 3


def test_the_same_schedule_strikes_again_when_it_is_read_from_a_certificate(tmp_path: Path) -> None:
    fault, trial = led(engine(ordered.CompactsNowAndThen, tmp_path / "first"))[-1]
    types = {**operation_types(ordered.CompactsNowAndThen), **fault_types()}
    again = engine(ordered.CompactsNowAndThen, tmp_path / "second").attempt(decode_value(encode_value(fault), types))
    assert again.violation == trial.violation and again.site == trial.site
    assert {Crossing, Stand} <= set(ENGINES["writers-threads"].fault_types)


# --- none -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", SOUND)
def test_orders_that_cannot_meet_are_not_even_tried(adapter: Any, tmp_path: Path) -> None:
    made = engine(adapter, tmp_path)
    assert led(made) == [] and made.notes() == []
    assert (made.orders.count > 0) == (adapter is not ordered.LocksARecord)


def test_what_never_strikes_is_a_note_and_no_violation(tmp_path: Path) -> None:
    """Threads wait for each other by a condition, which is no lock that they have meanwhile."""
    made = engine(ordered.Waits, tmp_path)
    trials = led(made)
    assert len(trials) == crossings.TRIED_MOST
    assert all(trial.violation is None and not trial.unknown for _, trial in trials)
    [note] = made.notes()
    assert note.startswith("lock order: A then B in line ") and "B then A in line " in note
    assert note.endswith(f"; none of {crossings.TRIED_MOST} schedules made it strike")


def test_what_an_ordinary_schedule_has_struck_is_not_tried_again(tmp_path: Path) -> None:
    removes = Workload("compacts", (By(0, Put("a", "0")), By(1, Put("b", "1")), By(2, ordered.Compact())))
    made = engine(ordered.CompactsOnDemand, tmp_path, removes)
    trials = [made.attempt(fault) for fault in made.faults() if len(fault.switches) == 1]
    assert [trial.violation.kind for trial in trials if trial.violation is not None] == ["deadlock"]
    assert led(made) == [] and made.notes() == []


def test_one_client_alone_meets_nobody(tmp_path: Path) -> None:
    alone = Workload("alone", (By(1, Put("a", "1")),))
    assert led(engine(ordered.CompactsOnDemand, tmp_path, alone)) == []


# --- on a certificate -----------------------------------------------------------------------------


def test_a_cycle_that_strikes_is_a_finding_that_is_confirmed_and_can_be_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of locks whose makers have another name in the module of the store."""
    small_runs(monkeypatch)
    certificate = certified(spec("BoundByName", "ordered.py"), "writers-threads")
    [finding] = certificate.findings
    assert verdicts(certificate) == {"writers": Verdict.FAIL}
    assert (finding.kind, finding.claim, finding.confirmed) == ("deadlock", "writers", True)
    assert finding.story is not None and finding.story.called.count("with what it locked in line ") == 2
    assert happens_again(certificate, tmp_path)


def test_a_cycle_that_does_not_strike_stands_beside_the_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    small_runs(monkeypatch)
    certificate = certified(spec("Waits", "ordered.py"), "writers-threads")
    [row] = certificate.evidence
    assert row.verdict is Verdict.PASS and certificate.findings == ()
    assert [reason.partition(":")[0] for reason in row.reasons] == ["lock order"]
    assert row.bounds["lock_orders"] == 2


# --- what is remembered ---------------------------------------------------------------------------


def hold(lock: str, line: int, holder: str = "") -> Hold:
    return Hold(lock, f"the lock {lock}", CallSite("store.py", line, "f"), holder=holder)


def request(held: str, wanted: str, line: int, thread: str = "0", number: int = 0) -> Request:
    return Request(thread, (hold(held, line),), hold(wanted, line + 1), (int(thread), number))


SCENE = Scene((Lane(1, ((0, Put("a", "1")), (1, Delete("a")))), Lane(2, ((2, Put("b", "2")),))))
SURVEY = Scene(SCENE.lanes, in_turn=True)


def test_orders_of_several_runs_are_joined_by_locks_that_all_have() -> None:
    """Which thread it was does not matter: any client may do the same."""
    orders = LockOrders()
    orders.add(SCENE, [request("opening 1", "opening 2", 10)])
    assert list(orders.crossings()) == []
    orders.add(SCENE, [request("opening 2", "opening 1", 20)])
    assert len(list(orders.crossings())) > 0


def test_a_lock_of_one_run_is_another_one_in_the_next() -> None:
    orders = LockOrders()
    orders.add(SCENE, [request("later 1", "opening 1", 10)])
    orders.add(SCENE, [request("opening 1", "later 1", 20)])
    orders.add(SCENE, [request("opening 1", "later 1", 20), request("later 1", "opening 1", 10)])  # by one thread
    assert list(orders.crossings()) == [] and orders.count == 2
    orders.add(SCENE, [request("opening 1", "later 1", 20), request("later 1", "opening 1", 10, "1", 2)])
    assert list(orders.crossings())


def test_operations_meet_on_the_first_state_and_after_what_had_been_done() -> None:
    orders = LockOrders()
    orders.add(SURVEY, [request("opening 1", "opening 2", 10), request("opening 2", "opening 1", 20, "1", 2)])
    first, second = Put("a", "1"), Put("b", "2")
    done = (Put("a", "1"), Delete("a"))
    assert [(each.before, each.meeting) for each in orders.crossings()] == [
        *(((), (first, second)), ((), (second, first))),
        *((done, (first, second)), (done, (second, first))),
    ]


def test_more_orders_than_are_compared_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = LockOrders()
    orders.add(SCENE, [], complete=False)
    assert orders.notes() == ["lock order: there were more orders of locks than are compared"]
    monkeypatch.setattr(crossings, "_REQUESTS_MOST", 1)
    full = LockOrders()
    full.add(SCENE, [request("opening 1", "opening 2", 10), request("opening 2", "opening 1", 20)])
    assert full.notes() == orders.notes() and not full.is_complete


def test_a_cycle_that_was_not_tried_is_told_all_the_same() -> None:
    orders = LockOrders()
    orders.add(SCENE, [request("opening 1", "opening 2", 10), request("opening 2", "opening 1", 20)])
    assert orders.notes()[0].endswith("; there was no time to try it")
    orders.deadlocked({"store.py:11", "store.py:21", "other.py:1"})
    assert orders.notes() == [] == list(orders.crossings())
