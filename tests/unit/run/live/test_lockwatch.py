"""Which locks a thread has when it asks for another one."""

from __future__ import annotations

import fcntl
import itertools
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.record import kernel
from harness.run.live import lockwatch, steppedlocks
from harness.run.live.lockwatch import LATER
from harness.run.live.steppedlocks import SteppedLock, SteppedRLock
from harness.run.live.turnstile import Turnstile


def opening(place: int) -> str:
    """The lock that was made as the so many-th."""
    return f"opening {place} test_lockwatch.py"


def wanted(made: Turnstile) -> list[tuple[int, str]]:
    """How many locks each request had, and what it asked for, without the line."""
    return [(len(each.held), each.wanted.lock.rpartition(":")[0]) for each in made.locks.requests()]


def run(made: Turnstile, *works: Callable[[], None]) -> list[tuple[int, str]]:
    with kernel.engage(made):
        assert made.run(list(works))
    return wanted(made)


def test_what_a_thread_has_when_it_asks_for_more(tmp_path: Path) -> None:
    made = Turnstile(tmp_path, 1, ())
    a, b, c = (SteppedLock(made) for _ in range(3))

    def work() -> None:
        with a:
            with b:
                pass
            with b, c:
                pass
        with c:
            pass

    assert run(made, work) == [(1, opening(2)), (1, opening(2)), (2, opening(3))]


def test_hand_over_hand_has_two_at_a_time(tmp_path: Path) -> None:
    made = Turnstile(tmp_path, 1, ())
    chain = [SteppedLock(made) for _ in range(4)]

    def work() -> None:
        chain[0].acquire()
        for before, after in itertools.pairwise(chain):
            after.acquire()
            before.release()
        chain[-1].release()

    assert run(made, work) == [(1, opening(2)), (1, opening(3)), (1, opening(4))]


def test_who_does_not_wait_asks_for_nothing_and_has_what_it_got(tmp_path: Path) -> None:
    made = Turnstile(tmp_path, 1, ())
    a, b, c = (SteppedLock(made) for _ in range(3))

    def work() -> None:
        with a:
            assert b.acquire(blocking=False)
            assert c.acquire(timeout=1.0)
            assert not c.acquire(blocking=False)
            c.release()
            with c:
                b.release()

    assert run(made, work) == [(2, opening(3))]


def test_to_take_a_lock_again_is_no_order(tmp_path: Path) -> None:
    made = Turnstile(tmp_path, 1, ())
    a, b = SteppedRLock(made), SteppedRLock(made)

    def work() -> None:
        with a, b, a:
            pass

    assert run(made, work) == [(1, opening(2))]


def test_who_was_woken_takes_the_lock_of_a_condition_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what else it has: that is another order than the one in which it came. Signals are no locks."""
    made = Turnstile(tmp_path, 2, ())
    monkeypatch.setattr(threading, "_allocate_lock", lambda: SteppedLock(made, signal=True))
    condition, other = threading.Condition(SteppedRLock(made)), SteppedLock(made)  # type: ignore[arg-type]

    def waits() -> None:
        with condition, other:
            condition.wait()

    def wakes() -> None:
        with condition:
            condition.notify()

    assert run(made, waits, wakes) == [(1, opening(2)), (1, opening(1))]


def test_a_lock_that_another_thread_frees_is_a_signal(tmp_path: Path) -> None:
    made = Turnstile(tmp_path, 2, ())
    a, signal = SteppedLock(made), SteppedLock(made)

    def waits() -> None:
        signal.acquire()
        with a:
            pass
        signal.acquire()

    assert run(made, waits, signal.release) == []


def test_what_threads_do_that_take_no_turns_is_not_noted(tmp_path: Path) -> None:
    made = Turnstile(tmp_path, 1, ())
    a, b = SteppedLock(made), SteppedLock(made)
    with a, b:
        pass

    def work() -> None:
        with a, b:
            pass

    assert run(made, work) == [(1, opening(2))]


def test_locks_that_are_made_later_are_known_in_their_run_only(tmp_path: Path) -> None:
    made = Turnstile(tmp_path, 1, ())
    a = SteppedLock(made)
    made.locks.opened()

    def work() -> None:
        with a, SteppedLock(made), SteppedLock(made):
            pass

    assert run(made, work) == [(1, f"{LATER}1 test_lockwatch.py"), (2, f"{LATER}2 test_lockwatch.py")]


def test_no_more_is_kept_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockwatch, "REQUESTS_MOST", 1)
    made = Turnstile(tmp_path, 1, ())
    a, b, c = (SteppedLock(made) for _ in range(3))

    def work() -> None:
        with a, b, c:
            pass

    assert not made.locks.is_full
    assert run(made, work) == [(1, opening(2))]
    assert made.locks.is_full


# --- files ----------------------------------------------------------------------------------------


def files(made: Turnstile, lock: Any, steps: Callable[[int, Any], None], path: Path) -> list[tuple[int, str]]:
    """What is asked for by a thread that has a file open and does `steps`."""

    def work() -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            steps(descriptor, lock)
        finally:
            os.close(descriptor)

    run(made, work)
    return [(len(each.held), each.wanted.lock.partition(" ")[0]) for each in made.locks.requests()]


def test_a_lock_of_the_kernel_is_had_until_the_file_is_closed(tmp_path: Path) -> None:
    made = Turnstile(tmp_path, 1, ())
    lock = SteppedLock(made)

    def steps(descriptor: int, lock: Any) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with lock:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            fcntl.flock(descriptor, fcntl.LOCK_SH)

    assert files(made, lock, steps, tmp_path / "file") == [(1, "opening"), (1, "file")]
    shared = made.locks.requests()[1].wanted
    assert shared.shared and shared.name == "the lock of the file file" and made.locks.held == [[]]


def test_who_changes_a_lock_has_none_meanwhile_and_who_does_not_wait_asks_for_nothing(tmp_path: Path) -> None:
    made = Turnstile(tmp_path, 1, ())
    lock = SteppedLock(made)

    def steps(descriptor: int, lock: Any) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with lock:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    assert files(made, lock, steps, tmp_path / "file") == [(1, "opening")]


def test_locks_of_records_keep_no_thread_out(tmp_path: Path) -> None:
    made = Turnstile(tmp_path, 1, ())
    lock = SteppedLock(made)

    def steps(descriptor: int, lock: Any) -> None:
        with lock:
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
        with lock:
            pass

    assert files(made, lock, steps, tmp_path / "file") == []


def test_a_descriptor_that_is_used_again_is_another_file(tmp_path: Path) -> None:
    made = Turnstile(tmp_path, 1, ())
    lock, kept = SteppedLock(made), os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    made.locks.opened()

    def work() -> None:
        for _ in range(2):
            descriptor = os.open(tmp_path / "file", os.O_RDWR)
            with lock:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.close(descriptor)
        with lock:
            fcntl.flock(kept, fcntl.LOCK_EX)

    run(made, work)
    holders = [each.wanted.holder for each in made.locks.requests()]
    os.close(kept)
    assert len(set(holders)) == 3
    assert [holder.startswith(LATER) for holder in holders] == [True, True, False]


def test_makers_that_a_store_took_by_name_make_stepped_locks_when_there_are_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before that, and in every other trial, real ones; and either is what it should be."""
    for name in ("Lock", "RLock", "_allocate_lock"):
        monkeypatch.setattr(threading, name, getattr(threading, name))  # put right afterwards
    monkeypatch.setattr(steppedlocks, "_turnstiles", [])
    steppedlocks.get_ready()
    makers = (threading.Lock, threading.RLock)
    real = [make() for make in makers]
    assert [type(lock).__module__ for lock in real] == ["_thread", "_thread"]
    assert [pickle.loads(pickle.dumps(make)) for make in makers] == [*makers]
    made = Turnstile(tmp_path, 1, ())
    steppedlocks.install(made)
    made.locks.opened()
    first, second = (make() for make in makers)
    assert [isinstance(lock, makers[0]) for lock in (*real, first, second)] == [True, False, True, False]  # type: ignore[arg-type]
    assert [isinstance(lock, makers[1]) for lock in (*real, first, second)] == [False, True, False, True]  # type: ignore[arg-type]
    monkeypatch.undo()

    def work() -> None:
        with first, second:
            pass

    assert run(made, work) == [(1, f"{LATER}2 test_lockwatch.py")]
