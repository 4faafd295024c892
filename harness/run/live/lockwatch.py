"""Which locks each thread of a run has, and what it asked for while it had them: what `harness.judge.lock_order` joins.

A lock is told by when it was made: the n-th while the store was opened is the same in every run that begins alike;
one that is made later is only known within its run (`LATER`). A lock that one thread takes and another one frees is no
lock but a signal, and left out. Of files only flock(2) is noted. Locks of fcntl(2), and so of lockf(3), belong to the
process: its threads never wait for each other there.
"""

from __future__ import annotations

import _thread
import contextlib
import fcntl
import itertools
import os
from collections.abc import Iterable, Iterator

from harness.core.trace import CallSite
from harness.judge.lock_order import Hold, Request, place
from harness.record import originals as real
from harness.record.kernel import Call

#: Names of what is only known within one run begin with this.
LATER = "later "
#: Requests that are kept of one run.
REQUESTS_MOST = 400


class LockWatch:
    """The locks of the threads that take turns, by their places, and their requests, at most `REQUESTS_MOST`.

    `operations` are the numbers of those under way.
    """

    def __init__(self, count: int) -> None:
        self.held: list[list[Hold]] = [[] for _ in range(count)]
        self.operations = [-1] * count
        self._requests: dict[tuple[int, int, tuple[Hold, ...], Hold], Request] = {}
        self._signals: set[str] = set()
        self._mutex = _thread.allocate_lock()
        self._opener: int | None = _thread.get_ident()
        self._made = {"opening ": itertools.count(1), LATER: itertools.count(1)}
        self._files = _OpenFiles(())

    def opened(self) -> None:
        """The store is open: what is made, or opened, from now on is so later."""
        self._opener, self._files = None, _OpenFiles(_descriptors())

    def made(self, site: CallSite | None) -> tuple[str, str]:
        """A lock is made: what to call it, and what for a reader."""
        name = f"a lock made in line {site.line} of {os.path.basename(site.file)}" if site else "a lock"
        when = "opening " if self._opener == _thread.get_ident() else LATER
        return f"{when}{next(self._made[when])} {place(site)}", name

    # --- locks of threads ------------------------------------------------------------------------

    def asks(self, who: int, wanted: Hold) -> None:
        """The thread at the place `who` is about to wait for a lock, for as long as it takes."""
        with self._mutex:
            held, operation = tuple(self.held[who]), self.operations[who]
            if held and not any(hold.lock == wanted.lock for hold in held) and not self.is_full:
                request = Request(str(who), held, wanted, (who, operation))
                self._requests.setdefault((who, operation, held, wanted), request)

    def took(self, who: int, hold: Hold) -> None:
        with self._mutex:
            self.held[who].append(hold)

    def freed(self, lock: str, by: int | None, owner: int | None) -> None:
        """Who freed it, and who had taken it; none is a thread that takes no turns."""
        with self._mutex:
            if by != owner:
                self._signals.add(lock)
            if owner is not None:
                self.held[owner] = [hold for hold in self.held[owner] if hold.lock != lock]

    # --- locks of files --------------------------------------------------------------------------

    def file_lock(self, call: Call, site: CallSite | None) -> Hold:
        """What a call of flock(2) is about."""
        path = call.path()
        name = f"the lock of the file {os.path.basename(path)}"
        shared = bool(call.flags & fcntl.LOCK_SH)
        return Hold(f"file {path}", name, site, shared, self._files.holder(call.descriptor))

    def file_freed(self, descriptor: int) -> None:
        """An open file has no lock any more."""
        holder = self._files.holder(descriptor)
        with self._mutex:
            self.held[:] = [[hold for hold in held if hold.holder != holder] for held in self.held]

    def file_closed(self, descriptor: int) -> None:
        """It is closed, and with it go its locks."""
        self.file_freed(descriptor)
        self._files.closed(descriptor)

    # --- what was seen ---------------------------------------------------------------------------

    def requests(self) -> list[Request]:
        """All of them, without signals; `origin` is the place of the thread and the number of its operation."""
        found = []
        for request in self._requests.values():
            held = tuple(hold for hold in request.held if hold.lock not in self._signals)
            if held and request.wanted.lock not in self._signals:
                found.append(Request(request.thread, held, request.wanted, request.origin))
        return found

    @property
    def is_full(self) -> bool:
        """Whether no more requests are kept."""
        return len(self._requests) >= REQUESTS_MOST


class _OpenFiles:
    """Names for open files: a descriptor is used again when it was closed, and stands for another one then."""

    def __init__(self, inherited: Iterable[int]) -> None:
        self._closings: dict[int, int] = {}
        self._inherited = frozenset(inherited)

    def holder(self, descriptor: int) -> str:
        closings = self._closings.get(descriptor, 0)
        when = LATER if closings or descriptor not in self._inherited else "opening "
        return f"{when}{descriptor}.{closings}"

    def closed(self, descriptor: int) -> None:
        self._closings[descriptor] = self._closings.get(descriptor, 0) + 1


def _descriptors() -> Iterator[int]:
    """Those that are open, without the one by which that is found out."""
    try:
        names = real.listdir("/proc/self/fd")
    except OSError:  # a system without it
        return
    for name in names:
        with contextlib.suppress(OSError):
            real.fstat(int(name))
            yield int(name)
