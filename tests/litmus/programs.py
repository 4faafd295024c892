"""A few lines to write a trace by hand, and the set of directories that a crash may leave of it."""

from __future__ import annotations

from harness.core.operations import Append
from harness.core.persistence import PRESETS, PersistenceModel
from harness.core.trace import (
    ROOT,
    AddEntry,
    Effect,
    Image,
    InodeKind,
    IoEvent,
    Marker,
    MarkerKind,
    NewInode,
    Node,
    RemoveEntry,
    RenameEntry,
    SetSize,
    SetTimes,
    SyncAll,
    SyncDirectory,
    SyncFile,
    SyncRange,
    Trace,
    WriteData,
    empty_image,
)
from harness.crash.states import CrashState, Enumerator, Limits
from tests.litmus import reference

Outcome = frozenset[tuple[str, bytes]]

#: More than any litmus program needs, so that none of them is explored in bounded mode.
ALL = Limits(states_per_point=200_000)


class Program:
    """Builds a trace call by call.

    `directories` and `durable` are there from the start. A path that ends in a slash is a
    directory. A file can still be written after its name has gone: it is open.
    """

    def __init__(self, *directories: str, **durable: bytes) -> None:
        self.names: dict[str, int] = {}
        self.handles: dict[str, int] = {"": ROOT}
        self.sizes: dict[int, int] = {}
        self.events: list[IoEvent] = []
        self.next = 1
        nodes: dict[int, Node] = dict(empty_image().nodes)
        for path in directories:
            self._put(nodes, path, Node(InodeKind.DIRECTORY, mode=0o755))
        for path, content in durable.items():
            self.sizes[self._put(nodes, path, Node(InodeKind.FILE, content=content))] = len(content)
        self.base = Image(nodes)

    def _put(self, nodes: dict[int, Node], path: str, node: Node) -> int:
        inode = self._new(path)
        nodes[inode] = node
        directory, name = self._slot(path)
        nodes[directory].entries[name] = inode
        return inode

    def _new(self, path: str) -> int:
        inode, self.next = self.next, self.next + 1
        self.names[path] = self.handles[path] = inode
        return inode

    def _slot(self, path: str) -> tuple[int, str]:
        directory, _, name = path.rpartition("/")
        return self.handles[directory], name

    def call(self, *effects: Effect, operation: int = -1) -> Program:
        event = len(self.events)
        self.events.append(IoEvent("call", None, event, operation, effects))
        return self

    def mark(self, kind: MarkerKind, operation: int) -> Program:
        event = len(self.events)
        self.events.append(IoEvent("mark", None, event, operation, marker=Marker(kind, operation)))
        return self

    # --- calls ---------------------------------------------------------------------------

    def create(self, path: str) -> Program:
        inode = self._new(path)
        self.sizes[inode] = 0
        return self.call(NewInode(inode, InodeKind.FILE, 0o644), AddEntry(*self._slot(path), inode))

    def mkdir(self, path: str) -> Program:
        inode = self._new(path)
        return self.call(NewInode(inode, InodeKind.DIRECTORY, 0o755), AddEntry(*self._slot(path), inode))

    def symlink(self, path: str, target: str) -> Program:
        inode = self._new(path)
        return self.call(
            NewInode(inode, InodeKind.SYMLINK, 0o777, target), AddEntry(*self._slot(path), inode)
        )

    def link(self, existing: str, path: str) -> Program:
        inode = self.names[path] = self.handles[path] = self.names[existing]
        return self.call(AddEntry(*self._slot(path), inode))

    def write(self, path: str, offset: int, data: bytes, *, operation: int = -1) -> Program:
        inode = self.handles[path]
        self.sizes[inode] = max(self.sizes[inode], offset + len(data))
        return self.call(WriteData(inode, offset, data), operation=operation)

    def write_durably(self, path: str, offset: int, data: bytes) -> Program:
        inode = self.handles[path]
        self.sizes[inode] = max(self.sizes[inode], offset + len(data))
        return self.call(WriteData(inode, offset, data), SyncRange(inode, offset, len(data)))

    def append(self, path: str, data: bytes) -> Program:
        return self.write(path, self.sizes[self.handles[path]], data)

    def truncate(self, path: str, size: int) -> Program:
        self.sizes[self.handles[path]] = size
        return self.call(SetSize(self.handles[path], size))

    def rename(self, source: str, target: str) -> Program:
        replaced = self.names.get(target)
        inode = self.names.pop(source)
        self.names[target] = self.handles[target] = inode
        return self.call(RenameEntry(*self._slot(source), *self._slot(target), inode, replaced))

    def unlink(self, path: str) -> Program:
        return self.call(RemoveEntry(*self._slot(path), self.names.pop(path)))

    def set_time(self, path: str, mtime_ns: int) -> Program:
        return self.call(SetTimes(self.handles[path], mtime_ns))

    def fsync(self, path: str) -> Program:
        return self.call(SyncFile(self.handles[path], entries=True))

    def fdatasync(self, path: str) -> Program:
        return self.call(SyncFile(self.handles[path], entries=False))

    def fsync_directory(self, path: str = "") -> Program:
        return self.call(SyncDirectory(self.handles[path]))

    def sync(self) -> Program:
        return self.call(SyncAll())

    # --- what a crash leaves -------------------------------------------------------------

    def trace(self, *operations: object) -> Trace:
        return Trace(self.base, tuple(self.events), operations, "/")

    def outcomes(self, model: str | PersistenceModel, *, seed: int = 0) -> set[Outcome]:
        """What a crash may leave at any moment."""
        enumerator = Enumerator(self.trace(), preset(model), seed=seed, limits=ALL)
        found = {outcome(state) for state in enumerator}
        assert enumerator.counts.exhausted
        return found

    def final(self, model: str | PersistenceModel, *, seed: int = 0, limits: Limits = ALL) -> set[Outcome]:
        """What a crash may leave after the last call.

        States are yielded once, so those that an earlier crash leaves too are told apart by
        what the client knows: here it learns something after the last call.
        """
        trace = self.trace(Append("the end"))
        marker = IoEvent("mark", None, len(self.events), -1, marker=Marker(MarkerKind.ACKNOWLEDGE, 0))
        trace = Trace(trace.base, (*trace.events, marker), trace.operations, trace.directory)
        enumerator = Enumerator(trace, preset(model), seed=seed, limits=limits)
        found = {outcome(state) for state in enumerator if state.knowledge.acknowledged}
        assert enumerator.counts.exhausted or limits is not ALL
        return found

    def expected(self, model: str | PersistenceModel, *, listed_tears: bool = True) -> set[Outcome]:
        """What the slow reference says of a crash after the last call."""
        effects = [effect for event in self.events for effect in event.effects]
        return reference.outcomes(self.base, effects, preset(model), 0, listed_tears=listed_tears)


def preset(model: str | PersistenceModel) -> PersistenceModel:
    return PRESETS[model] if isinstance(model, str) else model


def content_of(image: Image) -> Outcome:
    """Paths with contents; directories end in a slash and symbolic links hold their target."""
    found = set()
    for path, inode in image.paths().items():
        node = image.nodes[inode]
        if node.kind is InodeKind.DIRECTORY:
            found.add((path + "/", b""))
        else:
            found.add((path, node.content or node.target.encode()))
    return frozenset(found)


def outcome(state: CrashState) -> Outcome:
    return content_of(state.image())


def files(**contents: bytes) -> Outcome:
    return frozenset(contents.items())


def tree(*directories: str, **contents: bytes) -> Outcome:
    """`files`, and directories with nothing said about what they hold."""
    return frozenset({*contents.items(), *((path + "/", b"") for path in directories)})
