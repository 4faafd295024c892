"""The lock that one store's threads and processes take in turn.

A thread lock plus `flock` on a file that is never removed. Every acquisition opens the file anew, so
that two handles exclude each other also within one process, and the kernel frees the lock when its
holder dies (flock(2)). Nothing is written to the lock file: who holds it is asked of the kernel.
"""

from __future__ import annotations

import fcntl
import math
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from store_under_test.metrics_store.errors import LockAcquisitionError, MetricsStoreError
from store_under_test.metrics_store.line import Line

FIRST_DELAY_S = 0.0005
MAX_DELAY_S = 0.02
LOCK_TABLE = "/proc/locks"

# Read-only suffices for flock. Not O_EXCL: everyone opens the same file.
_FLAGS = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class LockMetrics:
    """Contention as one handle saw it: how often the lock was got, had to be waited for, was not got."""

    acquisitions: int = 0
    waits: int = 0
    timeouts: int = 0
    waited_s: float = 0.0
    longest_wait_s: float = 0.0


class StoreLock:
    """A mutual exclusion between threads and processes, with a time limit on the clock given.

    `clock` must be monotonic, in seconds; `sleep` waits that many seconds. Who waits behind another thread of this
    process does so in real time, and in the order of coming.
    """

    def __init__(
        self,
        path: str,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        lock_table: str = LOCK_TABLE,
    ) -> None:
        self.path = path
        self._clock = clock
        self._sleep = sleep
        self._lock_table = lock_table
        self._thread_lock = threading.Lock()
        self._line = Line()
        self._metrics_lock = threading.Lock()
        self._metrics = LockMetrics()
        self._acquisitions = 0  # changed by the holder only
        self._holder: threading.Thread | None = None
        self._descriptor: int | None = None
        _living_locks.add(self)

    @contextmanager
    def held(self, timeout_s: float) -> Iterator[None]:
        """Hold the lock in a `with` block. Raises as `acquire` does."""
        self.acquire(timeout_s)
        try:
            yield
        finally:
            self.release()

    def acquire(self, timeout_s: float) -> None:
        """Take the lock, trying for `timeout_s` seconds (0: once).

        Raises `LockAcquisitionError` when they are over, `MetricsStoreError` at once if this very thread
        holds the lock, `OSError` if the lock file cannot be opened or locked.
        """
        if math.isnan(timeout_s) or timeout_s < 0:
            raise ValueError(f"timeout is {timeout_s}: it must be at least 0 seconds")
        if self.is_mine():
            raise MetricsStoreError("this thread is inside update() and must not call the store again")
        started = self._clock()
        if (self._line and timeout_s > 0) or not self.try_acquire():
            if not self._wait(started + timeout_s):
                self._count_timeout()
                raise LockAcquisitionError(self.path, timeout_s, self.holder())
            self._count_wait(self._clock() - started)
        self._acquisitions += 1

    def _wait(self, deadline: float) -> bool:
        """In line, until the lock is taken; `False` when it is too late. Only the first of a process polls."""
        with self._line.place() as turn:
            if turn.acquire(blocking=False):
                return self._poll(deadline)
            remaining_s = deadline - self._clock()
            came_first = remaining_s > 0 and turn.acquire(timeout=min(remaining_s, threading.TIMEOUT_MAX))
            return came_first and (self.try_acquire() or self._poll(deadline))

    def _poll(self, deadline: float) -> bool:
        delay_s = FIRST_DELAY_S
        while (remaining_s := deadline - self._clock()) > 0:
            self._sleep(min(delay_s, remaining_s))
            if self.try_acquire():
                return True
            delay_s = min(2 * delay_s, MAX_DELAY_S)
        return False

    def try_acquire(self) -> bool:
        """Take the lock if it is free."""
        if not self._thread_lock.acquire(blocking=False):
            return False
        try:
            descriptor = self._lock_file()
        except BaseException:
            self._thread_lock.release()
            raise
        if descriptor is None:
            self._thread_lock.release()
            return False
        self._descriptor = descriptor
        self._holder = threading.current_thread()
        return True

    def release(self) -> None:
        """Free the lock. Does nothing in a child that was forked while its parent held it."""
        if not self.is_mine():
            return
        descriptor = self._descriptor
        self._descriptor = None
        self._holder = None
        try:
            if descriptor is not None:
                _unlock(descriptor)
        finally:
            self._thread_lock.release()

    @property
    def waiting(self) -> int:
        """How many threads of this process wait for the lock."""
        return len(self._line)

    def is_mine(self) -> bool:
        """Whether the calling thread holds the lock."""
        return self._holder is threading.current_thread()

    def holder(self) -> str | None:
        """Who holds the lock now, where that can be known."""
        thread = self._holder
        if thread is not None:
            return f"thread {thread.name!r} of this process ({os.getpid()})"
        process_id = _holding_process(self.path, self._lock_table)
        return None if process_id is None else f"process {process_id}"

    @property
    def metrics(self) -> LockMetrics:
        """What happened since this object was made."""
        return replace(self._metrics, acquisitions=self._acquisitions)

    def _count_wait(self, waited_s: float) -> None:
        with self._metrics_lock:
            old = self._metrics
            longest_s = max(old.longest_wait_s, waited_s)
            self._metrics = replace(
                old, waits=old.waits + 1, waited_s=old.waited_s + waited_s, longest_wait_s=longest_s
            )

    def _count_timeout(self) -> None:
        with self._metrics_lock:
            self._metrics = replace(self._metrics, timeouts=self._metrics.timeouts + 1)

    def _lock_file(self) -> int | None:
        """An open descriptor that holds the lock, or `None` if another has it."""
        descriptor = os.open(self.path, _FLAGS, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink > 0:
                return descriptor
            # Someone removed the file between open and flock: this lock excludes nobody.
        except BlockingIOError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def forget(self) -> None:
        """In a child after fork: what the parent's threads held is none of the child's business.

        The descriptor is closed, not unlocked: unlocking would free the parent's lock.
        """
        descriptor = self._descriptor
        self._thread_lock = threading.Lock()
        self._line = Line()
        self._metrics_lock = threading.Lock()
        self._holder = None
        self._descriptor = None
        if descriptor is not None:
            os.close(descriptor)


def _unlock(descriptor: int) -> None:
    # Unlock before closing: a child forked meanwhile may still have the descriptor.
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _holding_process(path: str, lock_table: str) -> int | None:
    """The process that the kernel's table (proc(5), /proc/locks) names for the file, if it does."""
    try:
        status = os.stat(path)
        with open(lock_table, encoding="ascii") as table:
            lines = table.read().splitlines()
    except (OSError, ValueError):
        return None
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    wanted = f"{device}:{status.st_ino}"
    for line in lines:
        words = line.split()
        if len(words) > 5 and words[1] == "FLOCK" and words[5] == wanted and words[4].isdigit():
            return int(words[4]) or None  # 0: in another process namespace
    return None


_living_locks: weakref.WeakSet[StoreLock] = weakref.WeakSet()


def _forget_in_child() -> None:
    for lock in list(_living_locks):
        lock.forget()


os.register_at_fork(after_in_child=_forget_in_child)
