"""Which inode a path or a descriptor means, in numbers that are never reused.

The identity of a file is what the kernel says: its device and inode number. Those are reused
after the last unlink, so a creation always gives a new number, and a last unlink forgets the old
one. Paths are looked up through their directory only: that makes relative paths, `..`, symlinked
parents and `dir_fd` all the same.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.core.errors import HarnessFault
from harness.core.trace import ROOT, Image, InodeKind
from harness.record import originals as real
from harness.record import scan
from harness.record.callsite import HARNESS, caller
from harness.record.log import Arrival, Handle, Place

_DURABLE = getattr(os, "O_DSYNC", 0) | getattr(os, "O_SYNC", 0)
_KERNEL_FILES = ("/proc/", "/sys/")  # regular files by mode, but no storage
_IMPORT_SYSTEM = "<frozen importlib._bootstrap_external>"
_INJECTION = os.path.join(HARNESS, "inject") + os.sep
_TEMPORARY_NAME_CHARACTERS = 8  # of the random part that `tempfile` makes: tmpabcd1234

Status = os.stat_result
Key = tuple[int, int]


def key_of(status: Status) -> Key:
    """What the kernel calls a file: device and inode number."""
    return status.st_dev, status.st_ino


def text_of(path: Any) -> str:
    """A path as text. Raises `TypeError` for what is none, as the real calls do."""
    return path if type(path) is str else os.fsdecode(path)


def status_of(path: Any, dir_fd: int | None) -> Status | None:
    """`lstat`, or `None` where there is nothing to see, or where the real call will refuse the path."""
    try:
        status: Status = real.lstat(path, dir_fd=dir_fd)
    except (OSError, TypeError, ValueError):
        return None
    return status


def path_of_descriptor(descriptor: int) -> str:
    """The absolute path that a descriptor was opened by, as the kernel knows it; "" where it does not say."""
    try:
        return text_of(real.readlink(f"/proc/self/fd/{descriptor}"))
    except OSError:
        pass
    get_path = getattr(fcntl, "F_GETPATH", None)
    if get_path is None:
        return ""
    buffer: bytes = real.fcntl(descriptor, get_path, bytes(1024))
    return os.fsdecode(buffer.rstrip(b"\0"))


def full_path(path: str, dir_fd: int | None) -> str:
    """An absolute path; symlinks in it are not resolved."""
    base = os.getcwd() if dir_fd is None else path_of_descriptor(dir_fd)
    return os.path.normpath(os.path.join(base, path))


def split_path(path: str) -> tuple[str, str]:
    """The directory part, in a form that `stat` takes with a `dir_fd`, and the last component."""
    if path[-1:] == "/":
        path = path.rstrip("/") or "/."
    cut = path.rfind("/") + 1
    return path[:cut] or ".", path[cut:]


def _is_own_work() -> bool:
    """True for writes of the harness (its journal) and of the import system (byte code): not the store's."""
    frame = caller(2)
    if frame is None:
        return False
    name = frame.f_code.co_filename
    return name == _IMPORT_SYSTEM or (name.startswith(HARNESS) and not name.startswith(_INJECTION))


class Identities:
    """The inodes of one recording.

    `known` are the numbers that the trace can speak of: those of the base, those created in a known
    directory, and those that came from outside. They stay known when they are moved out again.
    `strangers` appeared in the directory without a recorded call.
    """

    def __init__(self, root: str, base: Image | None) -> None:
        self.root = root
        numbers, nodes = scan.walk(Path(root))
        self.base = Image(nodes)
        if base is not None:
            numbers = _renumbered(numbers, self.base, base)
            self.base = base
        self.numbers: dict[Key, int] = numbers
        self.known: set[int] = set(self.base.nodes)
        self.strangers: dict[int, str] = {}
        self.outside: set[str] = set()
        self._next = max(self.base.nodes) + 1
        self._directories: dict[str, int | None] = {}
        self._device = real.stat(root).st_dev

    def new(self, status: Status) -> int:
        """The number of an inode that came into being just now."""
        number = self._next
        self._next += 1
        self.numbers[key_of(status)] = number
        return number

    def forget(self, status: Status) -> None:
        """The last name of an inode is gone: its kernel number may be given to another file."""
        if status.st_nlink <= 1 or stat.S_ISDIR(status.st_mode):
            self.numbers.pop(key_of(status), None)

    def number_of(self, status: Status) -> int | None:
        """The number of an inode, if it was met before."""
        return self.numbers.get((status.st_dev, status.st_ino))

    def place(self, path: str, dir_fd: int | None) -> Place:
        """The directory that holds `path`, and the name in it. No directory: as if outside.

        Answers for absolute paths are kept until a recorded call moves or removes a directory or
        changes a symlink (`paths_changed`).
        """
        cut = path.rfind("/") + 1
        if cut < len(path) and path[:cut] in self._directories:
            return self._directories[path[:cut]], path[cut:]
        head, name = split_path(path)
        try:
            status = real.stat(head, dir_fd=dir_fd)
        except (OSError, ValueError):
            return None, name
        parent = self.numbers.get((status.st_dev, status.st_ino))
        if head.startswith("/"):
            self._directories[head] = parent
        return parent, name

    def paths_changed(self, mode: int) -> None:
        """A name of something with `st_mode` = `mode` was changed: paths through it lead elsewhere now."""
        if not stat.S_ISREG(mode):
            self._directories.clear()

    def meet(self, status: Status, path: str, *, writing: bool) -> int:
        """The number of an existing file; one never met is outside, or a stranger inside."""
        number = self.numbers.get(key_of(status))
        if number is None:
            number = self.new(status)
            if path.startswith(self.root + os.sep):
                self.strangers[number] = path[len(self.root) + 1 :]
        if writing and number not in self.known and number not in self.strangers:
            self.note_outside(path)
        return number

    def meet_inside(self, status: Status, name: str) -> int:
        """The number of what has a name in a known directory; one never met is a stranger."""
        number = self.numbers.get(key_of(status))
        if number is None:
            number = self.new(status)
            self.strangers[number] = name
        return number

    def note_outside(self, path: str) -> None:
        """Remember that the store writes to `path`."""
        if not path.startswith(_KERNEL_FILES) and not _is_own_work():
            self.outside.add(path)

    def describe_descriptor(self, descriptor: int) -> Handle | None:
        """What a descriptor that was not seen being opened refers to; `None`: nothing that is recorded."""
        status: Status = real.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            number = self.number_of(status)
            return None if number is None else (number, False, True)
        if not stat.S_ISREG(status.st_mode):
            return None
        number = self.number_of(status)
        if number is None and (status.st_nlink == 0 or descriptor <= 2):
            return None  # an unlinked file has no name to be found by; standard streams are no storage
        flags = real.fcntl(descriptor, fcntl.F_GETFL)
        path = path_of_descriptor(descriptor)
        number = self.meet(status, path, writing=flags & os.O_ACCMODE != os.O_RDONLY)
        return self.handle(number, status, flags)

    def handle(self, number: int, status: Status, flags: int) -> Handle:
        """The handle for a file opened with `flags`."""
        kept = number in self.known or status.st_dev == self._device
        return number, bool(flags & _DURABLE), kept

    def capture(self, number: int | None, path: str) -> list[Arrival]:
        """Make all inodes at and below `path` known to the trace, parents first."""
        status: Status = real.lstat(path)
        top = self.new(status) if number is None else number
        arrivals: list[Arrival] = []
        pending: list[tuple[str, int, int | None, str, Status]] = [(path, top, None, "", status)]
        while pending:
            at, at_number, parent, name, at_status = pending.pop()
            if at_number in self.known:  # its content is in the trace already
                arrivals.append(Arrival(at_number, parent, name, None, 0, "", b""))
                continue
            node = scan.read_node(at, at_status)
            arrivals.append(
                Arrival(at_number, parent, name, node.kind, node.mode, node.target, node.content)
            )
            self.known.add(at_number)
            if node.kind is InodeKind.DIRECTORY:
                pending.extend(self._children(at, at_number))
        return arrivals

    def _children(self, path: str, number: int) -> Iterator[tuple[str, int, int | None, str, Status]]:
        for name in sorted(os.listdir(path), reverse=True):
            child = os.path.join(path, name)
            status: Status = real.lstat(child)
            if scan.kind_of(status.st_mode) is not None:
                known = self.number_of(status)
                yield child, self.new(status) if known is None else known, number, name, status


def _renumbered(numbers: dict[Key, int], found: Image, base: Image) -> dict[Key, int]:
    """The kernel's files with the numbers of `base`, which names the same paths."""
    ours, theirs = found.paths(), base.paths()
    if list(ours) != list(theirs):
        difference = sorted(set(ours) ^ set(theirs))[0]
        raise HarnessFault(f"The directory is not the given base image: {difference} is only in one of them.")
    translation = {ROOT: ROOT} | {ours[path]: theirs[path] for path in ours}
    return {key: translation[number] for key, number in numbers.items()}


def neutral_path(path: str, root: str) -> str:
    """`path` as every run would say it: relative to the directory's parent, TMPDIR or home."""
    near = os.path.dirname(root)
    for base, label in ((near, ".."), (tempfile.gettempdir(), "$TMPDIR"), (os.path.expanduser("~"), "~")):
        for prefix in (base, os.path.realpath(base)):
            if path.startswith(prefix.rstrip(os.sep) + os.sep):
                rest = path[len(prefix.rstrip(os.sep)) + 1 :]
                return "/".join((label, *map(_neutral_name, rest.split(os.sep))))
    return "/".join(map(_neutral_name, path.split(os.sep)))


def _neutral_name(name: str) -> str:
    start, mark, tail = name.partition("tmp")
    random_part = tail[:_TEMPORARY_NAME_CHARACTERS]
    if mark and not start and len(random_part) == _TEMPORARY_NAME_CHARACTERS and _is_random(random_part):
        return "tmp*" + tail[_TEMPORARY_NAME_CHARACTERS:]
    return name


def _is_random(text: str) -> bool:
    return all(character.islower() or character.isdigit() or character == "_" for character in text)
