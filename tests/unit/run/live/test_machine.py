"""Programs of operations and faults on small stores: what breaks a promise is told, what keeps it is left alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from harness import Contract, Delete, Put, Sync, Unsupported, UsageError
from harness.core.program import (
    DamageFile,
    FailNextCall,
    FillDisk,
    FreeDisk,
    KillWriter,
    PowerCut,
    Program,
    offered_faults,
    source,
)
from harness.core.workload import Reopen
from harness.run.containment import child_ids
from harness.run.live.breaking import Broken, Hanging
from harness.run.live.machine import StoreStage
from tests.stores import machined
from tests.stores.machined import Careful

A, B, C = Put("k1", "one"), Put("k2", "two"), Put("k1", "three")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def broken(adapter: Any, directory: Path, *steps: Any, looking: bool = False, time_limit_s: float = 20.0) -> Broken:
    """How `adapter` breaks a promise in a program."""
    stage = StoreStage(adapter, directory, time_limit_s=time_limit_s)
    with pytest.raises((Broken, Hanging)) as caught:
        stage.play(Program(steps, looking))
    assert stage.holder is None
    found = caught.value
    return found.broken if isinstance(found, Hanging) else found


def some(adapter: Any, directory: Path, fault: Any, *steps: Any, choices: int = 40) -> Broken:
    """The first choice of a fault, at the end of a program, that breaks a promise."""
    for choice in range(choices):
        stage = StoreStage(adapter, directory, time_limit_s=20.0)
        try:
            stage.play(Program((*steps, fault(choice))))
        except Broken as found:
            return found
    raise AssertionError("no choice breaks a promise")


def _cut(choice: int) -> PowerCut:
    return PowerCut("strict", choice)


def function(found: Broken) -> str:
    assert found.blame.site is not None
    return found.blame.site.function


# --- defects -----------------------------------------------------------------------------------


def test_a_power_cut_shows_what_was_not_synced(directory: Path) -> None:
    """In the order of the crash states the first that shows it names the model and the line."""
    found = some(machined.NoDirectorySync, directory, _cut, A)
    assert (found.blame.claim, found.violation.kind) == ("power_loss", "lost_acknowledged")
    assert found.blame.models == ("strict",)


def test_a_swallowed_error_is_told_from_a_loss(directory: Path) -> None:
    """The fsync failed, the operation returned, and a power cut disproves it: the call that failed is to blame."""
    failing = FailNextCall("EIO", 6)  # open, write, fsync, replace, open the directory, fsync it
    found = some(machined.SwallowsSync, directory, _cut, failing, A)
    assert (found.blame.claim, found.violation.kind) == ("io_error", "swallowed_error")
    assert function(found) == "sync_directory"


def test_a_full_disk_that_nobody_mentions(directory: Path) -> None:
    """The operation returned, and after the disk was freed and the store reopened it is not there."""
    found = broken(machined.SwallowsFull, directory, A, FillDisk(), B)
    assert (found.blame.claim, found.violation.kind) == ("io_error", "swallowed_error")
    assert function(found) == "Careful.write"


def test_damage_that_nobody_notices(directory: Path) -> None:
    """A wrong state without a word, blamed on the last read of the damaged bytes."""
    found = some(machined.Trusting, directory, DamageFile, A, B)
    assert (found.blame.claim, found.violation.kind) == ("corruption", "silent_corruption")
    assert function(found) == "Trusting.read"


def test_a_process_that_ends_over_damage(directory: Path) -> None:
    found = some(machined.EndsWhenDamaged, directory, DamageFile, A)
    assert (found.blame.claim, found.violation.kind) == ("corruption", "cannot_open")
    assert "exit status 3" in found.violation.sentence


def test_a_store_that_refuses_operations_after_a_crash(directory: Path) -> None:
    for choice in range(12):
        stage = StoreStage(machined.RefusesAfterCrash, directory)
        try:
            stage.play(Program((A, KillWriter(choice), B)))
        except Broken as found:
            assert (found.blame.claim, found.violation.kind) == ("process_crash", "not_writable")
            return
    raise AssertionError("it never refused")


def test_a_second_opening_that_reads_something_else(directory: Path) -> None:
    found = some(machined.Forgets, directory, KillWriter, A, B)
    assert found.violation.kind in ("not_idempotent", "lost_acknowledged")


def test_a_recovery_that_hangs_is_stopped(directory: Path) -> None:
    """After the time limit; it is no `Exception`, so that nobody tries it again and again."""
    found = broken(machined.Waits, directory, A, KillWriter(3), time_limit_s=0.5)
    assert (found.blame.claim, found.violation.kind) == ("process_crash", "hang")
    assert "0.5 s" in found.violation.sentence


def test_a_program_tells_itself_as_python(directory: Path) -> None:
    """What is printed is what was played: it can be pasted, and fails again."""
    found = some(machined.Trusting, directory, DamageFile, Put("k1", "x" * 99), B)
    text = str(found)
    start = text.index("play(")
    played: list[Any] = []
    names = {"Trusting": machined.Trusting, "Put": Put, "DamageFile": DamageFile}
    exec(text[start:], {**names, "play": lambda adapter, steps, **more: played.append((adapter, steps))})
    assert played == [(machined.Trusting, found.program.steps)]
    assert "'x' * 99" in text and "corruption is broken (silent_corruption)" in text


# --- sound behaviour -----------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [0, 3, 17, 101])
def test_a_careful_store_holds_whatever_happens(directory: Path, choice: int) -> None:
    """All faults, one after another and together; each of them fired."""
    stage = StoreStage(Careful, directory)
    steps = (
        *(A, B, PowerCut("strict", choice), C, KillWriter(choice), Delete("k2"), DamageFile(choice)),
        *(FailNextCall("EIO", 1 + choice % 5), A, Reopen(), FailNextCall("short write", 1), B, Reopen()),
        *(FillDisk(), C, Reopen(), B, FreeDisk(), Reopen(), A, FillDisk(), B, PowerCut("strict", choice)),
    )
    stage.play(Program(steps, looking=choice % 2 == 0))
    assert not stage.unknown and stage.fired >= 6
    assert {"power cut", "killed", "EIO", "ENOSPC", "short write"} <= {item.fault for item in stage.struck}


def test_what_a_store_never_took_is_no_defect(directory: Path) -> None:
    """It refuses the key without any crash as well: the same operations are tried without faults."""
    stage = StoreStage(machined.Refuses, directory)
    stage.play(Program((A, KillWriter(0), A, B)))
    assert stage.refused


def test_a_fault_without_a_promise_is_left_out(directory: Path) -> None:
    stage = StoreStage(machined.Refuses, directory)  # promises about kills only
    stage.play(Program((A, PowerCut("strict", 0), FailNextCall(), A, FillDisk(), A, DamageFile())))
    assert stage.fired == 0


def test_a_store_that_cannot_run_is_no_finding(directory: Path) -> None:
    stage = StoreStage(machined.Undone, directory)
    stage.play(Program((A, KillWriter(0))))
    assert stage.fired == 0 and "without any fault" in stage.unknown[0]


def test_nothing_is_left_behind(directory: Path) -> None:
    """No process, no descriptor, whatever came of it."""
    before, children = set(os.listdir("/proc/self/fd")), child_ids()
    broken(machined.SwallowsFull, directory, A, FillDisk(), B)
    StoreStage(Careful, directory).play(Program((A, KillWriter(0))))
    assert set(os.listdir("/proc/self/fd")) == before
    assert child_ids() <= children


def test_the_same_program_gives_the_same(directory: Path) -> None:
    """Violation, site and crash state."""
    steps = (A, B, C)
    cuts = [some(machined.NoDirectorySync, directory, _cut, *steps) for _ in "ab"]
    assert cuts[0].program == cuts[1].program and str(cuts[0]) == str(cuts[1])


# --- input ---------------------------------------------------------------------------------------


def test_bad_input_is_one_sentence(directory: Path) -> None:
    for make, message in (
        (lambda: FailNextCall("EWHAT"), "there is no error 'EWHAT'"),
        (lambda: FailNextCall(nth=0), "counted from 1"),
        (lambda: offered_faults(Careful.contract, ("earthquake",)), "there is no fault 'earthquake'"),
        (lambda: StoreStage(Careful, directory).play(Program((A, PowerCut("ext5")))), "there is no persistence model"),
    ):
        with pytest.raises(UsageError, match=message):
            make()


def test_only_what_is_promised_is_offered() -> None:
    assert offered_faults(machined.Refuses.contract) == ("kill", "clock")
    each = ("power_cut", "kill", "failing_call", "full_disk", "damage", "failed_sync", "clock")
    assert offered_faults(Careful.contract) == each
    assert offered_faults(Careful.contract, ("kill", "clock")) == ("kill", "clock")


def test_values_are_written_as_python() -> None:
    for value in (A, Put("a" * 50, "b"), (1,), (), [A, {"x": (1, 2)}], {"k": None}, "it's"):
        assert eval(source(value), {"Put": Put}) == value


# --- what ends a program without a verdict, and rarer ways to fail -------------------------------------


class Scripted(Careful):
    """Does what its files say: raises when it is opened, read or closed, ends the process, or reads wrong."""

    contract = machined.KILLS
    when = ""

    def open(self, directory: Path) -> Path:
        self.count(directory / "opened")
        self.obey("open", directory)
        return super().open(directory)

    def apply(self, store: Path, operation: Any) -> None:
        self.obey("apply", store.parent)
        super().apply(store, operation)

    def snapshot(self, store: Path) -> Any:
        self.obey("snapshot", store.parent)
        return {"wrong": "state"} if self.is_time("wrong", store.parent) else super().snapshot(store)

    def count(self, path: Path) -> None:
        path.write_text(str(int(path.read_text()) + 1 if path.exists() else 1))

    def is_time(self, what: str, directory: Path) -> bool:
        call, _, number = self.when.partition(" ")
        return call.startswith(what) and int((directory / "opened").read_text()) >= int(number)

    def obey(self, call: str, directory: Path) -> None:
        if self.is_time(f"{call}-exit", directory):
            os._exit(4)
        if self.is_time(f"{call}-raise", directory):
            raise OSError("as written")


@pytest.mark.parametrize(
    ("when", "kind", "looking"),
    [
        ("open-raise 2", "cannot_open", False),
        ("open-raise 3", "cannot_open", False),
        ("snapshot-raise 2", "cannot_open", False),
        ("snapshot-raise 3", "cannot_open", False),
        ("snapshot-raise 4", "cannot_open", False),
        ("open-exit 4", "cannot_open", False),
        ("apply-exit 2", "cannot_open", True),
        ("wrong 2", "phantom", False),
        ("wrong 3", "not_idempotent", True),
        ("wrong 4", "not_writable", False),
    ],
)
def test_each_way_to_fail_after_a_kill(directory: Path, when: str, kind: str, looking: bool) -> None:
    """The first opening after it, the second, and the last look at the end."""
    adapter = type("Scripted", (Scripted,), {"when": when})
    found = broken(adapter, directory, A, KillWriter(9), C, looking=looking)
    assert (found.blame.claim, found.violation.kind) == ("process_crash", kind)


@pytest.mark.parametrize("when", ["open-raise 2", "snapshot-raise 2", "wrong 2"])
def test_what_fails_without_any_fault_is_no_finding(directory: Path, when: str) -> None:
    stage = StoreStage(type("Scripted", (Scripted,), {"when": when}), directory)
    stage.play(Program((A, Reopen(), KillWriter(0))))
    assert stage.fired == 0 and "without any fault" in stage.unknown[0]


class Buffered(Careful):
    """Writes at a sync only, as its contract says."""

    contract = Contract(process_crash="synced", power_loss=None, corruption=None, io_error=None)
    operations = (Put, Delete, Sync)

    def apply(self, store: Path, operation: Any) -> None:
        pending = self.__dict__.setdefault("pending", [])
        if not isinstance(operation, Sync):
            pending.append(operation)
            return
        for waiting in pending:
            super().apply(store, waiting)
        pending.clear()

    def snapshot(self, store: Path) -> Any:
        return super().snapshot(store)


def test_what_is_owed_after_a_sync_only(directory: Path) -> None:
    """A kill or a reopening may take what was not synced; what was, may not go."""
    StoreStage(Buffered, directory).play(Program((A, Sync(), B, KillWriter(0), A, Sync(), C, Reopen(), B)))
    forgetful = type("Forgetful", (Buffered,), {"write": lambda self, path, pairs: None})
    found = broken(forgetful, directory, A, Sync(), KillWriter(5))
    assert found.violation.kind == "lost_acknowledged"


def test_an_operation_that_the_store_cannot_take_leaves_the_program(directory: Path) -> None:
    class Picky(Careful):
        def apply(self, store: Path, operation: Any) -> None:
            if operation == B:
                raise Unsupported
            super().apply(store, operation)

    stage = StoreStage(Picky, directory)
    stage.play(Program((A, B, C, KillWriter(2))))
    assert B not in stage.steps and stage.fired == 1


class Glues(Careful):
    """Appends to whatever is there, a torn tail included, and reads up to the first line that is torn."""

    contract = Contract(power_loss=None, io_error=None, corruption=None)

    def read(self, path: Path) -> dict[str, str]:
        pairs = {}
        for line in path.read_bytes().splitlines() if path.exists() else ():
            words = line.split(b" ")
            if len(words) != 3 or words[2] != b"end":
                break
            pairs[words[0].decode()] = words[1].decode()
        return pairs

    def apply(self, store: Path, operation: Any) -> None:
        with open(store, "ab", buffering=0) as stream:
            stream.write(f"{operation.key} {operation.value} end\n".encode())


def test_the_crash_that_did_the_harm_is_blamed(directory: Path) -> None:
    """The first kill tears the tail, the next append is glued to it; the second kill only shows it."""
    large = Put("k1", "x" * 6000)
    found = some(Glues, directory, lambda choice: KillWriter(choice), large, KillWriter(1), A)
    assert found.violation.kind == "not_writable" and found.program.steps[-1] == Reopen()
    for choice in range(4):
        StoreStage(Glues, directory).play(Program((A, KillWriter(choice), A, KillWriter(choice))))
