"""Mutual exclusion, time limits on virtual time, dead holders."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import pickle
import stat
import threading
from pathlib import Path

import pytest

from store_under_test.metrics_store import LockAcquisitionError, MetricsStoreError
from store_under_test.metrics_store.lock import MAX_DELAY_S, StoreLock
from tests.unit.metrics_store.helpers import VirtualTime, finish, lock_holder, start_python


def lock_at(path: Path, time: VirtualTime | None = None, table: str = "/proc/locks") -> StoreLock:
    time = time or VirtualTime()
    return StoreLock(str(path), clock=time.clock, sleep=time.sleep, lock_table=table)


def test_two_handles_exclude_each_other(tmp_path: Path) -> None:
    """Also within one process; and releasing lets the other in."""
    first, second = lock_at(tmp_path / "l"), lock_at(tmp_path / "l")
    with first.held(0), pytest.raises(LockAcquisitionError):
        second.acquire(0)
    with second.held(0):
        assert not first.try_acquire()


def test_waiting_ends_at_the_time_limit(tmp_path: Path) -> None:
    """To the second, on the clock given, with growing but bounded pauses."""
    time = VirtualTime(now_s=100.0)
    waiting = lock_at(tmp_path / "l", time)
    with lock_at(tmp_path / "l").held(0), pytest.raises(LockAcquisitionError) as caught:
        waiting.acquire(1.5)
    assert time.now_s == pytest.approx(101.5)
    assert caught.value.timeout_s == 1.5
    assert time.slept_s[0] < time.slept_s[1] <= max(time.slept_s) <= MAX_DELAY_S
    assert waiting.metrics.timeouts == 1


def test_a_lock_that_becomes_free_in_time_is_taken(tmp_path: Path) -> None:
    """And the wait is counted with its length."""
    time = VirtualTime()
    holder, waiting = lock_at(tmp_path / "l"), lock_at(tmp_path / "l", time)
    holder.acquire(0)
    time.callbacks.append((3.0, holder.release))
    waiting.acquire(10)
    waiting.release()
    waiting.acquire(0)
    waiting.release()
    metrics = waiting.metrics
    assert (metrics.acquisitions, metrics.waits, metrics.timeouts) == (2, 1, 0)
    assert metrics.waited_s == metrics.longest_wait_s == pytest.approx(3.0, abs=2 * MAX_DELAY_S)


class Queue:
    """Threads that want a lock, each in line before the next one comes; `polled` are those that did not just wait."""

    def __init__(self, path: Path) -> None:
        self.polled: list[str] = []
        self.order: list[str] = []
        self.go = threading.Event()
        self.lock = StoreLock(str(path), clock=lambda: 0.0, sleep=self._sleep)
        self._threads: list[threading.Thread] = []

    def come(self, name: str, timeout_s: float = 1000.0) -> None:
        before = self.lock.waiting
        self._threads.append(threading.Thread(target=self._take, args=(timeout_s,), name=name))
        self._threads[-1].start()
        while self.lock.waiting == before and self._threads[-1].is_alive():
            os.sched_yield()

    def end(self) -> None:
        self.go.set()
        for thread in self._threads:
            thread.join()

    def _sleep(self, seconds: float) -> None:
        self.polled.append(threading.current_thread().name)
        self.go.wait()

    def _take(self, timeout_s: float) -> None:
        with contextlib.suppress(LockAcquisitionError), self.lock.held(timeout_s):
            self.order.append(threading.current_thread().name)


def test_threads_of_one_process_wait_in_line_and_only_the_first_polls(tmp_path: Path) -> None:
    """Thousands that polled would leave no time for the one that works."""
    queue, names = Queue(tmp_path / "l"), [f"thread {number}" for number in range(8)]
    with queue.lock.held(0):
        for name in names:
            queue.come(name)
        assert set(queue.polled) <= {names[0]}
    queue.end()
    assert queue.order == names and queue.lock.waiting == 0
    assert queue.lock.metrics.waits == len(names)


def test_who_waits_in_line_waits_no_longer_than_it_may(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "l")
    with queue.lock.held(0):
        queue.come("patient")
        queue.come("impatient", timeout_s=1e-3)
        while queue.lock.metrics.timeouts == 0:
            os.sched_yield()
        assert queue.lock.waiting == 1
    queue.end()
    assert queue.order == ["patient"]


@pytest.mark.parametrize("timeout_s", [-1.0, math.nan])
def test_a_senseless_time_limit_is_refused(tmp_path: Path, timeout_s: float) -> None:
    """Before anything is touched."""
    with pytest.raises(ValueError, match="at least 0 seconds"):
        lock_at(tmp_path / "l").acquire(timeout_s)
    assert not (tmp_path / "l").exists()


def test_a_second_call_from_within_is_an_error_at_once(tmp_path: Path) -> None:
    """Waiting for oneself would take the whole time limit."""
    lock = lock_at(tmp_path / "l")
    with lock.held(0), pytest.raises(MetricsStoreError, match="must not call the store"):
        lock.acquire(10)


def test_a_thread_that_holds_the_lock_is_named(tmp_path: Path) -> None:
    """Threads that share a handle exclude each other too."""
    lock = lock_at(tmp_path / "l")
    errors: list[LockAcquisitionError] = []

    def contend() -> None:
        with pytest.raises(LockAcquisitionError) as caught:
            lock.acquire(0)
        errors.append(caught.value)

    with lock.held(0):
        thread = threading.Thread(target=contend)
        thread.start()
        thread.join()
    assert repr(threading.current_thread().name) in str(errors[0])


def test_a_process_that_holds_the_lock_is_named_and_its_death_frees_it(tmp_path: Path) -> None:
    """The kernel knows the holder, and unlocks when it is killed."""
    lock = lock_at(tmp_path / "l")
    with lock_holder(tmp_path / "l") as process:
        with pytest.raises(LockAcquisitionError) as caught:
            lock.acquire(0)
        assert caught.value.holder in (f"process {process.pid}", None)
        process.kill()
        process.wait(timeout=60)
        lock.acquire(0)
        lock.release()


def test_an_unknown_holder_is_said_to_be_unknown(tmp_path: Path) -> None:
    """Without the kernel's table, with a table that names nobody, and for another process namespace."""
    path = tmp_path / "l"
    path.touch()
    table = tmp_path / "locks"
    status = path.stat()
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    assert lock_at(path, table=str(table)).holder() is None
    for text, holder in (
        ("", None),
        (f"1: POSIX  ADVISORY  WRITE 7 {device} 0 EOF\n", None),
        (f"1: -> FLOCK  ADVISORY  WRITE 7 {device} 0 EOF\n", None),
        ("1: FLOCK  ADVISORY  WRITE 7 00:00:1 0 EOF\n", None),
        (f"1: FLOCK  ADVISORY  WRITE 0 {device} 0 EOF\n", None),
        (f"1: FLOCK  ADVISORY  WRITE 7 {device} 0 EOF\n", "process 7"),
    ):
        table.write_text(text)
        assert lock_at(path, table=str(table)).holder() == holder


def test_a_lock_file_that_was_removed_meanwhile_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes next locks another file, so the attempt starts over."""
    path = tmp_path / "l"
    real = fcntl.flock

    def flock_and_lose(descriptor: int, operation: int) -> None:
        real(descriptor, operation)
        path.unlink()
        monkeypatch.setattr(fcntl, "flock", real)

    monkeypatch.setattr(fcntl, "flock", flock_and_lose)
    lock = lock_at(path)
    lock.acquire(1)
    assert path.exists()
    assert not lock_at(path).try_acquire()
    lock.release()


def test_a_failing_lock_call_is_raised_and_leaves_the_lock_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not contention is not waited for."""
    lock = lock_at(tmp_path / "l")

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        with pytest.raises(OSError, match="No locks available"):
            lock.acquire(10)
    with lock.held(0):
        assert lock.is_mine()


def test_the_lock_file_is_private_empty_and_never_a_link(tmp_path: Path) -> None:
    """Nothing is written to it, and it is never removed."""
    lock = lock_at(tmp_path / "l")
    with lock.held(0):
        assert stat.S_IMODE((tmp_path / "l").stat().st_mode) & 0o077 == 0
    assert (tmp_path / "l").read_bytes() == b""
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        lock_at(tmp_path / "link").acquire(0)
    assert not (tmp_path / "target").exists()


FORKING = """
import os, sys
from store_under_test.metrics_store import MetricsStore, MetricsStoreError

store = MetricsStore(sys.argv[1])

def fork(state):
    global child
    child = os.fork()

refused = False
try:
    store.update(fork)
except MetricsStoreError as error:
    assert child == 0 and "parent" in str(error), error
    refused = True
if child == 0:
    os._exit(42 if refused and store.load(timeout=60) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
ready, tell = os.pipe()
with store._lock.held(0), store._lock._line.place():
    child = os.fork()
    if child == 0:
        assert store._lock.waiting == 0  # who waits is a thread of the parent
        os.write(tell, b"x")
        sys.stdin.read()  # lives on
        os._exit(0)
    os.read(ready, 1)
    print(child, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_a_forked_child_neither_shares_nor_keeps_its_parents_lock(tmp_path: Path) -> None:
    """It cannot save under it, can lock by itself, and does not hold it on when the parent is killed."""
    with start_python(FORKING, tmp_path / "m.json") as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert process.wait(timeout=60) == -9
        os.kill(child, 0)  # it lives
        with lock_at(tmp_path / "m.json.lock").held(0):
            os.kill(child, 0)


def test_the_store_is_importable_without_the_harness() -> None:
    """And without asyncio, which only the asyncio front needs."""
    program = "import sys, store_under_test.metrics_store; print({'harness', 'asyncio'} & {*sys.modules})"
    assert finish(start_python(program)) == "set()\n"


def test_the_error_crosses_process_boundaries() -> None:
    """It can be pickled, as process pools do."""
    error = pickle.loads(pickle.dumps(LockAcquisitionError("l", 2.0, "process 7")))
    assert (error.path, error.timeout_s, error.holder) == ("l", 2.0, "process 7")
    assert isinstance(error, TimeoutError)
    assert str(error) == "l was not free within 2 s; held by process 7"


def test_waiting_leaks_no_descriptors(tmp_path: Path) -> None:
    """Each of the many attempts closes what it opened."""
    with lock_at(tmp_path / "l").held(0):
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(LockAcquisitionError):
            lock_at(tmp_path / "l").acquire(1)
        assert len(os.listdir("/proc/self/fd")) == before


def test_releasing_frees_the_lock_though_its_descriptor_was_duplicated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is for a moment in every child: closing alone would leave the lock to the duplicate."""
    copies: list[int] = []
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        real(descriptor, operation)
        if operation & fcntl.LOCK_EX:
            copies.append(os.dup(descriptor))

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        with lock_at(tmp_path / "l").held(0):
            assert len(copies) == 1
    with lock_at(tmp_path / "l").held(0):
        os.close(copies[0])
