"""The file of a log: whole lines at its end, one writer at a time.

Each line goes out in one write(2) to a file opened with O_APPEND, under flock(2) on the file itself and a lock
between threads. O_APPEND alone would do for short lines on most file systems, but POSIX does not promise it (only for
pipes, up to PIPE_BUF), a long write may come short, and the place of a line, which its checksum covers, is only known
to who holds the lock. The kernel frees the lock of a process that dies.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from store_under_test.structured_log.errors import LogBusyError, LogError
from store_under_test.structured_log.forking import remember_to_forget
from store_under_test.structured_log.line import FRESH_LINE, Void, body_of, line_at, with_member

FIRST_DELAY_S = 0.0005
MAX_DELAY_S = 0.02
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_PRIVATE = 0o600
_FIRST_LOOK_BYTES = 4096
_STRIDE_BYTES = 1 << 20
_UNKNOWN = -1


class LogFile:
    """Appends lines to `path`, which it creates when it is first needed. Threads may share it; a fork gets its own.

    `lock_timeout_s` is how long an append waits for others, on `clock`, in seconds.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        lock_timeout_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.path = os.path.abspath(path)
        self._lock_timeout_s = lock_timeout_s
        self._clock = clock
        self._sleep = sleep
        self._closed = False
        self._end = _UNKNOWN  # of the last line written here, if nothing came after it
        self._descriptor: int | None = None
        self._begin()
        remember_to_forget(self)

    def append(self, body: bytes) -> int:
        """Write one line, and return its offset. It survives a crash of the process then.

        Raises `OSError`, `LogBusyError`, or `LogError` once the file is closed; then no record was added, but part of
        a line may have been.
        """
        with self._locked(fcntl.LOCK_EX) as descriptor:
            size = os.fstat(descriptor).st_size
            void = None if size == self._end else torn_tail(descriptor, size)
            start = b""
            if void is not None:
                body = with_member(body, "void", void.plain())
                start = b"" if os.pread(descriptor, 1, size - 1) == b"\n" else FRESH_LINE
            offset = size + len(start)
            data = start + line_at(offset, body)
            self._end = _UNKNOWN
            self._write(descriptor, data)
            self._end = size + len(data)
            return offset

    def settled_bytes(self) -> int:
        """The size at a moment when nobody writes: what is before it changes no more. Raises as `append` does."""
        with self._locked(fcntl.LOCK_SH) as descriptor:
            return os.fstat(descriptor).st_size

    def close(self) -> None:
        """Release the file. Appending to it raises from now on."""
        with self._lock:
            self._closed = True
            self._drop()

    def forget(self) -> None:
        """In a child after a fork: its parent's lock belongs to an open file that both share, and is not its own."""
        self._begin()
        self._drop()

    def _begin(self) -> None:
        """Nothing is locked, and nothing is known of the file."""
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._end = _UNKNOWN

    def _write(self, descriptor: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = os.write(descriptor, rest)
            if written == 0:
                raise OSError(errno.EIO, "a write made no progress", self.path)
            rest = rest[written:]

    @contextmanager
    def _locked(self, how: int) -> Iterator[int]:
        """The open file, locked against threads and processes."""
        if self._owner == threading.get_ident():  # a signal handler or a finalizer that logs
            raise LogBusyError(f"this thread is writing to {self.path} already")
        if not self._lock.acquire(timeout=self._lock_timeout_s):
            raise LogBusyError(f"other threads were writing to {self.path} for {self._lock_timeout_s:g} s")
        try:
            self._owner = threading.get_ident()
            descriptor = self._open_and_lock(how)
            try:
                yield descriptor
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            self._owner = None
            self._lock.release()

    def _open_and_lock(self, how: int) -> int:
        while True:
            descriptor = self._opened()
            self._flock(descriptor, how)
            if os.fstat(descriptor).st_nlink > 0:
                return descriptor
            self._drop()  # somebody removed the file: what is written to it is gone

    def _opened(self) -> int:
        if self._closed:
            raise LogError(f"{self.path} was closed")
        if self._descriptor is None:
            descriptor = os.open(self.path, _FLAGS, _PRIVATE)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise OSError(errno.EINVAL, "not a regular file", self.path)
            self._descriptor = descriptor
            self._end = _UNKNOWN
        return self._descriptor

    def _drop(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _flock(self, descriptor: int, how: int) -> None:
        ends_s = self._clock() + self._lock_timeout_s
        delay_s = FIRST_DELAY_S
        while True:
            try:
                return fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            except BlockingIOError:
                remaining_s = ends_s - self._clock()
                if remaining_s <= 0:
                    sentence = f"other processes were writing to {self.path} for {self._lock_timeout_s:g} s"
                    raise LogBusyError(sentence) from None
            self._sleep(min(delay_s, remaining_s))
            delay_s = min(2 * delay_s, MAX_DELAY_S)


def torn_tail(descriptor: int, size: int) -> Void | None:
    """What follows the last sound line; `None` if nothing does."""
    start = _sound_end(descriptor, size)
    if start == size:
        return None
    crc, position = 0, start
    while position < size:
        piece = os.pread(descriptor, min(_STRIDE_BYTES, size - position), position)
        crc, position = zlib.crc32(piece, crc), position + len(piece)
    return Void(start, size - start, crc)


def _sound_end(descriptor: int, size: int) -> int:
    """Where the last sound line ends: 0 if there is none."""
    end = _after_newline(descriptor, size)
    while end > 0:
        start = _after_newline(descriptor, end - 1)
        if body_of(os.pread(descriptor, end - start, start), start) is not None:
            return end
        end = start
    return 0


def _after_newline(descriptor: int, end: int) -> int:
    """The place after the last line break before `end`: 0 if there is none."""
    look_bytes = _FIRST_LOOK_BYTES
    while end > 0:
        start = max(0, end - look_bytes)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end, look_bytes = start, min(2 * look_bytes, _STRIDE_BYTES)
    return 0
