"""Opening a store after a crash: what each call may do, and what is made of it."""

from __future__ import annotations

import locale
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import DOCUMENT, KEY_VALUE, Append, Contract, Delete, Put, Unsupported
from harness.core.trace import Trace, empty_image
from harness.judge.oracle import Oracle
from harness.run.recovering import (
    Recoverer,
    Step,
    StoreFailed,
    Surroundings,
    TolerantModel,
    kind_of_failure,
    oracle_of,
    place_of_error,
    text_of_error,
)
from tests.stores.hostile import Bump, Counter
from tests.stores.local import Diary
from tests.stores.unfit import Prickly, nested

ALL = (Put("a", "1"), Put("b", "2"), Delete("a"))
FIRST = {"a": "1"}


class Memory:
    """A store in memory; what the class holds is the disk."""

    model: Any = KEY_VALUE
    disk: Any = None

    def open(self, directory: Path) -> Any:
        return type(self).disk

    def apply(self, store: Any, operation: Any) -> None:
        type(self).disk = self.model.step(type(self).disk, operation)[0]

    def snapshot(self, store: Any) -> Any:
        return type(self).disk

    def close(self, store: Any) -> None:
        return None


def store(disk: Any, **methods: Any) -> type[Memory]:
    return type("Store", (Memory,), {"disk": disk, "contract": Contract(), **methods})


def recoverer(adapter: Any, changed: Callable[[], bool] = lambda: False) -> Recoverer:
    return Recoverer(adapter, Path("/nowhere"), Diary(), changed)


def recover(adapter: Any, spare: tuple[Any, ...] = (), operations: tuple[Any, ...] = ALL) -> Any:
    return recoverer(adapter).recover(Oracle(adapter.model, operations), spare)


def fail(*arguments: Any) -> Any:
    raise LookupError("gone\n  for good")


def failing_from(count: int) -> Callable[..., Any]:
    """A method that raises from its `count`-th call on."""
    calls: list[int] = []

    def method(self: Any, *arguments: Any) -> Any:
        calls.append(1)
        return fail() if len(calls) >= count else type(self).disk

    return method


def test_an_opening_that_raises_cannot_open() -> None:
    """The sentence names the call and has one line."""
    recovery = recover(store(FIRST, open=fail))

    assert (recovery.problem, recovery.wrote, recovery.matches) == ("cannot_open", True, ())
    assert recovery.detail == "opening the store raised LookupError: gone for good"


def test_a_sound_recovery_has_no_problem() -> None:
    """It tells what was read, and after how many operations a correct store could show that."""
    diary = Diary()
    recovery = Recoverer(store(FIRST), Path(), diary, lambda: True).recover(Oracle(KEY_VALUE, ALL))

    assert (recovery.problem, recovery.recovered, recovery.matches, recovery.wrote) == ("", FIRST, (1,), True)
    assert [phase for _, phase in diary.calls].count(Step.OPEN) == 2  # the constructor counts as opening
    assert Step.APPLY in {phase for _, phase in diary.calls}


@pytest.mark.parametrize(
    ("method", "count", "problem", "step"),
    [
        ("snapshot", 1, "cannot_open", "reading the store raised"),
        ("close", 1, "cannot_open", "closing the store raised"),
        ("open", 2, "cannot_open", "opening the store a second time"),
        ("snapshot", 2, "cannot_open", "reading the store a second time"),
        ("apply", 1, "not_writable", "the next operation after the recovery"),
        ("close", 2, "not_writable", "closing the store after new operations"),
        ("open", 3, "not_writable", "opening the store after new operations"),
        ("snapshot", 3, "not_writable", "reading the store after new operations"),
        ("close", 3, "not_writable", "closing the store for the last time"),
    ],
)
def test_each_call_that_raises_is_a_problem(method: str, count: int, problem: str, step: str) -> None:
    """Reading fails before, writing after the store has been read twice."""
    recovery = recover(store(FIRST, **{method: failing_from(count)}))

    assert recovery.problem == problem
    assert recovery.detail.startswith(step)
    assert kind_of_failure(Step.APPLY) == "not_writable"


def test_a_second_opening_that_reads_something_else_is_not_idempotent() -> None:
    """Recovery must be over when the store is first open."""

    def snapshot(self: Any, store: Any) -> Any:
        type(self).disk = {"b": "2"} if self.disk == FIRST else {}
        return FIRST if type(self).disk else {}

    recovery = recover(store(FIRST, snapshot=snapshot))

    assert recovery.problem == "not_idempotent"
    assert "the second opening reads {}" in recovery.detail


def test_a_store_that_loses_new_operations_is_not_writable() -> None:
    """What returned after the recovery must be there when the store is opened again."""
    recovery = recover(store(FIRST, apply=lambda *arguments: None))

    assert recovery.problem == "not_writable"
    assert "returned, and reading again gives {'a': '1'}" in recovery.detail


@pytest.mark.parametrize(
    ("reading", "problem", "detail"),
    [
        (1, "", ""),  # a state of nobody, which is told by those who know what is owed
        (2, "not_idempotent", "the second opening reads"),
        (3, "not_writable", "Put('b', '2'), Delete('a') returned, and reading again gives"),
    ],
)
def test_what_cannot_be_compared_is_another_state(reading: int, problem: str, detail: str) -> None:
    """Whenever it is shown; nothing of ours fails."""
    readings: list[int] = []

    def snapshot(self: Any, store: Any) -> Any:
        readings.append(1)
        return {"a": Prickly()} if len(readings) == reading else dict(type(self).disk)

    recovery = recover(store(FIRST, snapshot=snapshot))

    assert recovery.problem == problem and detail in recovery.detail


def test_a_state_that_cannot_be_compared_is_not_said_to_change() -> None:
    """It is read twice, and nobody knows whether it is the same."""
    recovery = recover(store({"a": Prickly()}))

    assert (recovery.problem, recovery.matches) == ("", ())


def test_what_is_nested_too_deep_to_be_copied_is_shown_as_that() -> None:
    """The store was read; it is the copy that failed."""
    recovery = recover(store({"a": nested(5_000)}))

    assert recovery.problem == "" and recovery.matches == ()
    assert repr(recovery.recovered) == "<a dict nested 5001 levels deep, too deep to copy>"


def test_spare_operations_follow_the_last_one() -> None:
    """At the end of a workload new ones are issued; those the store can't take are left out."""
    adapter = store({"b": "2"})
    assert recover(adapter, (Put("c", "3"), Put("d", "4"))).problem == ""
    assert adapter.disk["c"] == "3"

    def refuse(*arguments: Any) -> None:
        raise Unsupported("never")

    assert recover(store({"b": "2"}, apply=refuse), (Put("c", "3"),)).problem == ""


def test_operations_that_raised_are_not_issued_again() -> None:
    """What the recorded run could not do, a recovered store need not do either."""
    adapter = store({})
    oracle = Oracle(KEY_VALUE, ALL, failed=(0, 1, 2))

    assert recoverer(adapter).recover(oracle).problem == ""
    assert adapter.disk == {}


def test_a_state_of_nobody_is_read_twice_and_no_more() -> None:
    """Without a number of operations that explains it there is nothing to go on from."""
    recovery = recover(store({"z": "9"}))

    assert (recovery.problem, recovery.matches, recovery.recovered) == ("", (), {"z": "9"})


def test_the_snapshot_is_copied() -> None:
    """A store may go on changing what it handed out."""
    disk = {"items": [1]}
    adapter = store(disk, model=DOCUMENT)
    read = recoverer(adapter).read()

    disk["items"].append(2)
    assert read == {"items": [1]}


def test_what_cannot_be_copied_is_a_failure_of_the_snapshot() -> None:
    """A generator is no snapshot."""
    with pytest.raises(StoreFailed) as raised:
        recoverer(store({}, snapshot=lambda *arguments: (1 for _ in ()))).read()
    assert raised.value.step is Step.SNAPSHOT
    assert "snapshot returned a generator" in raised.value.sentence()


def test_a_model_may_ignore_what_it_likes() -> None:
    """Two readings that match the same numbers of operations are the same."""

    class Forgiving(Counter):
        def equal(self, recovered: Any, state: int) -> bool:
            return bool(recovered[0] == state)

    readings = iter([(1, "morning"), (1, "noon"), (2, "night")])
    adapter = store(None, model=Forgiving(), snapshot=lambda *arguments: next(readings), apply=lambda *a: None)
    oracle = Oracle(adapter.model, (Bump(1), Bump(1)))

    recovery = recoverer(adapter).recover(oracle)

    assert (recovery.problem, recovery.matches) in (("", (1,)), ("not_writable", (1,)))
    assert "second opening" not in recovery.detail


# --- errors, models, surroundings -------------------------------------------------------------


def test_the_text_of_an_error_has_one_line() -> None:
    """Also of one without a message, and of one whose message can't be made."""

    class Wordless(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert text_of_error(ValueError("two\nlines")) == "ValueError: two lines"
    assert text_of_error(ValueError()) == "ValueError"
    assert text_of_error(Wordless()) == "Wordless"


def test_the_place_of_an_error_is_in_the_code_of_the_user() -> None:
    """Neither in the harness nor in the standard library."""
    try:
        Path("/nowhere/at/all").read_text()
    except OSError as error:
        assert place_of_error(error).endswith(f"of {__file__})")
    assert place_of_error(ValueError()) == ""


def test_a_model_of_the_users_own_may_fail_to_compare() -> None:
    """What it can't compare equals nothing; everything else is handed through."""
    model = TolerantModel(Counter())
    adapter = store(None, model=Counter())

    assert model.initial() == 0 and model.step(1, Bump(2)) == (3, None) and model.equal(3, 3)
    assert len(model.example_operations(__import__("random").Random(0), 3)) == 3
    assert not TolerantModel(None).equal(1, 1)
    assert isinstance(oracle_of(adapter, trace(Bump(1))).model, TolerantModel)
    assert oracle_of(store({}), trace(Put("a", "1"))).model is KEY_VALUE


def trace(*operations: Any) -> Trace:
    return Trace(empty_image(), (), operations, "")


def test_surroundings_are_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Working directory and umask, also where the store has removed the one that it went to."""
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o027)
    try:
        surroundings = Surroundings.now()
        gone = tmp_path / "gone"
        gone.mkdir()
        os.chdir(gone)
        gone.rmdir()
        os.umask(0)

        surroundings.restore()

        assert os.getcwd() == str(tmp_path)
        assert os.umask(0o022) == 0o027
    finally:
        os.umask(before)


def test_everything_else_that_a_store_may_change_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment, time zone, locale, signal handlers, timers, recursion limit."""
    monkeypatch.setenv("TZ", "ABC-3")
    time.tzset()
    before = Surroundings.now()
    handler, limit = signal.getsignal(signal.SIGUSR2), sys.getrecursionlimit()
    os.environ.update(TZ="XYZ+9", LOST="here")
    del os.environ["PATH"]
    time.tzset()
    locale.setlocale(locale.LC_ALL, "C.UTF-8" if locale.setlocale(locale.LC_ALL) == "C" else "C")
    signal.signal(signal.SIGUSR2, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, 1000)
    sys.setrecursionlimit(limit + 100)

    before.restore()

    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert Surroundings.now() == before
    assert "LOST" not in os.environ and os.environ["PATH"] and time.localtime().tm_gmtoff == 3 * 3600
    assert signal.getsignal(signal.SIGUSR2) == handler and sys.getrecursionlimit() == limit
    monkeypatch.undo()
    time.tzset()


def test_handlers_are_put_back_by_the_main_thread_alone() -> None:
    """Nobody else may; the rest is put back all the same."""
    before = Surroundings.now()
    os.environ["LOST"] = "here"
    thread = threading.Thread(target=before.restore)
    thread.start()
    thread.join()
    assert "LOST" not in os.environ


def test_surroundings_that_are_gone_are_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker may be started in a directory that is removed meanwhile."""
    monkeypatch.chdir(tmp_path)
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()

    assert Surroundings.now().directory == "/"


def test_another_kind_of_operation_is_no_match() -> None:
    """A snapshot of another type matches nothing."""
    assert recover(store([Append("x")])).matches == ()
