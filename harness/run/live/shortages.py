"""Shortages of resources, each a context in which there is one, and a gate that sees which calls it struck."""

from __future__ import annotations

import _thread
import contextlib
import errno
import os
import resource
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.inject.resources import ERRORS, Resource, ResourceFault
from harness.record import kernel
from harness.record import originals as real
from harness.record.callsite import call_site
from harness.record.kernel import Call, exists

_STARTERS = ("_start_new_thread", "_start_joinable_thread")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_SHORT = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENAMETOOLONG))
_GREATEST_GAP_BYTES, _LEAST_GAP_BYTES = 1 << 32, 1 << 15


@dataclass(frozen=True, slots=True)
class Hit:
    """A call that failed for want of something, by the number of the operation that was running.

    `absent`: that there is nothing of that name is the truth, and all that this call wanted to know or to bring about.
    """

    where: Any
    call: str
    error: int
    operation: int
    absent: bool = False


@dataclass(slots=True)
class Refusing:
    """A gate that refuses what `resource` refuses in `directory`, while there is a shortage, and notes what failed.

    `most` is the greatest number of descriptors that were open at once, beyond those at the start.
    """

    directory: str
    operation: int = 0
    refuses: Resource | None = None
    hits: list[Hit] = field(default_factory=list)
    last: Any = None
    most: int = 0
    counting: bool = False
    _start: int = 0

    def __call__(self, call: Call, make: Callable[..., Any]) -> Any:
        if self.refuses is not None and self._is_refused(call, self.refuses):
            return self._refuse(call, ERRORS[self.refuses])
        self.last = call_site(2)
        try:
            result = make()
        except OSError as error:
            if error.errno in _SHORT:
                self.hits.append(Hit(call_site(2), call.name.removeprefix("file_"), error.errno, self.operation))
            raise
        if self.counting and call.group in (kernel.OPEN, kernel.LIST):
            self.most = max(self.most, len(open_descriptors()) - self._start)
        return result

    def count(self) -> None:
        """Count descriptors from now on."""
        self.counting, self._start = True, len(open_descriptors())

    def _is_refused(self, call: Call, resource: Resource) -> bool:
        path = call.path()
        if not (path == self.directory or path.startswith(self.directory + os.sep)):
            return False
        creates = bool(call.flags & os.O_CREAT) and not exists(path)
        match resource:
            case Resource.DIRECTORY:
                return call.group == kernel.NAME or (call.group == kernel.OPEN and creates)
            case Resource.FILE_SYSTEM:
                writes = call.group == kernel.OPEN and bool(call.flags & _WRITES) and (creates or _opens_to_write(call))
                return writes or call.group in (kernel.NAME, kernel.WRITE, kernel.SIZE, kernel.ATTRIBUTE)
        return bool(call.paths) and call.group != kernel.CLOSE

    def _refuse(self, call: Call, error: int) -> Any:
        absent = error == errno.ENOENT and _is_content_without(call)
        self.hits.append(Hit(call_site(3), call.name.removeprefix("file_"), error, self.operation, absent))
        if call.name == "access":
            return False
        raise OSError(error, os.strerror(error), call.paths[0] if call.paths else None)


def _is_content_without(call: Call) -> bool:
    """Whether a call looks or removes, so that a store may take "no such file" for an answer."""
    looks = call.group in (kernel.STATUS, kernel.LIST) or (call.group == kernel.OPEN and not call.flags & _WRITES)
    return looks or call.name in ("unlink", "remove", "rmdir")


def _opens_to_write(call: Call) -> bool:
    return bool(call.flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC))


def open_descriptors() -> set[int]:
    """The descriptors of this process, from proc(5), without the one that lists them."""
    found = set()
    for name in real.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            real.fstat(int(name))
            found.add(int(name))
    return found


@contextlib.contextmanager
def short_of(fault: ResourceFault, gate: Refusing) -> Iterator[None]:
    """There is a shortage until the block ends."""
    match fault.resource:
        case Resource.DESCRIPTORS:
            with _descriptor_limit(fault.amount):
                yield
        case Resource.THREADS:
            with _thread_limit(fault.amount, gate):
                yield
        case Resource.MEMORY:
            with memory_limit(fault.amount):
                yield
        case _:
            gate.refuses = fault.resource
            try:
                yield
            finally:
                gate.refuses = None


@contextlib.contextmanager
def _descriptor_limit(more: int) -> Iterator[None]:
    """RLIMIT_NOFILE so low that just `more` numbers are free below it. Numbers above it stay usable."""
    taken = open_descriptors()
    limit = 0
    while more > 0 or limit in taken:
        more -= limit not in taken
        limit += 1
    with _limited(resource.RLIMIT_NOFILE, limit):
        yield


@contextlib.contextmanager
def memory_limit(more_bytes: int) -> Iterator[None]:
    """RLIMIT_AS at what is in use now, and `more_bytes`. Only for a process that may die of it.

    Memory that was freed is in use, as the limit counts, and yet a store could have it: how much depends on all that
    the process did before. So it is taken first (malloc(3) returns only the top of a heap to the system).
    """
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    used = pages * resource.getpagesize()
    with _limited(resource.RLIMIT_AS, used):
        gaps = _gaps()
        with _limited(resource.RLIMIT_AS, used + more_bytes):
            yield
    del gaps


def _gaps() -> list[bytearray]:
    """All the memory that can be had without asking the system for more, but for what is too small to matter."""
    taken, size = [], _GREATEST_GAP_BYTES
    while size >= _LEAST_GAP_BYTES:
        try:
            taken.append(bytearray(size))
        except MemoryError:
            size >>= 1
    return taken


@contextlib.contextmanager
def _limited(kind: int, value: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


@contextlib.contextmanager
def _thread_limit(more: int, gate: Refusing) -> Iterator[None]:
    """Starting a thread fails after `more` of them, as it does in a process that may have no more."""
    with starting_threads(lambda number: _refuse_thread(gate) if number >= more else None):
        yield


def _refuse_thread(gate: Refusing) -> None:
    gate.hits.append(Hit(call_site(3), "start of a thread", errno.EAGAIN, gate.operation))
    raise RuntimeError("can't start new thread")


@contextlib.contextmanager
def starting_threads(told: Callable[[int], None]) -> Iterator[None]:
    """`told` gets the number of each start of a thread, from 0, before it; what it raises is raised there."""
    names = [name for name in _STARTERS if hasattr(threading, name)]
    originals = {name: getattr(threading, name) for name in names}
    plain = _thread.start_new_thread
    count = [0]

    def starter(original: Callable[..., Any]) -> Callable[..., Any]:
        def start(*arguments: Any, **keywords: Any) -> Any:
            number = count[0]
            count[0] += 1
            told(number)
            return original(*arguments, **keywords)

        return start

    for name, original in originals.items():
        setattr(threading, name, starter(original))
    _thread.start_new_thread = starter(plain)
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(threading, name, original)
        _thread.start_new_thread = plain
