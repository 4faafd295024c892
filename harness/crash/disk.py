"""The disk under a persistence model, while a trace runs over it.

`Disk` applies effects one by one and keeps, for every file and for the directory entries, what
is durable and what is pending. What a crash can leave at that moment is computed from it by
`harness.crash.states`.
"""

from __future__ import annotations

from harness.core.persistence import DataAgainstEntries, FileSync, PersistenceModel
from harness.core.trace import (
    ROOT,
    AddEntry,
    Effect,
    FailedSync,
    Image,
    InodeKind,
    NewInode,
    Node,
    RemoveEntry,
    RenameEntry,
    SetMode,
    SetSize,
    SetTimes,
    SyncAll,
    SyncDirectory,
    SyncFile,
    SyncRange,
    WriteData,
)
from harness.crash.closure import sync_range
from harness.crash.garbage import Garbage
from harness.crash.namespace import ABSENT, EntryOp, Slot, completed, rename_ops
from harness.crash.pending import FileState


class Disk:
    """Durable and pending content of a directory under `model`."""

    def __init__(self, base: Image, model: PersistenceModel, seed: int) -> None:
        self.model = model
        self.garbage = Garbage(seed)
        self.files: dict[int, FileState] = {}
        self.others: dict[int, Node] = {}
        self.durable: dict[Slot, int] = {}
        self.entry_ops: list[EntryOp] = []
        self.entries_version = 0
        self.modes: dict[int, int] = {}
        for number, node in base.nodes.items():
            self._add_node(number, node)
        self.current = dict(self.durable)

    def _add_node(self, number: int, node: Node) -> None:
        if node.kind is InodeKind.FILE:
            self.files[number] = FileState(number, self.model, node.content, node.mode, node.mtime_ns)
            return
        self.others[number] = node
        for name, child in node.entries.items():
            self.durable[number, name] = child

    # --- effects -------------------------------------------------------------------------

    def apply(self, effect: Effect, event: int, time_ns: int, operation: int) -> None:
        """One effect of the call `event`, made at `time_ns` on behalf of `operation`."""
        match effect:
            case WriteData(inode, offset, data):
                self.garbage.remember(operation, inode, data)
                if inode in self.files:
                    self.files[inode].write(event, time_ns, offset, data)
            case SetSize(inode, size):
                if inode in self.files:
                    self.files[inode].set_size(event, time_ns, size)
            case NewInode():
                self._create(effect, time_ns)
            case AddEntry(directory, name, inode):
                self._change_entries([EntryOp(event, {(directory, name): inode}, frozenset((directory,)))])
            case RemoveEntry(directory, name):
                self._change_entries([EntryOp(event, {(directory, name): ABSENT}, frozenset((directory,)))])
            case RenameEntry():
                self._rename(effect, event)
            case SetMode(inode, mode):
                self._set_mode(inode, mode)
            case SetTimes(inode, mtime_ns):
                if inode in self.files:
                    self.files[inode].mtime_ns = mtime_ns
                    self.files[inode].version += 1
            case FailedSync(inode, reverted):
                if inode in self.files:
                    self.files[inode].fail_sync(reverted, time_ns)
            case SyncFile() | SyncRange() | SyncDirectory() | SyncAll():
                self._sync(effect)

    def _create(self, effect: NewInode, time_ns: int) -> None:
        if effect.kind is InodeKind.FILE:
            self.files[effect.inode] = FileState(effect.inode, self.model, b"", effect.mode, time_ns)
        else:
            self.others[effect.inode] = Node(effect.kind, mode=effect.mode, target=effect.target)

    def _set_mode(self, inode: int, mode: int) -> None:
        if inode in self.files:
            self.files[inode].mode = mode
            self.files[inode].version += 1
        elif inode in self.others:
            node = self.others[inode]
            self.others[inode] = Node(node.kind, mode=mode, target=node.target)

    def _rename(self, effect: RenameEntry, event: int) -> None:
        source = (effect.source_directory, effect.source_name)
        target = (effect.directory, effect.name)
        self._change_entries(rename_ops(self.model, event, source, target, effect.inode, effect.replaced))

    def _change_entries(self, ops: list[EntryOp]) -> None:
        for op in ops:
            self.entry_ops.append(op)
            for slot, inode in op.changes.items():
                if inode == ABSENT:
                    self.current.pop(slot, None)
                else:
                    self.current[slot] = inode
        self.entries_version += 1

    # --- syncs ---------------------------------------------------------------------------

    def _sync(self, effect: Effect) -> None:
        match effect:
            case SyncRange(inode, offset, length):
                if inode in self.files:
                    sync_range(self.files[inode], offset, length)
            case SyncFile(inode, entries):
                if inode in self.files:
                    self.files[inode].sync()
                if entries:
                    self._force_entries(self._covered_by_file_sync(inode))
            case SyncDirectory(inode):
                self._force_entries(self._of_directories({inode}))
            case SyncAll():
                self._force_entries((1 << len(self.entry_ops)) - 1)
                for file in self.files.values():
                    file.sync()

    def _covered_by_file_sync(self, inode: int) -> int:
        scope = self.model.file_sync
        if scope is FileSync.WHOLE_JOURNAL:
            return (1 << len(self.entry_ops)) - 1
        if scope is FileSync.DATA_AND_SIZE:
            return 0
        return self._own_entries(inode, ancestors=scope is FileSync.ANCESTORS)

    def _own_entries(self, inode: int, *, ancestors: bool) -> int:
        """The operations that gave `inode` the names it has now, and its directories theirs."""
        mask, wanted, seen = 0, [inode], {ROOT}
        while wanted:
            number = wanted.pop()
            if number in seen:
                continue
            seen.add(number)
            for slot in [slot for slot, child in self.current.items() if child == number]:
                mask |= self._last_op_on(slot)
                if ancestors:
                    wanted.append(slot[0])
        return mask

    def _last_op_on(self, slot: Slot) -> int:
        for index in reversed(range(len(self.entry_ops))):
            if slot in self.entry_ops[index].changes:
                return 1 << index
        return 0

    def _of_directories(self, directories: set[int]) -> int:
        return sum(1 << index for index, op in enumerate(self.entry_ops) if op.directories & directories)

    def _force_entries(self, mask: int) -> None:
        """The operations of `mask` are durable, and all that the order requires of them."""
        mask = completed(self.entry_ops, mask, self.model)
        if not mask:
            return  # what is known of the names stays true
        latest = -1
        for index, op in enumerate(self.entry_ops):
            if mask >> index & 1:
                op.forced = True
                latest = max(latest, op.event)
                if op.waits_for in self.files:
                    self.files[op.waits_for].sync(before=op.event + 1)
        if self.model.data_against_entries is DataAgainstEntries.ORDERED and latest >= 0:
            for file in self.files.values():
                file.sync(before=latest + 1)
        self._fold_entries()

    def _fold_entries(self) -> None:
        lost_names: set[int] = set()
        while self.entry_ops and self.entry_ops[0].forced:
            for slot, inode in self.entry_ops.pop(0).changes.items():
                lost_names.add(self.durable.pop(slot, ABSENT))
                if inode != ABSENT:
                    self.durable[slot] = inode
        self.entries_version += 1
        self._forget(lost_names)

    def _forget(self, inodes: set[int]) -> None:
        """Files that had a name and that no name can show again; writes to them through a descriptor don't matter."""
        if not inodes - {ABSENT}:
            return
        named = set(self.durable.values()) | set(self.current.values())
        named.update(inode for op in self.entry_ops for inode in op.changes.values())
        for inode in inodes - named:
            self.files.pop(inode, None)
