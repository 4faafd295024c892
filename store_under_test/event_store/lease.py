"""One writer at a time, and what becomes of one that stands still.

The file `lease` is locked with flock for the life of a handle, so the kernel frees it when its holder dies, and the
next opener goes on at once. A holder that only stands still (SIGSTOP, a frozen machine) keeps that lock. With
`lease_s` it writes a new count into the file every quarter of that time, and an opener that sees no new count for
the whole of it, by its own monotonic clock, takes over: it puts a new, locked file in the place of the old one, and
then starts a new segment. Clocks of two processes are never compared, and the wall clock is never asked.

The holder looks whether the file is still its own before it writes, and again after the fsync, before it acknowledges.
When it wakes up between the two, its frame stands behind the end that the new segment's header gives to the old one.

A taker that dies before its new segment has a name leaves the flag `FENCED` behind: the next opener must not
go on in the old segment either, because the stalled writer may still write there.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace

from crc32c import crc32c

from store_under_test.event_store import files
from store_under_test.event_store.errors import LeaseLostError, LockedError

NAME = "lease"
TAKEOVER_NAME = "lease.takeover"
FIRST_DELAY_S = 0.001
MAX_DELAY_S = 0.05
RENEWALS = 4  # in the time of a lease

_MAGIC = b"EVLEASE1"
_RECORD = struct.Struct("<8sQQQII")  # magic, epoch, milliseconds of the lease, count, process, flags
_CRC = struct.Struct("<I")
_RECORD_BYTES = _RECORD.size + _CRC.size
_FENCED = 1
_FLAGS = os.O_RDWR | os.O_CREAT


@dataclass(frozen=True, slots=True)
class Record:
    """What the holder wrote into the file. `lease_ms` 0: it cannot be taken over while it lives."""

    epoch: int = 0
    lease_ms: int = 0
    count: int = 0
    process: int = 0
    is_fenced: bool = False

    def encoded(self) -> bytes:
        """The content of the file."""
        flags = _FENCED if self.is_fenced else 0
        covered = _RECORD.pack(_MAGIC, self.epoch, self.lease_ms, self.count, self.process, flags)
        return covered + _CRC.pack(crc32c(covered))


def decode(data: bytes) -> Record | None:
    """The inverse of `Record.encoded`; `None` for anything else."""
    covered = data[: _RECORD.size]
    if len(data) != _RECORD_BYTES or _CRC.unpack(data[_RECORD.size :])[0] != crc32c(covered):
        return None
    magic, epoch, lease_ms, count, process, flags = _RECORD.unpack(covered)
    return Record(epoch, lease_ms, count, process, bool(flags & _FENCED)) if magic == _MAGIC else None


@dataclass(frozen=True, slots=True)
class Seen:
    """A lease file of another: which file, and what it said."""

    inode: tuple[int, int]
    content: bytes


@dataclass(frozen=True, slots=True)
class Patience:
    """How an opener waits: for how long, by which clocks; and the lease that it will hold itself, all in seconds."""

    timeout_s: float = 10.0
    lease_s: float | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Lease:
    """The lock on a directory, held. `is_fenced`: the last segment must not be written to."""

    def __init__(self, path: str, descriptor: int, record: Record, lease_s: float | None) -> None:
        self.path = path
        self.is_fenced = record.is_fenced
        self._record = replace(record, lease_ms=0 if lease_s is None else max(1, round(lease_s * 1000)))
        self._descriptor: int | None = descriptor
        self._inode = _inode(os.fstat(descriptor))
        self._lease_s = lease_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        _living.add(self)

    @property
    def epoch(self) -> int:
        """That of this holder, after `grant`; of the one before, until then."""
        return self._record.epoch

    def grant(self, epoch: int) -> None:
        """Take `epoch` for this handle, which must be above all that were ever used, and start to renew."""
        self._record = replace(self._record, epoch=epoch, count=0, process=os.getpid(), is_fenced=self.is_fenced)
        self._write()
        if self._lease_s is not None:
            self._thread = threading.Thread(
                target=self._keep_renewing, args=(self._lease_s,), name="event-store-lease", daemon=True
            )
            self._thread.start()

    def settle(self) -> None:
        """A segment of this holder's own is there: the next opener may go on in it."""
        self.is_fenced = False
        with self._lock:
            self._record = replace(self._record, is_fenced=False)
        self._write()

    def check(self) -> None:
        """Raise `LeaseLostError` if another took over."""
        if self._lease_s is not None and not self._is_mine():
            raise LeaseLostError(f"{self.path}: another process has taken over; this handle writes no more")

    def release(self) -> None:
        """Free the lock. A child that was forked meanwhile does not keep it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            except OSError as error:  # closing it does the same
                files.logger.info("could not unlock %s: %s", self.path, error)
            files.close_quietly(descriptor)

    def forget(self) -> None:
        """In a child after fork: the lock is the parent's. Closed, not unlocked, which would free it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            files.close_quietly(descriptor)

    def _is_mine(self) -> bool:
        try:
            return _inode(os.stat(self.path, follow_symlinks=False)) == self._inode
        except FileNotFoundError:
            return False

    def _write(self) -> None:
        with self._lock:
            if self._descriptor is not None:
                files.write_at(self._descriptor, self._record.encoded(), 0)

    def renew(self) -> None:
        """Say that this holder lives. Failing to is a warning: the next one may work."""
        with self._lock:
            self._record = replace(self._record, count=self._record.count + 1)
        try:
            self._write()
        except OSError as error:
            files.logger.warning("could not renew %s: %s", self.path, error)

    def _keep_renewing(self, lease_s: float) -> None:
        while not self._stop.wait(lease_s / RENEWALS):
            self.renew()


def acquire(directory: str, directory_descriptor: int, patience: Patience) -> Lease:
    """The lock on `directory`, waiting for as long as `patience` says.

    Raises `LockedError` when that is over, `OSError` if the file cannot be opened, locked or replaced.
    """
    path = os.path.join(directory, NAME)
    started, delay_s = patience.clock(), FIRST_DELAY_S
    seen, seen_at = None, started
    while True:
        found = _try(path, patience.lease_s)
        if isinstance(found, Lease):
            return found
        now = patience.clock()
        if found != seen:
            seen, seen_at = found, now
        record = decode(found.content) or Record()
        if record.lease_ms and (now - seen_at) * 1000 >= record.lease_ms:
            taken = _take_over(directory, directory_descriptor, found, patience.lease_s)
            if taken is not None:
                return taken
        remaining_s = started + patience.timeout_s - now
        if remaining_s <= 0:
            raise LockedError(path, patience.timeout_s, f"process {record.process or 'unknown'}")
        patience.sleep(min(delay_s, remaining_s))
        delay_s = min(2 * delay_s, MAX_DELAY_S)


def _try(path: str, lease_s: float | None) -> Lease | Seen:
    """The lock; or, if another has it, what was seen."""
    while True:
        descriptor = files.open_file(path, _FLAGS)
        is_kept = False
        try:
            if not _is_locked(descriptor):
                return _seen(descriptor)
            if _inode(os.stat(path, follow_symlinks=False)) == _inode(os.fstat(descriptor)):
                lease = Lease(path, descriptor, decode(_content(descriptor)) or Record(), lease_s)
                is_kept = True
                return lease
        except FileNotFoundError:
            pass  # removed between open and flock: a lock on it excludes nobody
        finally:
            if not is_kept:
                files.close_quietly(descriptor)


def _is_locked(descriptor: int) -> bool:
    """Whether this descriptor has the lock now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _take_over(directory: str, directory_descriptor: int, seen: Seen, lease_s: float | None) -> Lease | None:
    """Put a lease of our own in the place of the one that was `seen` for too long; `None` if it has changed."""
    guard = files.open_file(os.path.join(directory, TAKEOVER_NAME), _FLAGS)
    try:
        if not _is_locked(guard):
            return None  # another is at it
        return _replace(directory, directory_descriptor, seen, lease_s)
    finally:
        files.close_quietly(guard)


def _replace(directory: str, directory_descriptor: int, seen: Seen, lease_s: float | None) -> Lease | None:
    path = os.path.join(directory, NAME)
    old = files.open_file(path, _FLAGS)
    try:
        if _seen(old) != seen:
            return None
    finally:
        files.close_quietly(old)
    record = decode(seen.content) or Record()
    mine = replace(record, epoch=record.epoch + 1, process=os.getpid(), is_fenced=True)
    temporary = f"{path}.tmp"
    files.remove_quietly(temporary)
    descriptor = files.open_file(temporary, _FLAGS | os.O_EXCL)
    try:
        files.write_at(descriptor, mine.encoded(), 0)
        _is_locked(descriptor)  # nobody else knows the file
        files.sync(descriptor, temporary)
        os.rename(temporary, path)
        files.sync(directory_descriptor, directory)
    except BaseException:
        files.close_quietly(descriptor)
        raise
    files.logger.warning("%s: process %d did not renew its lease and was taken over", path, record.process)
    return Lease(path, descriptor, mine, lease_s)


def _seen(descriptor: int) -> Seen:
    return Seen(_inode(os.fstat(descriptor)), _content(descriptor))


def _content(descriptor: int) -> bytes:
    return files.read_at(descriptor, _RECORD_BYTES, 0)


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


_living: weakref.WeakSet[Lease] = weakref.WeakSet()


def _forget_in_child() -> None:
    for lease in list(_living):
        lease.forget()


os.register_at_fork(after_in_child=_forget_in_child)
