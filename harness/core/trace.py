"""Traces: the file-system calls of a store, in order, acknowledgements included.

An `IoEvent` is one call and the line of source that made it. What the call did to the disk
is said by its effects, which speak of inodes (numbers given by the recorder, never reused;
the store's directory is inode `ROOT`) and not of paths. So descriptors, renames, hard links and
files unlinked while open need no special treatment afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

ROOT = 0


class InodeKind(Enum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"


@dataclass(frozen=True, slots=True)
class CallSite:
    """The innermost frame outside the standard library and the harness."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


# --- effects -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewInode:
    """An inode comes into being, without a name yet. A file is empty; a symlink has its target."""

    inode: int
    kind: InodeKind
    mode: int
    target: str = ""


@dataclass(frozen=True, slots=True)
class AddEntry:
    """`directory` gets an entry `name` for `inode` (creation, mkdir, link, symlink)."""

    directory: int
    name: str
    inode: int


@dataclass(frozen=True, slots=True)
class RemoveEntry:
    """`directory` loses its entry `name` (unlink, rmdir, or a rename to the outside)."""

    directory: int
    name: str
    inode: int


@dataclass(frozen=True, slots=True)
class RenameEntry:
    """`inode` moves from one name to another; `replaced` is what the new name showed before, if anything."""

    source_directory: int
    source_name: str
    directory: int
    name: str
    inode: int
    replaced: int | None


@dataclass(frozen=True, slots=True)
class WriteData:
    """Bytes written at `offset`; the file grows as needed."""

    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SetSize:
    """truncate, ftruncate, O_TRUNC or fallocate: the file now has `size` bytes; growth reads as zeros."""

    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class SyncFile:
    """fsync (`entries=True`) or fdatasync (`entries=False`) of a file."""

    inode: int
    entries: bool


@dataclass(frozen=True, slots=True)
class SyncRange:
    """O_DSYNC, O_SYNC: the bytes of one call, and the size needed to read them, are durable."""

    inode: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class SyncDirectory:
    """fsync of a directory."""

    inode: int


@dataclass(frozen=True, slots=True)
class SyncAll:
    """sync: everything."""


@dataclass(frozen=True, slots=True)
class FailedSync:
    """fsync or fdatasync of `inode` that did not reach the disk: what was pending is not durable, and counts as clean.

    So no later sync writes it, unless its page is written to again (Rebello et al., ATC 2020). Where the file system
    falls back to what was last synced, `reverted` is the content that the file has from now on, durably.
    """

    inode: int
    reverted: bytes | None = None


@dataclass(frozen=True, slots=True)
class SetMode:
    """chmod: taken as done at once; permissions are no subject of the persistence models."""

    inode: int
    mode: int


@dataclass(frozen=True, slots=True)
class SetTimes:
    """utime: the modification time, in nanoseconds."""

    inode: int
    mtime_ns: int


Effect = (
    NewInode
    | AddEntry
    | RemoveEntry
    | RenameEntry
    | WriteData
    | SetSize
    | SyncFile
    | SyncRange
    | SyncDirectory
    | SyncAll
    | FailedSync
    | SetMode
    | SetTimes
)


class MarkerKind(Enum):
    """Moments of the client in the trace."""

    OPEN_BEGIN = "open begins"
    OPEN_END = "open returned"
    BEGIN = "operation begins"
    ACKNOWLEDGE = "operation acknowledged"
    FAIL = "operation raised"
    OBSERVE = "read by another client, not acknowledged yet"
    CLOSE_BEGIN = "close begins"
    CLOSE_END = "close returned"


@dataclass(frozen=True, slots=True)
class Marker:
    """What the client knew at this moment; `operation` is an index into `Trace.operations`, or -1.

    `OBSERVE`: another client was answered by a read, and the answer shows all operations up to this one.
    """

    kind: MarkerKind
    operation: int = -1


@dataclass(frozen=True, slots=True)
class IoEvent:
    """One file-system call with its effects, or a marker of the client.

    `call` is the name of the call (`os.replace`, `write`, ...), `detail` its arguments for a
    reader (paths relative to the store's directory), `time_ns` the wall clock, `operation` the
    operation in progress (-1: none, the store is being opened or closed).
    """

    call: str
    site: CallSite | None
    time_ns: int
    operation: int
    effects: tuple[Effect, ...] = ()
    detail: str = ""
    marker: Marker | None = None
    thread: int = 0


# --- what a trace starts from --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Node:
    """One inode of an image.

    `content` is for files, and so are `attributes`, the extended ones with their values; `target` is for symlinks,
    `entries` for directories.
    """

    kind: InodeKind
    mode: int = 0o644
    mtime_ns: int = 0
    content: bytes = b""
    target: str = ""
    entries: dict[str, int] = field(default_factory=dict)
    attributes: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """Contents of a directory, by inode number; `ROOT` is the directory itself."""

    nodes: dict[int, Node]

    def paths(self) -> dict[str, int]:
        """Every path relative to the directory, with its inode, parents first."""
        found: dict[str, int] = {}
        pending = [("", ROOT)]
        while pending:
            prefix, number = pending.pop()
            for name, child in sorted(self.nodes[number].entries.items()):
                path = prefix + name
                found[path] = child
                if self.nodes[child].kind is InodeKind.DIRECTORY:
                    pending.append((path + "/", child))
        return dict(sorted(found.items()))


def empty_image() -> Image:
    """A directory with nothing in it."""
    return Image({ROOT: Node(InodeKind.DIRECTORY, mode=0o755)})


class Blindness(Enum):
    """Why a recorder may not have seen everything."""

    REPLAY_DIFFERS = "replay differs"
    CHILD_PROCESS = "child process"
    WRITABLE_MAPPING = "writable memory mapping"
    EXTENDED_ATTRIBUTES = "extended attributes"
    FOREIGN_IO = "I/O by native code"
    HIDDEN_SYNC = "sync by native code possible"
    UNPATCHED_REFERENCE = "unpatched reference"


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something that a recorder could not see, in words, with the recorder that would see it."""

    what: Blindness
    detail: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Trace:
    """A recorded workload.

    `base` is the directory before the first event, all of it durable. `operations` are those
    that stayed in the workload; `unsupported` counts those that left it. `errors` holds, for
    each operation that raised, what it raised. `unseen` is empty when the recorder saw
    everything: replaying all events onto `base` gave exactly the directory left behind.
    """

    base: Image
    events: tuple[IoEvent, ...]
    operations: tuple[Any, ...]
    directory: str
    unsupported: int = 0
    errors: dict[int, str] = field(default_factory=dict)
    unseen: tuple[Unseen, ...] = ()
    outside: tuple[str, ...] = ()
    threads: int = 1
