"""A gate that fails calls of a store in one directory: the n-th that can fail so, or all that need room."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from typing import Any

from harness.record import kernel
from harness.record import originals as real
from harness.record.callsite import CallSites, call_site
from harness.record.kernel import Call, Gate, exists
from harness.run.live.values import Struck

SHORT_WRITE = "short write"
#: Which groups of calls fail with which error; ENOSPC only where the call needs room.
GROUPS = {
    "EIO": (kernel.OPEN, kernel.READ, kernel.WRITE, kernel.SYNC, kernel.SIZE, kernel.NAME, kernel.LIST),
    "ENOSPC": (kernel.OPEN, kernel.WRITE, kernel.SIZE, kernel.NAME),
    "EDQUOT": (kernel.OPEN, kernel.WRITE, kernel.SIZE, kernel.NAME),
    "EACCES": (kernel.OPEN, kernel.NAME, kernel.LIST),
    "EMFILE": (kernel.OPEN,),
    SHORT_WRITE: (kernel.WRITE,),
}
_NEED_ROOM = ("ENOSPC", "EDQUOT")
_MAKE_NAMES = ("mkdir", "link", "symlink")


class Saboteur:
    """Lets calls through until it is told otherwise, to `watch` if there is one. What struck is in `struck`."""

    def __init__(self, directory: str) -> None:
        self.directories = tuple(known(directory) + os.sep for known in (os.path.abspath, os.path.realpath))
        self.struck: list[Struck] = []
        self.seen = 0  # calls that could have failed
        self._error = ""
        self._failing = range(0)
        self._name = ""
        self._room: int | None = None
        self._sites = CallSites()
        self.watch: Gate | None = None

    def arm(self, error: str, nth: int, name: str = "", times: int = 1) -> None:
        """The `nth` call from now fails, of those that can fail with `error` and, if given, are called `name`; so do
        the calls after it until `times` have."""
        self._error, self._name, self.seen = error, name, 0
        self._failing = range(nth, nth + times)

    def disarm(self) -> None:
        self._error = ""

    def fill(self, room_bytes: int | None) -> None:
        """There is room for so many bytes more; `None`: for any number."""
        self._room = room_bytes

    def take(self) -> tuple[Struck, ...]:
        """What struck since the last time."""
        taken, self.struck = tuple(self.struck), []
        return taken

    def __call__(self, call: Call, make: Callable[..., Any]) -> Any:
        if self._room is not None and call.group in GROUPS["ENOSPC"] and self.concerns(call):
            return self._limited(call, make)
        if self._error and call.group in GROUPS[self._error] and self.concerns(call) and self._can_fail(call):
            self.seen += 1
            if self.seen in self._failing:
                return self._fail(call, make)
        return make() if self.watch is None else self.watch(call, make)

    def concerns(self, call: Call) -> bool:
        return (call.path() + os.sep).startswith(self.directories)

    def _can_fail(self, call: Call) -> bool:
        if self._name and plain_name(call.name) != self._name:
            return False
        if self._error == SHORT_WRITE:
            return call.size_bytes > 1
        return self._error not in _NEED_ROOM or needs_room(call)

    def _fail(self, call: Call, make: Callable[..., Any]) -> Any:
        self._note(call, self._error)
        if self._error == SHORT_WRITE:
            return make(call.size_bytes // 2)
        raise _error(call, self._error)

    def _limited(self, call: Call, make: Callable[..., Any]) -> Any:
        """On a disk that is getting full: what fits is written, as a real one does."""
        assert self._room is not None
        wanted = growth_bytes(call)
        if wanted <= self._room and (self._room or not needs_room(call)):
            self._room -= wanted
            return make()
        self._note(call, "ENOSPC")
        if call.group == kernel.WRITE and self._room:
            fitting, self._room = call.size_bytes - (wanted - self._room), 0
            return make(fitting)
        raise _error(call, "ENOSPC")

    def _note(self, call: Call, fault: str) -> None:
        where = self._sites.resolve(*call_site(3))
        self.struck.append(Struck(where, plain_name(call.name), fault))


def plain_name(name: str) -> str:
    """What a user calls a call, whether it is one of `os` or of a file object."""
    plain = name.removeprefix("file_")
    return {"readinto": "read", "readall": "read"}.get(plain, plain)


def needs_room(call: Call) -> bool:
    """Whether the call takes room on the disk: overwriting, renaming and removing do not."""
    if call.group == kernel.OPEN:
        return bool(call.flags & os.O_CREAT) and not exists(call.path())
    if call.group == kernel.NAME:
        return call.name in _MAKE_NAMES
    if call.group == kernel.SIZE:
        return call.name == "posix_fallocate"  # a file that is made longer otherwise has a hole
    return growth_bytes(call) > 0


def growth_bytes(call: Call) -> int:
    """By how many bytes a write makes its file longer."""
    if call.group != kernel.WRITE or call.size_bytes < 0:
        return 0
    try:
        size: int = real.fstat(call.descriptor).st_size
        position: int = call.position if call.position >= 0 else real.lseek(call.descriptor, 0, os.SEEK_CUR)
    except OSError:
        return 0
    start = size if _appends(call.descriptor) else position
    return max(0, start + call.size_bytes - size)


def _appends(descriptor: int) -> bool:
    try:
        return bool(real.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND)
    except OSError:
        return False


def _error(call: Call, name: str) -> OSError:
    number = getattr(errno, name)
    return OSError(number, os.strerror(number), *call.paths[:1])
