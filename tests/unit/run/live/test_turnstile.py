"""Threads that take turns: the same schedule gives the same course, and who waits gives its turn away."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.inject.writers import Stand
from harness.record import kernel
from harness.run.live import steppedlocks, turnstile
from harness.run.live.steppedlocks import SteppedLock, SteppedRLock
from harness.run.live.turnstile import Turnstile

Work = Callable[[], None]


def course(directory: Path, switches: tuple[int, ...], *works: Callable[[Turnstile, list[str]], None]) -> Any:
    """Run works under a schedule; what they noted, in order, and the turnstile."""
    made, notes = Turnstile(directory, len(works), switches), list[str]()
    made.run([lambda work=work: work(made, notes) for work in works])  # type: ignore[misc]
    return notes, made


def steps(name: str, count: int = 3) -> Callable[[Turnstile, list[str]], None]:
    def work(made: Turnstile, notes: list[str]) -> None:
        for number in range(count):
            made.step()
            notes.append(f"{name}{number}")

    return work


def test_without_a_switch_they_come_one_after_the_other(tmp_path: Path) -> None:
    notes, made = course(tmp_path, (), steps("a"), steps("b"))
    assert notes == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert made.steps == 6 and made.switched == [] and not made.stuck


def test_at_a_switch_the_next_goes_on_and_at_another_the_first_again(tmp_path: Path) -> None:
    assert course(tmp_path, (2,), steps("a"), steps("b"))[0] == ["a0", "b0", "b1", "b2", "a1", "a2"]
    notes, made = course(tmp_path, (2, 4), steps("a"), steps("b"))
    assert notes == ["a0", "b0", "a1", "a2", "b1", "b2"]
    assert [switch.place for switch in made.switched] == [0, 1]


def test_a_switch_after_the_others_have_ended_is_none(tmp_path: Path) -> None:
    notes, made = course(tmp_path, (5,), steps("a", 1), steps("b", 5))
    assert len(notes) == 6 and made.switched == []


def test_calls_of_the_store_are_steps_and_only_those_about_its_directory(tmp_path: Path) -> None:
    def work(made: Turnstile, notes: list[str]) -> None:
        os.listdir("/")
        with (tmp_path / "file").open("wb", buffering=0) as out:
            out.write(b"x")

    made = Turnstile(tmp_path, 1, ())
    with kernel.engage(made):
        (tmp_path / "other").touch()  # by nobody who takes turns
        assert made.run([lambda: work(made, [])])
    assert [call.name for call in made.members[0].course] == ["open", "write", "close"]
    assert made.steps == 3


@contextmanager
def patience(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(turnstile, "PATIENCE_S", seconds)
        yield


# --- locks ----------------------------------------------------------------------------------------


def locking(lock: Any, name: str, inside: Work = lambda: None) -> Callable[[Turnstile, list[str]], None]:
    def work(made: Turnstile, notes: list[str]) -> None:
        with lock[0]:
            notes.append(f"{name} has it")
            made.step()
            inside()
            notes.append(f"{name} leaves")

    return work


@pytest.mark.parametrize("kind", [SteppedLock, SteppedRLock])
def test_who_waits_for_a_lock_gives_its_turn_away(kind: Any, tmp_path: Path) -> None:
    """Switched away with the lock in its hands, the first goes on as soon as the second wants it."""
    made, notes = Turnstile(tmp_path, 2, (2,)), list[str]()
    lock = [kind(made)]
    works = [locking(lock, "a"), locking(lock, "b")]
    assert made.run([lambda: works[0](made, notes), lambda: works[1](made, notes)])
    assert notes == ["a has it", "a leaves", "b has it", "b leaves"]
    assert len(made.switched) == 1


def test_two_that_wait_for_each_other_are_a_deadlock(tmp_path: Path) -> None:
    """Where each of them stands is told; a lock with a limit is none."""
    made = Turnstile(tmp_path, 2, (2,))
    first, second = SteppedLock(made), SteppedLock(made)

    def one() -> None:
        with first, second:
            pass

    def other() -> None:
        with second, first:
            pass

    assert not made.run([one, other])
    assert made.in_cycle
    stacks = made.stacks()
    assert [(each.place, each.site.function.rpartition(".")[2]) for each in stacks] == [(0, "one"), (1, "other")]
    assert [len(each.held) for each in stacks] == [1, 1] and len(stacks[0].stack) == 1


def test_a_limit_ends_the_waiting(tmp_path: Path) -> None:
    """For a lock that somebody keeps who takes no turns; the others go on meanwhile."""
    made, notes = Turnstile(tmp_path, 2, ()), list[Any]()
    kept = SteppedLock(made)
    kept.acquire()

    def waits() -> None:
        notes.append(kept.acquire(blocking=False))
        notes.append(kept.acquire(timeout=0.01))

    assert made.run([waits, lambda: notes.append("b")])
    assert notes == [False, "b", False]
    assert not made.in_cycle


def test_a_lock_that_is_never_freed_leaves_one_standing(tmp_path: Path) -> None:
    made = Turnstile(tmp_path, 1, ())
    lock = SteppedLock(made)

    def twice() -> None:
        lock.acquire()
        lock.acquire()

    assert not made.run([twice])
    assert made.in_cycle and len(made.stacks()) == 1


def test_a_lock_of_somebody_elses_is_waited_for(tmp_path: Path) -> None:
    """The main thread takes no turns; what it holds is no deadlock."""
    made, notes = Turnstile(tmp_path, 2, ()), list[str]()
    lock = SteppedLock(made)
    assert lock.acquire() and lock.locked() and not lock.acquire(blocking=False)

    def free() -> None:
        notes.append("b")
        lock.release()

    def take() -> None:
        with lock:
            notes.append("a")

    assert made.run([take, free])
    assert notes == ["b", "a"]


def test_a_thread_of_the_stores_own_frees_what_all_wait_for(tmp_path: Path) -> None:
    made, notes = Turnstile(tmp_path, 1, ()), list[str]()
    lock = SteppedLock(made)
    lock.acquire()
    made.step()  # of nobody who takes turns

    def free() -> None:
        while made.members[0].waits is None:
            os.sched_yield()
        lock.release()

    helper = threading.Thread(target=free)
    helper.start()

    def take() -> None:
        with lock:
            notes.append("a")

    assert made.run([take])
    helper.join()
    assert notes == ["a"] and made.steps == 1


def test_a_reentrant_lock_is_taken_again_by_its_holder_only(tmp_path: Path) -> None:
    made, notes = Turnstile(tmp_path, 2, ()), list[Any]()
    lock = SteppedRLock(made)

    def one() -> None:
        with lock, lock:
            notes.append(lock._is_owned())
        lock.acquire()

    def other() -> None:
        notes.append(lock.acquire(blocking=False))
        with pytest.raises(RuntimeError, match="un-acquired"):
            lock.release()

    assert made.run([one, other])
    assert notes == [True, False]
    lock._at_fork_reinit()
    assert lock.acquire()


def test_a_condition_wakes_who_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the makers of locks replaced, as in a process of its own, by a stepped lock and its signals."""
    made, notes = Turnstile(tmp_path, 2, ()), list[str]()
    for name in ("Lock", "RLock", "_allocate_lock"):
        monkeypatch.setattr(threading, name, getattr(threading, name))  # put right afterwards
    monkeypatch.setattr(steppedlocks, "_turnstiles", [])
    steppedlocks.install(made)
    condition = threading.Condition()
    plain = threading.Condition(threading.Lock())
    monkeypatch.undo()
    monkeypatch.setattr(threading, "_allocate_lock", lambda: SteppedLock(made, signal=True))

    def waits() -> None:
        with condition:
            condition.wait()
            notes.append("woken")
        with plain:
            plain.notify()

    def wakes() -> None:
        with condition:
            notes.append("wakes")
            condition.notify_all()

    assert made.run([waits, wakes])
    assert notes == ["wakes", "woken"]


def test_a_thread_lock_and_a_file_lock_are_a_deadlock(tmp_path: Path) -> None:
    """Who waits in the kernel waits for whoever has the file locked."""
    made, descriptors = Turnstile(tmp_path, 2, (3,)), list[int]()
    lock = SteppedLock(made)

    def flock() -> None:
        descriptors.append(os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT))
        fcntl.flock(descriptors[-1], fcntl.LOCK_EX)

    def one() -> None:
        with lock:
            flock()

    def other() -> None:
        flock()
        with lock:
            pass

    with kernel.engage(made):
        assert not made.run([one, other])
    assert made.in_cycle and [each.place for each in made.stacks()] == [0, 1]
    os.close(descriptors[1])  # all go on
    for member in made.members:
        assert member.thread is not None
        member.thread.join()
    os.close(descriptors[0])


def test_a_lock_that_a_thread_of_the_stores_own_will_free_is_no_deadlock(tmp_path: Path) -> None:
    """Each waits for a lock that it has taken itself, as for a signal; the thread that frees both is late."""
    made, notes = Turnstile(tmp_path, 2, ()), list[str]()
    first, second = SteppedLock(made), SteppedLock(made)
    looked = threading.Event()
    are_alone = made._are_alone

    def look() -> bool:
        looked.set()
        return are_alone()

    made._are_alone = look  # type: ignore[method-assign]

    def free() -> None:
        looked.wait()
        first.release()
        second.release()

    def twice(lock: SteppedLock) -> None:
        lock.acquire()
        lock.acquire()
        notes.append("free")

    helper = threading.Thread(target=free)
    helper.start()
    assert made.run([lambda: twice(first), lambda: twice(second)])
    helper.join()
    assert notes == ["free", "free"]


# --- held back ------------------------------------------------------------------------------------


def two_locks(made: Turnstile, notes: list[str], name: str, *locks: SteppedLock) -> Work:
    def work() -> None:
        with locks[0]:
            notes.append(name)
            with locks[1]:
                notes.append(name.upper())

    return work


def stand_of(work: Work) -> Stand:
    """Where `two_locks` asks for its second lock."""
    line = f"test_turnstile.py:{work.__code__.co_firstlineno + 1}"
    return Stand(line, f"test_turnstile.py:{work.__code__.co_firstlineno + 3}")


def test_threads_are_held_back_until_all_stand_where_they_should(tmp_path: Path) -> None:
    notes = list[str]()
    stand = stand_of(two_locks(Turnstile(tmp_path, 1, ()), notes, ""))
    made = Turnstile(tmp_path, 2, (), (stand, stand))
    a, b = SteppedLock(made), SteppedLock(made)
    assert not made.run([two_locks(made, notes, "a", a, b), two_locks(made, notes, "b", b, a)])
    assert made.in_cycle and notes == ["a", "b"] and len(made.switched) == 2


def test_who_is_held_back_goes_on_when_nobody_else_can(tmp_path: Path) -> None:
    notes = list[str]()
    stand = stand_of(two_locks(Turnstile(tmp_path, 1, ()), notes, ""))
    made = Turnstile(tmp_path, 2, (), (stand, stand))
    a, b = SteppedLock(made), SteppedLock(made)
    assert made.run([two_locks(made, notes, "a", a, b), two_locks(made, notes, "b", a, b)])
    assert notes == ["a", "A", "b", "B"]


def test_nobody_is_held_back_alone_or_elsewhere(tmp_path: Path) -> None:
    notes = list[str]()
    stand = stand_of(two_locks(Turnstile(tmp_path, 1, ()), notes, ""))
    for stands in ((stand,), (stand, stand), (Stand(stand.asking, stand.asking),) * 2):
        made = Turnstile(tmp_path, 1, (), stands)
        assert made.run([two_locks(made, notes, "a", SteppedLock(made), SteppedLock(made))])
    assert notes == ["a", "A"] * 3


# --- other ways to wait ---------------------------------------------------------------------------


def test_who_sleeps_loses_its_turn(tmp_path: Path) -> None:
    """A lock that nobody knows of; it is free when the second has ended."""
    made, notes = Turnstile(tmp_path, 2, ()), list[str]()
    event = threading.Event()

    def waits() -> None:
        event.wait()
        made.step()
        notes.append("woken")

    def wakes() -> None:
        notes.append("wakes")
        event.set()

    assert made.run([waits, wakes])
    assert notes == ["wakes", "woken"]


def test_who_polls_gives_its_turn_away(tmp_path: Path) -> None:
    made, notes = Turnstile(tmp_path, 2, ()), list[str]()

    def polls() -> None:
        while "done" not in notes:
            made.step()
        notes.append("polled")

    def does() -> None:
        made.step()
        notes.append("done")

    assert made.run([polls, does])
    assert notes == ["done", "polled"]


def test_a_standstill_that_nobody_explains_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, over = Turnstile(tmp_path, 1, ()), threading.Event()

    def stands() -> None:
        over.wait()

    with patience(monkeypatch, 0.05):
        assert not made.run([stands])
    assert made.stuck and not made.in_cycle
    over.set()


def test_a_thread_that_raises_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)
    made, notes = Turnstile(tmp_path, 2, ()), list[str]()

    def raises() -> None:
        raise ValueError

    assert made.run([raises, lambda: notes.append("b")])
    assert notes == ["b"] and made.stacks() == []
