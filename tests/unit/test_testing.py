"""`harness.testing` without pytest's fixtures: programs, state machines, and faults with blocks of their own."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.stateful import run_state_machine_as_test

import harness
from harness import Append, HarnessError, Put, Sync, UsageError
from harness.core.models import DOCUMENT, KEY_VALUE, LOG
from harness.core.program import Program
from harness.explore.machine import operations
from harness.record import uninstall
from harness.run import skewing
from harness.testing import (
    Broken,
    FailSync,
    KillWriter,
    NeverFired,
    PowerCut,
    TurnClock,
    damaged,
    failing_io,
    full_disk,
    killed_writer,
    play,
    power_cut,
    skewed_clock,
    state_machine,
)
from tests.stores import machined, skewed

QUICK = settings(
    max_examples=6, stateful_step_count=6, deadline=None, database=None, derandomize=True, phases=(Phase.generate,)
)


@pytest.fixture(autouse=True)
def unpatched() -> Iterator[None]:
    """As in a process that nobody has patched; and it has to be so afterwards."""
    uninstall()
    write = os.write
    yield
    assert os.write is write
    uninstall()


def test_a_program_fails_as_long_as_the_defect_is_there() -> None:
    steps = (Put("k1", "v"), KillWriter(3), Put("k2", "v"))
    broken: list[Broken] = []
    for choice in range(12):
        try:
            play(machined.RefusesAfterCrash, (steps[0], KillWriter(choice), steps[2]))
        except Broken as found:
            broken.append(found)
    assert broken and {found.violation.kind for found in broken} == {"not_writable"}
    for choice in range(3):
        play(machined.Careful, (steps[0], KillWriter(choice), steps[2]), looking=True)


def test_a_hang_is_told_like_any_other_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.run.live.machine.StoreStage.__init__.__kwdefaults__", {
        "seed": 0, "promises": None, "time_limit_s": 0.5,
    })
    with pytest.raises(Broken, match="hang"):
        play(machined.Waits, (Put("k1", "v"), KillWriter(5)))


def test_what_can_not_be_judged_is_an_error() -> None:
    with pytest.raises(HarnessError, match="without any fault, opening a new store raised OSError: never"):
        play(machined.Undone, (Put("k1", "v"), KillWriter(0)))
    with pytest.raises(UsageError):
        play(object(), ())


def test_a_state_machine_finds_a_defect_and_leaves_a_sound_store_alone() -> None:
    """The error says what to paste."""
    defective = state_machine(machined.RefusesAfterCrash)
    with pytest.raises(Broken, match=r"play\(RefusesAfterCrash, \("):
        run_state_machine_as_test(defective, settings=settings(QUICK, max_examples=30, stateful_step_count=10))
    run_state_machine_as_test(harness.state_machine(machined.Careful), settings=QUICK)


def test_what_failed_is_tried_first_the_next_time() -> None:
    """The database is that of the user's settings, and no health check is silenced."""
    database = InMemoryExampleDatabase()
    machine = state_machine(machined.NoDirectorySync, faults=("power_cut",))
    finding = settings(
        QUICK, max_examples=500, stateful_step_count=5, database=database, phases=(Phase.generate,), derandomize=False
    )
    with pytest.raises(Broken) as found:
        run_state_machine_as_test(machine, settings=finding)
    kept = settings(finding, phases=(Phase.reuse,))
    with pytest.raises(Broken) as again:
        run_state_machine_as_test(machine, settings=kept)
    assert again.value.program == found.value.program
    # Hypothesis itself silences one where CI is set, for everybody.
    assert set(finding.suppress_health_check) <= set(settings().suppress_health_check)


def test_steps_with_clocks_and_failed_syncs_can_be_pasted() -> None:
    """Everything that a program is made of has a name in `harness.testing`, and nothing stays changed."""
    really = time.time
    program = Program((Append("one"), TurnClock("set", -3600.0), Append("two"), TurnClock("right")))
    names: dict[str, object] = {}
    exec("from harness.testing import *", names)
    with pytest.raises(Broken, match="TurnClock") as found:
        exec(program.source("Stamped"), {**names, "Stamped": skewed.Stamped})
    assert found.value.blame.claim == "process_crash" and time.time is really
    put, cut = Put("k1", "one"), PowerCut("strict", 2)
    exec(Program((put, FailSync(1), put, cut)).source("Careful"), {**names, "Careful": machined.Careful})


def test_a_state_machine_of_some_faults() -> None:
    machine: Any = state_machine(machined.Careful, faults=("kill", "full_disk"))
    rules = {name for name in vars(machine) if not name.startswith("_")}
    assert {"operate", "reopen", "kill", "fill_disk", "free_disk"} <= rules
    others = {"power_cut", "failing_call", "damage", "failed_sync", "turn_clock", "pass_change"}
    assert not others & rules
    machine = state_machine(machined.Careful, faults=("clock", "failed_sync"))
    assert {"failed_sync", "turn_clock", "pass_change"} <= set(vars(machine))
    with pytest.raises(UsageError, match="there is no fault 'flood'"):
        state_machine(machined.Careful, faults=("flood",))


def test_a_state_machine_needs_hypothesis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="Hypothesis is not installed"):
        state_machine(machined.Careful)


class Own:
    """A model of its own with two kinds of operations."""

    def initial(self) -> int:
        return 0

    def step(self, state: int, operation: Any) -> tuple[int, None]:
        return state + 1, None

    def equal(self, recovered: Any, state: int) -> bool:
        return bool(recovered == state)

    def example_operations(self, random: Any, count: int) -> list[Any]:
        return [Put("a", "b"), Sync()][:count]


@pytest.mark.parametrize("model", [KEY_VALUE, DOCUMENT, LOG, Own()])
def test_operations_of_every_model(model: Any) -> None:
    """What is drawn is what the model knows, and each kind that the adapter takes is drawn."""
    kinds = (*getattr(model, "mandatory", (Put,)), *getattr(model, "optional", (Sync,)))
    adapter = type("Adapter", (), {"model": model, "operations": kinds})
    drawn: set[type] = set()

    from hypothesis import find

    for kind in kinds:
        if kind.__name__ not in ("Get", "Load", "Read"):
            found = find(operations(adapter), lambda operation, kind=kind: isinstance(operation, kind))
            model.step(model.initial(), found)
            drawn.add(type(found))
    assert len(drawn) >= 2


def test_a_model_without_examples() -> None:
    class Mute(Own):
        def example_operations(self, random: Any, count: int) -> list[Any]:
            return []

    with pytest.raises(UsageError, match="no example operations"):
        operations(type("Adapter", (), {"model": Mute()}))


# --- faults with blocks of their own ----------------------------------------------------------------


def test_a_fault_that_never_fired_ends_its_block_with_an_error(tmp_path: Path) -> None:
    """Unless something else is wrong already."""
    with pytest.raises(NeverFired, match="EIO in fsync number 1"):
        with failing_io(tmp_path, "fsync"):
            pass
    with pytest.raises(LookupError):
        with failing_io(tmp_path, "fsync"):
            raise LookupError
    with pytest.raises(NeverFired, match="power cut under strict"):
        list(power_cut(tmp_path, lambda: None))
    with pytest.raises(NeverFired, match="kill at call 1"):
        killed_writer(tmp_path, lambda: None)


def test_a_recording_that_can_not_be_trusted_is_refused(tmp_path: Path) -> None:
    def action() -> None:
        os.system(f"echo x > {tmp_path / 'f'}")

    with pytest.raises(HarnessError, match="can't be trusted"):
        list(power_cut(tmp_path, action))


def test_what_a_killed_writer_raised_may_be_anything(tmp_path: Path) -> None:
    class Local(Exception):
        """No other process can be sent this one."""

    def action() -> None:
        raise Local("here")

    with pytest.raises(RuntimeError, match="Local in the killed writer: here"):
        killed_writer(tmp_path, action)


def test_a_clock_that_can_not_be_moved_so_far() -> None:
    now = time.time
    with pytest.raises(HarnessError, match="no date is so far away"):
        with skewed_clock(-1e11):
            pass
    assert time.time is now


def test_one_clock_at_a_time_and_everything_that_asks_for_the_time() -> None:
    with skewed_clock(3600) as clock:
        with pytest.raises(UsageError, match="another clock"):
            skewed_clock(1).__enter__()
        real = clock.now_s() - 3600
        assert abs(datetime.datetime.today().timestamp() - real - 3600) < 60
        assert datetime.datetime.now(datetime.UTC).timestamp() - real > 3000
        assert datetime.datetime(2020, 1, 1) == datetime.datetime.fromisoformat("2020-01-01")
        assert issubclass(datetime.datetime, datetime.date)
        assert time.localtime(0)[:1] in ((1970,), (1969,)) and time.ctime(0) and time.ctime()
        assert time.strftime("%Y", time.gmtime(0)) == "1970"
    with pytest.raises(NeverFired):
        with skewed_clock(5):
            pass


def test_a_mechanism_that_does_not_work_is_not_relied_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skewing, "_replace", lambda clock: [])
    with pytest.raises(HarnessError, match=r"time\.time is not moved"):
        with skewed_clock(3600):
            pass


def test_failing_calls_and_full_disks_together(tmp_path: Path) -> None:
    """Two gates at once: each sees what the other lets through."""
    with failing_io(tmp_path, "fsync", times=2) as failing, full_disk(tmp_path, 4) as full:
        with open(tmp_path / "f", "wb", buffering=0) as file:
            assert [file.write(b"123"), file.write(b"456")] == [3, 1]
            for _ in range(2):
                with pytest.raises(OSError):
                    os.fsync(file.fileno())
            os.fsync(file.fileno())
            with pytest.raises(OSError):
                file.write(b"7")
            full.free()
            file.write(b"7")
    assert failing.fired == 2 and len(failing.struck) == 2 and full.fired == 2


def test_every_disk_of_a_power_cut(tmp_path: Path) -> None:
    """None twice, no more than the limit, and before the acknowledgement as well as after it."""
    def action(acknowledge: Any) -> None:
        (tmp_path / "a").write_text("one")
        acknowledge()
        (tmp_path / "b").write_text("two")

    cut = power_cut(tmp_path, action)
    disks = [(disk.acknowledged, disk.completed, sorted(os.listdir(disk.path)), bool(disk.lost)) for disk in cut]
    assert cut.exhausted and cut.fired == len(disks)
    assert {acknowledged for acknowledged, *_ in disks} == {0, 1}
    assert (1, True, ["a", "b"], False) in disks and (1, True, [], True) in disks
    few = power_cut(tmp_path, lambda: (tmp_path / "c").write_text("three"), "ext4", limit=3)
    assert len(list(few)) == 3 and not few.exhausted


def test_a_writer_is_killed_at_each_call(tmp_path: Path) -> None:
    """What it acknowledged before is known; the last kill does not fire, because the writer was done."""
    def action(acknowledge: Any) -> None:
        for name in "ab":
            (tmp_path / name).write_text(name)
            acknowledge()

    seen = []
    for nth in range(1, 9):
        killed = killed_writer(tmp_path, action, nth, may_not_fire=True)
        seen.append((killed.acknowledged, bool(killed.fired)))
        if not killed.fired:
            break
    assert seen == [(0, True), (0, True), (1, True), (1, True), (2, False)]


def test_damaged_copies(tmp_path: Path) -> None:
    """All of a small file, spread over the list where there is a limit, and nothing of the original is touched."""
    (tmp_path / "f").write_bytes(b"content")
    copies = [(copy.file, copy.what, _content(copy.path / "f")) for copy in damaged(tmp_path)]
    assert {file for file, _, _ in copies} == {"f"}
    contents = [content for _, _, content in copies]
    assert None in contents and b"cont" in contents and b"content" not in contents
    assert len(list(damaged(tmp_path, limit=5))) == 5
    assert (tmp_path / "f").read_bytes() == b"content"
    (tmp_path / "f").unlink()
    with pytest.raises(NeverFired):
        list(damaged(tmp_path))


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def test_input_that_can_not_fire(tmp_path: Path) -> None:
    for make in (
        lambda: failing_io(tmp_path, "fsync", "EWHAT"),
        lambda: failing_io(tmp_path, "fsync", "short write"),
        lambda: failing_io(tmp_path, times=0),
        lambda: full_disk(tmp_path / "none"),
        lambda: full_disk(tmp_path, -1),
        lambda: power_cut(tmp_path, print, limit=0),
        lambda: power_cut(tmp_path, print, "ext5"),
        lambda: killed_writer(tmp_path, print, 0),
        lambda: damaged(tmp_path, limit=0),
        lambda: skewed_clock(float("inf")),
    ):
        with pytest.raises(UsageError):
            make()
