"""Threads that share a handle: what they lose, where they wait for each other, and handles that bear it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from harness import KEY_VALUE, Contract, Delete, Get, Put
from harness.core.workload import By, Workload
from harness.inject.writers import Turns
from harness.run.live import threads, turnstile, writers
from harness.run.live.threads import ThreadsEngine
from store_under_test.defective import (
    d44_unlocked_shared_table,
    d45_locks_in_two_orders,
    n17_shared_handle_with_lock,
)
from tests.unit.run.live import writing
from tests.unit.run.live.benches import bench

PUTS = Workload("puts", (By(0, Put("a", "0")), By(1, Put("a", "1")), By(2, Put("b", "2")), By(2, Get("b"))))
REMOVES = Workload("removes", (By(0, Put("a", "0")), By(1, Put("b", "1")), By(2, Delete("a"))))


def engine(adapter: Any, folder: Path, workload: Workload = PUTS) -> ThreadsEngine:
    return writing.engine(ThreadsEngine, adapter, folder, workload)


def singles(engine: ThreadsEngine) -> list[Turns]:
    return [fault for fault in engine.faults() if len(fault.switches) == 1]


def found(made: ThreadsEngine) -> set[tuple[str, str]]:
    """Kinds and sources of the lines that are blamed, over all single switches."""
    return writing.found(made, singles(made), writing.line_of)


def test_a_change_that_another_thread_makes_meanwhile_is_lost(tmp_path: Path) -> None:
    """One finding, wherever the first stood; the same schedule finds the same."""
    made = engine(d44_unlocked_shared_table.Adapter, tmp_path)
    assert found(made) == {("lost_update", "os.replace(temporary, self._path)")}
    first = singles(made)[0]
    assert made.attempt(first).violation == made.attempt(first).violation is not None


def test_under_a_lock_nothing_is_lost(tmp_path: Path) -> None:
    assert found(engine(n17_shared_handle_with_lock.Adapter, tmp_path)) == set()


def test_locks_in_two_orders_end_in_a_deadlock(tmp_path: Path) -> None:
    """The story says where each thread stands."""
    made = engine(d45_locks_in_two_orders.Adapter, tmp_path, REMOVES)
    assert found(made) == {("deadlock", "with self._file:")}
    [trial] = [trial for fault in singles(made) if (trial := made.attempt(fault)).violation is not None]
    assert trial.violation is not None and trial.exhibit is not None
    assert "client 1 stands in line" in trial.violation.sentence and "in SharedTable.delete" in trial.violation.sentence
    assert "client 2 stands in line" in trial.exhibit.called


def test_pairs_of_switches_follow_the_single_ones(tmp_path: Path) -> None:
    made = engine(n17_shared_handle_with_lock.Adapter, tmp_path)
    doubles = [fault for fault in made.faults() if len(fault.switches) == 2]
    assert doubles and made.attempt(doubles[0]).violation is None
    alone = Workload("alone", (By(1, Put("a", "1")),))
    assert list(engine(n17_shared_handle_with_lock.Adapter, tmp_path / "alone", alone).faults()) == []


def test_without_a_switch_nothing_is_proved(tmp_path: Path) -> None:
    trial = engine(n17_shared_handle_with_lock.Adapter, tmp_path).attempt(Turns((9_999,)))
    assert trial.fired == 0 and trial.idle == "no thread had to wait for another"


class Handle:
    """Keeps what it is told in memory and in a file."""

    name = "handle"
    model = KEY_VALUE
    contract = Contract(power_loss=None, io_error=None, corruption=None, writers="threads")

    def open(self, directory: Path) -> Any:
        self.file = directory / "file"
        return {"lock": threading.Lock()}

    def apply(self, store: Any, operation: Any) -> Any:
        with self.file.open("a") as out:
            out.write(f"{operation.key} {operation.value}\n")

    def snapshot(self, store: Any) -> dict[str, str]:
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return dict(line.split() for line in lines)

    def close(self, store: Any) -> None:
        pass


PAIR = Workload("pair", (By(1, Put("a", "1")), By(2, Put("b", "2"))))


class Closed(Handle):
    def open(self, directory: Path) -> Any:
        raise OSError("closed today")


class Ends(Handle):
    """Ends its process where two threads are in it at once."""

    def apply(self, store: Any, operation: Any) -> Any:
        if store.get("busy"):
            os._exit(7)
        store["busy"] = True
        super().apply(store, operation)
        store["busy"] = False


class Leaks(Handle):
    """Who comes while another is there takes the lock and keeps it; and waits for ever."""

    def apply(self, store: Any, operation: Any) -> Any:
        if store.get("busy"):
            store["lock"].acquire()
            store["lock"].acquire()
        store["busy"] = True
        super().apply(store, operation)
        store["busy"] = False


class Sleeps(Leaks):
    def apply(self, store: Any, operation: Any) -> Any:
        if store.get("busy"):
            time.sleep(1_000)
        store["busy"] = True
        Handle.apply(self, store, operation)
        store["busy"] = False


class AlwaysLeaks(Handle):
    def apply(self, store: Any, operation: Any) -> Any:
        store["lock"].acquire()
        store["lock"].acquire()


def rehearsal(adapter: Any, folder: Path, workload: Workload = PAIR) -> str:
    return ThreadsEngine(bench(adapter, folder), workload, "writers", "threads").rehearse()


def test_what_cannot_run_without_a_switch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rehearsal(Closed, tmp_path / "a") == "open raised OSError: closed today"
    assert rehearsal(AlwaysLeaks, tmp_path / "b") == "threads that come in turn wait for each other"
    late = type("Late", (Handle,), {"contract": Contract(process_crash="prefix", power_loss=None, writers="threads")})
    assert "owed only later" in rehearsal(late, tmp_path / "c")
    monkeypatch.setattr(os, "fork", lambda: (_ for _ in ()).throw(OSError(11, "no more")))
    assert rehearsal(Handle, tmp_path / "d") == "no process can be forked here (no more)"


def test_a_process_that_ends_is_told(tmp_path: Path) -> None:
    made = engine(Ends, tmp_path, PAIR)
    trials = [made.attempt(fault) for fault in singles(made)]
    kinds = [trial.violation.kind for trial in trials if trial.violation is not None]
    assert kinds == ["cannot_open"]
    assert any("more of that says nothing new" in trial.idle for trial in trials)


def test_one_that_waits_for_itself_hangs(tmp_path: Path) -> None:
    made = engine(Leaks, tmp_path, PAIR)
    violations = [trial.violation for fault in singles(made) if (trial := made.attempt(fault)).violation]
    assert [violation and violation.kind for violation in violations] == ["hang"]


def test_one_that_sleeps_for_ever_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine(Sleeps, tmp_path, PAIR)
    monkeypatch.setattr(turnstile, "PATIENCE_S", 0.05)
    trial = next(trial for fault in singles(made) if (trial := made.attempt(fault)).violation is not None)
    assert trial.violation is not None and trial.violation.kind == "hang"


def test_a_process_that_never_answers_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine(Sleeps, tmp_path, PAIR)
    monkeypatch.setattr(threads, "PATIENCE_S", 0.2)
    assert writers.PATIENCE_S > 0.2
    trial = next(trial for fault in singles(made) if (trial := made.attempt(fault)).violation is not None)
    assert trial.violation is not None and trial.violation.kind == "hang" and "SIGKILL" in trial.violation.sentence
