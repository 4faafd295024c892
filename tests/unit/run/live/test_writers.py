"""Processes that share a store, one of which stops, dies, or runs with the others: defects, and stores without any."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness import KEY_VALUE, Append, Contract, Get, Put, Unsupported
from harness.core.history import Outcome
from harness.core.workload import By, Workload
from harness.inject.writers import Pause, Race
from harness.judge.classify import Violation
from harness.run.live import lanes, writers
from harness.run.live.writers import ProcessesEngine, RacesEngine, WriterKillsEngine
from store_under_test.defective import (
    d09_shared_temporary_name,
    d43_read_before_lock,
    l29_seek_and_write,
    n10_ordered_by_commit,
    n15_readers_without_lock,
)
from tests.unit.run.live import writing
from tests.unit.run.live.benches import bench

PUTS = Workload("puts", (By(0, Put("a", "0")), By(1, Put("a", "1")), By(2, Put("b", "2")), By(2, Get("b"))))
LONG = Workload("long", (By(1, Append("x" * 400)), By(2, Append("y"))))


def engine(adapter: Any, folder: Path, workload: Workload = PUTS, kind: type[ProcessesEngine] = ProcessesEngine) -> Any:
    return writing.engine(kind, adapter, folder, workload)


def found(made: ProcessesEngine, faults: Iterable[Any]) -> set[tuple[str, str]]:
    """Kinds, and the source of the lines that are blamed."""
    return writing.found(made, faults, writing.line_of)


def at(engine: Any, *names: str, **how: Any) -> list[Pause]:
    """Pauses before the calls with these names, of those inside operations."""
    faults = {pause.call: pause for pause in engine.faults()}
    course = engine.alone.course
    return [Pause(number, **how) for number in sorted(faults) if course[number - 1].name in names]


def test_what_was_read_before_the_lock_overwrites(tmp_path: Path) -> None:
    """Wherever it stands between reading and locking it is one finding: the call that published the old table."""
    made = engine(d43_read_before_lock.Adapter, tmp_path)
    assert found(made, at(made, "flock")) == {("lost_update", "os.replace(temporary, self._path)")}
    assert found(made, at(made, "flock", early=True)) == {("lost_update", "os.replace(temporary, self._path)")}


def test_whoever_reads_under_the_lock_loses_nothing(tmp_path: Path) -> None:
    """The other waits for the lock until the first goes on."""
    made = engine(n15_readers_without_lock.Adapter, tmp_path)
    assert found(made, at(made, "flock", "replace", "write")) == set()


def test_an_end_that_was_sought_too_early_overwrites(tmp_path: Path) -> None:
    made = engine(l29_seek_and_write.Adapter, tmp_path, LONG)
    line = "if os.write(self._file, data) != len(data):"
    assert found(made, at(made, "write", early=True)) == {("lost_update", line)}
    sound = engine(n10_ordered_by_commit.Adapter, tmp_path / "n10", LONG)
    assert found(sound, at(sound, "write", early=True)) == set()


def test_a_shared_temporary_name_mixes_documents(tmp_path: Path) -> None:
    from harness import Save

    steps = (By(1, Save({"n": 1})), By(2, Save({"n": "long" * 20})))
    made = engine(d09_shared_temporary_name.Adapter, tmp_path, Workload("saves", steps))
    assert found(made, at(made, "write")) == {("cannot_open", "os.replace(temporary, self._path)")}


def test_a_story_tells_what_each_client_did(tmp_path: Path) -> None:
    made = engine(d43_read_before_lock.Adapter, tmp_path)
    [fault] = at(made, "flock")
    exhibit = made.attempt(fault).exhibit
    assert exhibit.lines == (
        "client 0: Put('a', '0')  # acknowledged",
        "client 1: Put('a', '1')  # acknowledged",
        "client 2: Put('b', '2')  # acknowledged",
        "client 2: Get('b')  # acknowledged with '2'",
        f"<{fault.describe()}>",
    )
    assert exhibit.called == "client 1 stood still"
    assert exhibit.told.startswith("4 of 4 operations had been answered: client 0: Put('a', '0') 0.000-")


def test_a_process_that_dies_with_the_lock_holds_up_nobody(tmp_path: Path) -> None:
    """The kernel frees it; what the dead one did may have happened or not."""
    made = engine(n15_readers_without_lock.Adapter, tmp_path, kind=WriterKillsEngine)
    faults = at(made, "write", "replace", killed=True)
    assert all(fault.killed for fault in made.faults())
    assert found(made, faults) == set()
    assert made.attempt(faults[0]).struck[0].fault == "kill"


class LockFile:
    """A table in lines behind a lock that is a file, which a dead process leaves behind."""

    name = "lock-file"
    model = KEY_VALUE
    contract = Contract(power_loss=None, io_error=None, corruption=None, writers="processes")
    operations = (Get,)

    def open(self, directory: Path) -> Path:
        if (directory / "lock").exists():
            raise OSError("locked")
        return directory

    def apply(self, store: Path, operation: Any) -> Any:
        lines = self.snapshot(store)
        if isinstance(operation, Get):
            return lines.get(operation.key)
        descriptor = os.open(store / "lock", os.O_CREAT | os.O_EXCL)
        with open(store / "table", "a") as out:
            out.write(f"{operation.key} {operation.value}\n")
        os.close(descriptor)
        os.unlink(store / "lock")
        return None

    def snapshot(self, store: Path) -> dict[str, str]:
        path = store / "table"
        return dict(line.split() for line in path.read_text().splitlines()) if path.exists() else {}

    def close(self, store: Path) -> None:
        pass


def test_a_lock_that_a_dead_process_left_keeps_all_out(tmp_path: Path) -> None:
    made = engine(LockFile, tmp_path, kind=WriterKillsEngine)
    kinds = {kind for kind, _ in found(made, at(made, "write", killed=True, early=True))}
    assert kinds == {"cannot_open"}


def test_nobody_at_work_meanwhile_proves_nothing(tmp_path: Path) -> None:
    """The others can't open the store while the first stands in its operation; the reason is told."""
    made = engine(LockFile, tmp_path)
    trial = made.attempt(at(made, "write")[0])
    assert trial.fired == 0
    assert trial.idle == "no client got to work while another stood still: open raised OSError: locked"
    assert made.attempt(Pause(999)).fired == 0


class Broken(LockFile):
    """Each method may be replaced."""

    def open(self, directory: Path) -> Path:
        return directory


class Ending(Broken):
    def apply(self, store: Path, operation: Any) -> Any:
        os._exit(3)


class Opaque(Broken):
    """Answers with something that can't be sent, and refuses a key."""

    def apply(self, store: Path, operation: Any) -> Any:
        if isinstance(operation, Put) and operation.key == "b":
            raise Unsupported("no such key")
        super().apply(store, operation)
        return lambda: None


class EndsReading(Broken):
    def snapshot(self, store: Path) -> Any:
        if (store / "table").exists() and "b 2" in (store / "table").read_text():
            os._exit(4)
        return super().snapshot(store)

    def apply(self, store: Path, operation: Any) -> Any:
        with open(store / "table", "a") as out:
            out.write(f"{getattr(operation, 'key', '')} {getattr(operation, 'value', '')}\n")


def test_what_cannot_run_without_a_fault_is_refused(tmp_path: Path) -> None:
    made = ProcessesEngine(bench(Ending, tmp_path), PUTS, "writers", "processes")
    assert "ended its process" in made.rehearse()


def test_what_is_owed_later_is_not_judged(tmp_path: Path) -> None:
    """Nor is a kill where nothing is promised about it."""
    contract = dataclasses.replace(LockFile.contract, process_crash="prefix")
    late = type("Late", (LockFile,), {"contract": contract})
    assert "owed only later" in ProcessesEngine(bench(late, tmp_path), PUTS, "writers", "processes").rehearse()
    kills = WriterKillsEngine(bench(late, tmp_path / "k"), PUTS, "writers", "processes")
    assert "nothing is promised" in kills.rehearse()


def test_where_no_process_can_be_forked_nothing_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ProcessesEngine(bench(LockFile, tmp_path), PUTS, "writers", "processes")

    def refuse() -> int:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    assert made.rehearse() == "no process can be forked here (Resource temporarily unavailable)"


def test_answers_that_cannot_be_sent_are_unknown_and_refusals_are_none(tmp_path: Path) -> None:
    made = engine(Opaque, tmp_path)
    outcomes = {called.operation: called for called in made._history(made._meet(Pause(999)))}
    assert outcomes[Put("a", "1")].outcome is Outcome.INFO and "can't be pickled" in outcomes[Put("a", "1")].error
    told = lanes.lines(made._history(made._meet(Pause(999, early=True))))
    assert "client 2: Put('b', '2')  # refused: Unsupported: no such key" in told
    assert made.attempt(at(made, "write")[0]).violation is None


def test_a_store_that_ends_the_process_that_reads_it_cannot_be_opened(tmp_path: Path) -> None:
    made = engine(EndsReading, tmp_path)
    trial = made.attempt(at(made, "write")[0])
    assert trial.violation is not None and trial.violation.kind == "cannot_open"
    assert "ended its process (exit status 4)" in trial.violation.sentence


class Waits(Broken):
    """A client that finds the other's mark waits for ever."""

    def apply(self, store: Path, operation: Any) -> Any:
        if isinstance(operation, Put) and operation.key == "a":
            (store / "mark").write_text("")
        elif (store / "mark").exists():
            time.sleep(1_000)


def test_a_client_that_never_returns_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ended when its time is over, and after two of them nobody looks for more."""
    steps = (By(1, Put("a", "1")), By(1, Put("a", "2")), By(2, Put("b", "2")))
    made = engine(Waits, tmp_path, Workload("waits", steps))
    monkeypatch.setattr(writers, "PATIENCE_S", 1.0)
    monkeypatch.setattr(writers, "HEAD_START_S", 0.2)
    last = made.alone.course[-1]
    assert last.name == "close"
    number = len(made.alone.course)
    trials = [made.attempt(Pause(number)) for _ in range(3)]
    assert [trial.violation and trial.violation.kind for trial in trials] == ["hang", "hang", None]
    assert "client 2 did not return" in trials[0].violation.sentence
    assert "says nothing new" in trials[2].idle


def test_clients_that_race_are_judged_as_well(tmp_path: Path) -> None:
    """A sound store loses nothing; every second race has a kill, where kills are promised anything about."""
    made = engine(n15_readers_without_lock.Adapter, tmp_path, kind=RacesEngine)
    races = list(made.faults())
    assert {race.kills for race in races} == {True, False}
    trial = made.attempt(races[0])
    assert trial.violation is None and trial.fired and trial.instead == Race(0, rounds=writers.AGAIN)
    killed = made.attempt(races[1])
    assert killed.violation is None


class Careless(Broken):
    """Whoever writes second overwrites what the first wrote, at whatever speed."""

    def apply(self, store: Path, operation: Any) -> Any:
        if isinstance(operation, Put) and operation.key != "a":
            return None
        return super().apply(store, operation)


def test_a_violation_in_a_race_is_blamed_on_the_operation_that_was_lost(tmp_path: Path) -> None:
    """Where that made no call, on the last line that wrote."""
    made = engine(Careless, tmp_path, kind=RacesEngine)
    trial = made.attempt(Race(0))
    assert trial.violation is not None and trial.violation.kind == "lost_update"
    assert made.attempt(Race(0, rounds=3)).violation is not None
    alone = RacesEngine(bench(Careless, tmp_path / "one"), Workload("one", (By(1, Put("a", "1")),)), "writers", "x")
    assert alone.rehearse() == "" and list(alone.faults()) == []


def test_what_is_said_of_a_trial_that_ended_its_worker(tmp_path: Path) -> None:
    made = engine(LockFile, tmp_path)
    violation = Violation("hang", "it did not return")
    assert made.ended(Pause(1), violation).violation is violation
