"""The disk under a persistence model, while a trace runs over it.

`Disk` applies effects one by one and keeps, for every file and for the directory entries, what
is durable and what is pending. What a crash can leave at that moment is computed from it by
`harness.crash.states`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
    """Durable and pending content of a directory under `model`.

    `pending` holds the inodes of files with pending items. `entries_version` changes with the entries,
    `durable_version` whenever what a crash leaves at least may be another content.
    """

    def __init__(self, base: Image, model: PersistenceModel, seed: int) -> None:
        self.model = model
        self.garbage = Garbage(seed)
        self.files: dict[int, FileState] = {}
        self.others: dict[int, Node] = {}
        self.durable: dict[Slot, int] = {}
        self.entry_ops: list[EntryOp] = []
        self.entries_version = 0
        self.durable_version = 0
        self.pending: set[int] = set()
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
        _METHODS[type(effect)](self, effect, event, time_ns, operation)

    def _write(self, effect: WriteData, event: int, time_ns: int, operation: int) -> None:
        self.garbage.remember(operation, effect.inode, effect.data)
        file = self.files.get(effect.inode)
        if file is not None:
            self._forget_times(file)
            file.write(event, time_ns, effect.offset, effect.data)
            self._note_pending(file)

    def _resize(self, effect: SetSize, event: int, time_ns: int, operation: int) -> None:
        file = self.files.get(effect.inode)
        if file is not None:
            self._forget_times(file)
            file.set_size(event, time_ns, effect.size)
            self._note_pending(file)

    def _forget_times(self, file: FileState) -> None:
        if file.mtime_ns is not None:  # utime was the last word, also for what is durable
            self.durable_version += 1

    def _note_pending(self, file: FileState) -> None:
        if file.items:
            self.pending.add(file.inode)

    def _create(self, effect: NewInode, event: int, time_ns: int, operation: int) -> None:
        if effect.kind is InodeKind.FILE:
            self.files[effect.inode] = FileState(effect.inode, self.model, b"", effect.mode, time_ns)
        else:
            self.others[effect.inode] = Node(effect.kind, mode=effect.mode, target=effect.target)

    def _set_mode(self, effect: SetMode, event: int, time_ns: int, operation: int) -> None:
        inode, mode = effect.inode, effect.mode
        self.durable_version += 1
        if inode in self.files:
            self.files[inode].mode = mode
            self.files[inode].version += 1
        elif inode in self.others:
            node = self.others[inode]
            self.others[inode] = Node(node.kind, mode=mode, target=node.target)

    def _set_times(self, effect: SetTimes, event: int, time_ns: int, operation: int) -> None:
        self.durable_version += 1
        if effect.inode in self.files:
            self.files[effect.inode].mtime_ns = effect.mtime_ns
            self.files[effect.inode].version += 1

    # --- entries -------------------------------------------------------------------------

    def _add_entry(self, effect: AddEntry, event: int, time_ns: int, operation: int) -> None:
        slot = (effect.directory, effect.name)
        self._change_entries([EntryOp(event, {slot: effect.inode}, frozenset((effect.directory,)))])

    def _remove_entry(self, effect: RemoveEntry, event: int, time_ns: int, operation: int) -> None:
        slot = (effect.directory, effect.name)
        self._change_entries([EntryOp(event, {slot: ABSENT}, frozenset((effect.directory,)))])

    def _rename(self, effect: RenameEntry, event: int, time_ns: int, operation: int) -> None:
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

    def _sync_range(self, effect: SyncRange, event: int, time_ns: int, operation: int) -> None:
        if effect.inode in self.files:
            sync_range(self.files[effect.inode], effect.offset, effect.length)
        self._synced()

    def _sync_file(self, effect: SyncFile, event: int, time_ns: int, operation: int) -> None:
        if effect.inode in self.files:
            self.files[effect.inode].sync()
        if effect.entries:
            self._force_entries(self._covered_by_file_sync(effect.inode))
        self._synced()

    def _sync_directory(self, effect: SyncDirectory, event: int, time_ns: int, operation: int) -> None:
        self._force_entries(self._of_directories({effect.inode}))
        self._synced()

    def _sync_all(self, effect: SyncAll, event: int, time_ns: int, operation: int) -> None:
        self._force_entries((1 << len(self.entry_ops)) - 1)
        for inode in sorted(self.pending):
            self.files[inode].sync()
        self._synced()

    def _fail_sync(self, effect: FailedSync, event: int, time_ns: int, operation: int) -> None:
        """A directory's entries stay as they were; what is pending of a file counts as written."""
        if effect.inode in self.files:
            self.files[effect.inode].fail_sync(effect.reverted, time_ns)
        self._synced()

    def _synced(self) -> None:
        self.durable_version += 1
        self.pending = {inode for inode in self.pending if inode in self.files and self.files[inode].items}

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
            for inode in sorted(self.pending):
                self.files[inode].sync(before=latest + 1)
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
            self.pending.discard(inode)


#: What each effect does.
_METHODS: dict[type[Effect], Callable[[Disk, Any, int, int, int], None]] = {
    WriteData: Disk._write,
    SetSize: Disk._resize,
    NewInode: Disk._create,
    AddEntry: Disk._add_entry,
    RemoveEntry: Disk._remove_entry,
    RenameEntry: Disk._rename,
    SetMode: Disk._set_mode,
    SetTimes: Disk._set_times,
    SyncFile: Disk._sync_file,
    SyncRange: Disk._sync_range,
    SyncDirectory: Disk._sync_directory,
    SyncAll: Disk._sync_all,
    FailedSync: Disk._fail_sync,
}
