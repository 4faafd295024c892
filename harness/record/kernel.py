"""Where a store's patched calls end: the real functions, unless something was put between.

A recorder sits above this, and a fault injector below it: a call that the injector fails, cuts short or
carries out before it fails looks to the recorder as if the operating system had done so. What the harness
itself calls goes past it (`originals`).

`engage` puts a gate between, until its block ends. The gate is asked about every call of the store, also those that
only read, and either lets it through or does something else in its place. There may be several: the one engaged first
is asked first, and what it lets through goes to the next. Calls that read are only patched by `install(reading=True)`,
because a store that is merely recorded should not pay for them.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from harness.record import originals as real

#: What a call does, in groups that fail alike.
OPEN, READ, WRITE, SYNC, SIZE, NAME, LIST, STATUS, ATTRIBUTE, CLOSE, LOCK = (
    *("open", "read", "write", "sync", "size", "name"),
    *("list", "status", "attribute", "close", "lock"),
)

#: Every call that goes through here, and its group.
GROUPS: dict[str, str] = {
    "open": OPEN,
    **dict.fromkeys(("read", "readv", "pread", "preadv"), READ),
    **dict.fromkeys(("write", "writev", "pwrite", "pwritev", "sendfile", "copy_file_range", "splice"), WRITE),
    **dict.fromkeys(("truncate", "ftruncate", "posix_fallocate"), SIZE),
    **dict.fromkeys(("fsync", "fdatasync", "sync"), SYNC),
    **dict.fromkeys(("rename", "replace", "link", "symlink", "unlink", "remove", "rmdir", "mkdir"), NAME),
    **dict.fromkeys(("listdir", "scandir"), LIST),
    **dict.fromkeys(("stat", "lstat", "fstat", "access"), STATUS),
    **dict.fromkeys(("chmod", "fchmod", "utime"), ATTRIBUTE),
    **dict.fromkeys(("flock", "lockf"), LOCK),
    "close": CLOSE,
    **dict.fromkeys(("file_read", "file_readinto", "file_readall"), READ),
    "file_open": OPEN,
    "file_write": WRITE,
    "file_truncate": SIZE,
    "file_close": CLOSE,
}
_BY_DESCRIPTOR = frozenset(
    (
        *("write", "writev", "pwrite", "pwritev", "read", "readv", "pread", "preadv", "ftruncate", "posix_fallocate"),
        *("fsync", "fdatasync", "fstat", "fchmod", "close", "flock", "lockf"),
        *("file_read", "file_readinto", "file_readall", "file_write", "file_truncate", "file_close"),
    )
)
_TWO_PATHS = frozenset(("rename", "replace", "link", "symlink"))
_TARGET = {"sendfile": 0, "copy_file_range": 1, "splice": 1}


@dataclass(slots=True)
class Call:
    """One call of the store, before it is made.

    `name` is the function's; those of file objects begin with "file_". `paths` are absolute, `descriptor` is -1 where
    there is none. `flags` are those of an open, or the operation of a lock. `position` is the file offset for reads
    and writes that name one, -1 for those at the descriptor's own position; `size_bytes` what is to be read or
    written, -1 for "up to the end".
    """

    name: str
    group: str
    descriptor: int = -1
    paths: tuple[str, ...] = ()
    flags: int = 0
    position: int = -1
    size_bytes: int = -1

    def path(self) -> str:
        """The file that the call is about, absolute; empty if that can't be told. Of a rename the new name."""
        if self.paths:
            return self.paths[-1]
        try:
            text: str = real.readlink(f"/proc/self/fd/{self.descriptor}")
        except OSError:
            return ""
        return text.removesuffix(" (deleted)")


class Gate(Protocol):
    """Decides what becomes of a call.

    `make()` makes the call as the store wanted it, `make(n)` one that reads or writes `n` bytes only.
    What the gate returns or raises is what the store gets.
    """

    def __call__(self, call: Call, make: Callable[..., Any]) -> Any: ...


def _real_functions() -> dict[str, Any]:
    found = {name: getattr(real, name, None) for name in GROUPS}
    return {name: function for name, function in found.items() if function is not None}


# The names of this module are the functions that patched calls end in: the real ones while no gate is engaged.
globals().update(_real_functions())
_gates: list[Gate] = []


def __getattr__(name: str) -> Any:
    raise AttributeError(f"this platform has no {name}")


def engaged() -> bool:
    """Whether a gate is between."""
    return bool(_gates)


@contextmanager
def engage(gate: Gate) -> Iterator[None]:
    """Ask `gate` about every call in this process, until the block ends; after those that are engaged already."""
    _gates.append(gate)
    if len(_gates) == 1:
        globals().update({name: _gated(name) for name in _real_functions()})
    try:
        yield
    finally:
        _gates[:] = [other for other in _gates if other is not gate]
        if not _gates:
            globals().update(_real_functions())


def _gated(name: str) -> Callable[..., Any]:
    """The function `name` with the gate before it. The original is looked up by name, because what keeps a
    reference to it would be taken for somebody who has to be patched (`references`)."""
    group = GROUPS[name]
    describe = _described_descriptor if name in _BY_DESCRIPTOR else _described_path

    def gated(*arguments: Any, **keywords: Any) -> Any:
        if not _gates:  # another thread was on its way here when the last gate was taken out
            return getattr(real, name)(*arguments, **keywords)
        return _asked(0, describe(name, group, arguments, keywords), _maker(name, arguments, keywords))

    return gated


def _asked(place: int, call: Call, make: Callable[..., Any]) -> Any:
    """Ask the gate at `place`; what it lets through goes to the next, also to one that it has engaged just now."""
    if place >= len(_gates):
        return make()

    def pass_on(size_bytes: int | None = None) -> Any:
        if size_bytes is None:
            return _asked(place + 1, call, make)
        shorter = dataclasses.replace(call, size_bytes=size_bytes)
        return _asked(place + 1, shorter, lambda size=None: make(size_bytes if size is None else size))

    return _gates[place](call, pass_on)


def _maker(name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Callable[..., Any]:
    def make(size_bytes: int | None = None) -> Any:
        given = arguments if size_bytes is None else shortened(name, arguments, size_bytes)
        return getattr(real, name)(*given, **keywords)

    return make


# --- what a call is about -----------------------------------------------------------------------


def _described_descriptor(name: str, group: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Call:
    descriptor = _number(arguments[0] if arguments else keywords.get("fd", -1))
    position = size = -1
    if group in (READ, WRITE):
        size = _extent(name, arguments[1] if len(arguments) > 1 else b"")
        position = arguments[2] if name.startswith("p") and len(arguments) > 2 else -1
    flags = arguments[1] if group == LOCK and len(arguments) > 1 else 0
    return Call(name, group, descriptor, flags=flags, position=position, size_bytes=size)


def _described_path(name: str, group: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Call:
    if name in _TARGET:
        return Call(name, group, _number(arguments[_TARGET[name]]), size_bytes=_sizes_of_copy(name, arguments))
    if name == "file_open":  # (file object, path, mode, ...)
        return Call(name, group, paths=(absolute(arguments[1]),), flags=open_flags(arguments[2]))
    if not arguments:
        return Call(name, group)
    if isinstance(arguments[0], int):  # os.truncate, os.listdir and the like take descriptors too
        return Call(name, group, arguments[0])
    ends = arguments[:2] if name in _TWO_PATHS else arguments[:1]
    directories = _directories(name, keywords)
    paths = tuple(absolute(end, directories[place]) for place, end in enumerate(ends))
    flags = arguments[1] if name == "open" and len(arguments) > 1 else 0
    return Call(name, group, paths=paths, flags=flags)


def _directories(name: str, keywords: dict[str, Any]) -> tuple[int | None, int | None]:
    if name in _TWO_PATHS - {"symlink"}:
        return keywords.get("src_dir_fd"), keywords.get("dst_dir_fd")
    directory = keywords.get("dir_fd")
    return (None if name == "symlink" else directory), directory


_FLAGS = {
    "r": os.O_RDONLY,
    "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
}


def open_flags(mode: Any) -> int:
    """The flags of os.open that `FileIO` uses for `mode`; 0 for a mode that it will refuse."""
    if not isinstance(mode, str):
        return 0
    flags = _FLAGS.get(mode)
    if flags is None:
        flags = next((flags for letter, flags in _FLAGS.items() if letter in mode), 0)
        flags = flags & ~os.O_WRONLY | os.O_RDWR if "+" in mode else flags
    return flags


def _number(target: Any) -> int:
    if isinstance(target, int):
        return target
    try:
        return int(target.fileno())
    except (AttributeError, TypeError, ValueError, OSError):
        return -1


def _extent(name: str, what: Any) -> int:
    """How many bytes a call is about: a number, a buffer, or several buffers."""
    if isinstance(what, int):
        return what
    try:
        if name.endswith("v"):
            return sum(memoryview(part).nbytes for part in what)
        return memoryview(what).nbytes
    except TypeError:
        return -1


def _sizes_of_copy(name: str, arguments: tuple[Any, ...]) -> int:
    place = 3 if name == "sendfile" else 2
    return arguments[place] if len(arguments) > place else -1


def absolute(path: Any, directory: int | None = None) -> str:
    """`path` as text, from the root, without following symbolic links; empty for what is no path."""
    try:
        text = os.fsdecode(path)
    except TypeError:
        return ""
    if not text.startswith("/") and directory is not None:
        try:
            text = os.path.join(real.readlink(f"/proc/self/fd/{directory}"), text)
        except OSError:
            return ""
    return os.path.abspath(text)


def exists(path: str) -> bool:
    """Whether there is anything of this name; asked past the gates."""
    try:
        real.lstat(path)
    except OSError:
        return False
    return True


def shortened(name: str, arguments: tuple[Any, ...], size_bytes: int) -> tuple[Any, ...]:
    """The arguments of a call that reads or writes only so many bytes."""
    changed = list(arguments)
    if name in _TARGET:
        changed[3 if name == "sendfile" else 2] = size_bytes
    elif name in ("writev", "pwritev"):
        joined = b"".join(bytes(memoryview(part).cast("B")) for part in arguments[1])
        changed[1] = [joined[:size_bytes]]
    elif isinstance(arguments[1], int):
        changed[1] = size_bytes
    else:
        changed[1] = memoryview(arguments[1]).cast("B")[:size_bytes]
    return tuple(changed)
