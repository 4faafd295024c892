"""A second, slow and plain account of the persistence models, to compare the fast one with.

Every DiskOp since the start is kept in one list; every subset of them is tried and dropped if it
breaks a rule. Nothing is folded, cached or derived step by step, and nothing is shared with
`harness.crash` but the bytes that count as garbage.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.core.persistence import (
    DataAgainstEntries,
    EntryOrder,
    FileSync,
    Growth,
    LastPage,
    PersistenceModel,
    Rename,
    ReplaceFlush,
    Survival,
    Torn,
)
from harness.core.trace import (
    ROOT,
    AddEntry,
    Effect,
    Image,
    InodeKind,
    NewInode,
    RemoveEntry,
    RenameEntry,
    SetSize,
    SyncAll,
    SyncDirectory,
    SyncFile,
    SyncRange,
    WriteData,
)
from harness.crash.garbage import Garbage

Outcome = frozenset[tuple[str, bytes]]
Slot = tuple[int, str]
Units = frozenset[int]
UNIT_BYTES = {Torn.WRITE: 512, Torn.SECTOR: 512, Torn.PAGE: 4096, Torn.BYTE_PREFIX: 1}


@dataclass(eq=False)
class Entry:
    """A change of directory entries; `after` is the earlier part of the same rename."""

    time: int
    changes: dict[Slot, int | None]
    directories: set[int]
    after: Entry | None = None
    waits_for: int | None = None
    durable: bool = False


@dataclass(eq=False)
class Write:
    time: int
    offset: int
    data: bytes
    units: Units
    durable: set[int] = field(default_factory=set)


@dataclass(eq=False)
class Size:
    time: int
    size: int
    truncates: bool
    tail: bool
    durable: bool = False


@dataclass
class File:
    """A file as it was at first, and what was issued to it since."""

    base: bytes
    size: int
    issued: list[Write | Size] = field(default_factory=list)

    @property
    def writes(self) -> list[Write]:
        return [item for item in self.issued if isinstance(item, Write)]

    @property
    def steps(self) -> list[Size]:
        return [item for item in self.issued if isinstance(item, Size)]


@dataclass(frozen=True)
class Kept:
    """What persisted of a file: the units of each write, and how many size steps."""

    units: tuple[Units, ...]
    steps: int


class Disk:
    """Everything that was issued, and which of it a sync has named."""

    def __init__(self, base: Image, model: PersistenceModel, seed: int) -> None:
        self.model = model
        self.unit = UNIT_BYTES[model.torn]
        self.garbage = Garbage(seed)
        self.kinds = {number: node.kind for number, node in base.nodes.items()}
        self.targets = {number: node.target for number, node in base.nodes.items()}
        self.files = {
            number: File(node.content, len(node.content))
            for number, node in base.nodes.items()
            if node.kind is InodeKind.FILE
        }
        self.names: dict[Slot, int] = {
            (number, name): child
            for number, node in base.nodes.items()
            for name, child in node.entries.items()
        }
        self.entries: list[Entry] = []

    def issue(self, time: int, effect: Effect) -> None:
        match effect:
            case NewInode(inode, kind):
                self.kinds[inode] = kind
                self.targets[inode] = effect.target
                if kind is InodeKind.FILE:
                    self.files[inode] = File(b"", 0)
            case AddEntry(directory, name, inode):
                self.entries.append(Entry(time, {(directory, name): inode}, {directory}))
            case RemoveEntry(directory, name):
                self.entries.append(Entry(time, {(directory, name): None}, {directory}))
            case RenameEntry():
                self._rename(time, effect)
            case WriteData(inode, offset, data):
                self._write(time, self.files[inode], offset, data)
            case SetSize(inode, size):
                self._set_size(time, self.files[inode], size)
            case _:
                self._sync(effect)

    def _rename(self, time: int, effect: RenameEntry) -> None:
        source, target = (effect.source_directory, effect.source_name), (effect.directory, effect.name)
        steps: list[dict[Slot, int | None]] = [{source: None, target: effect.inode}]
        if self.model.rename is Rename.DESTINATION_GONE:
            steps = [{target: None}, *steps]
        if self.model.rename is Rename.BOTH_GONE:
            steps = [{target: None}, {source: None}, {target: effect.inode}]
        waits = effect.replaced is not None and self.model.replace_flush is ReplaceFlush.WAITS
        before = None
        for changes in steps:
            before = Entry(time, changes, {source[0], target[0]}, before, effect.inode if waits else None)
            self.entries.append(before)

    def _write(self, time: int, file: File, offset: int, data: bytes) -> None:
        if not data:
            return
        units = frozenset(range(offset // self.unit, (offset + len(data) - 1) // self.unit + 1))
        file.issued.append(Write(time, offset, data, units))
        while file.size < offset + len(data):
            page_end = file.size - file.size % 4096 + 4096
            step = min(page_end, offset + len(data))
            file.issued.append(Size(time, step, truncates=False, tail=file.size % 4096 != 0))
            file.size = step

    def _set_size(self, time: int, file: File, size: int) -> None:
        if size != file.size:
            file.issued.append(Size(time, size, truncates=size < file.size, tail=False))
        file.size = size

    # --- syncs name what they cover; what that requires follows from the rules -----------

    def _sync(self, effect: Effect) -> None:
        match effect:
            case SyncAll():
                for file in self.files.values():
                    _sync_file(file)
                covered: Iterable[Entry] = self.entries
            case SyncDirectory(inode):
                covered = [entry for entry in self.entries if inode in entry.directories]
            case SyncFile(inode, entries):
                _sync_file(self.files[inode])
                covered = self._covered(inode) if entries else []
            case SyncRange(inode, offset, length):
                self._sync_range(self.files[inode], offset, length)
                covered = []
            case _:
                raise AssertionError(effect)
        for entry in covered:
            entry.durable = True

    def _sync_range(self, file: File, offset: int, length: int) -> None:
        if not length:
            return
        for write in file.writes:
            write.durable |= {
                unit
                for unit in write.units
                if unit * self.unit < offset + length and offset < (unit + 1) * self.unit
            }
        reached = len(file.base)
        steps = file.steps
        for number, step in enumerate(steps):
            later_truncation = any(later.truncates for later in steps[number:])
            if later_truncation or reached < offset + length:
                step.durable = True
                reached = step.size

    def _covered(self, inode: int) -> list[Entry]:
        match self.model.file_sync:
            case FileSync.DATA_AND_SIZE:
                return []
            case FileSync.OWN_ENTRY:
                return self._naming(inode)
            case FileSync.ANCESTORS:
                return self._naming_ancestors(inode)
            case FileSync.WHOLE_JOURNAL:
                return list(self.entries)

    def _naming(self, inode: int) -> list[Entry]:
        now = self.apply(self.entries)
        slots = [slot for slot, child in now.items() if child == inode]
        last = ([entry for entry in self.entries if slot in entry.changes][-1:] for slot in slots)
        return [entry for entries in last for entry in entries]

    def _naming_ancestors(self, inode: int) -> list[Entry]:
        if inode == ROOT:
            return []
        now = self.apply(self.entries)
        parents = {slot[0] for slot, child in now.items() if child == inode}
        return self._naming(inode) + [e for parent in parents for e in self._naming_ancestors(parent)]

    def apply(self, entries: Iterable[Entry]) -> dict[Slot, int]:
        """The names after exactly these entry operations."""
        names: dict[Slot, int | None] = dict(self.names)
        for entry in entries:
            names.update(entry.changes)
        return {slot: inode for slot, inode in names.items() if inode is not None}


def _sync_file(file: File) -> None:
    for item in file.issued:
        if isinstance(item, Write):
            item.durable = set(item.units)
        else:
            item.durable = True


# --- the rules about entries ---------------------------------------------------------------


def entry_subsets(disk: Disk) -> list[tuple[Entry, ...]]:
    """Every legal subset of the entry operations: each is kept or lost, if it may."""
    found: list[tuple[Entry, ...]] = [()]
    for entry in disk.entries:
        required = _required(disk, entry)
        keeping = [(*kept, entry) for kept in found if all(earlier in kept for earlier in required)]
        found = keeping if entry.durable else found + keeping
    return found


def _required(disk: Disk, entry: Entry) -> list[Entry]:
    earlier = disk.entries[: disk.entries.index(entry)]
    match disk.model.entries:
        case EntryOrder.TOTAL:
            return earlier
        case EntryOrder.PER_DIRECTORY:
            return [other for other in earlier if other.directories & entry.directories]
        case EntryOrder.FREE:
            return [entry.after] if entry.after else []


# --- the rules about files -----------------------------------------------------------------


def any_tear(units: Units) -> list[Units]:
    """All subsets."""
    return [frozenset(kept) for n in range(len(units) + 1) for kept in itertools.combinations(units, n)]


def file_choices(disk: Disk, inode: int, entries: tuple[Entry, ...], *, listed_tears: bool) -> Iterator[Kept]:
    """Every legal choice for a file, given the entry operations that persisted."""
    file, model = disk.files[inode], disk.model
    tears = [
        [
            kept
            for kept in any_tear(write.units)
            if write.durable <= kept and _tear_legal(write.units, kept, model.torn)
        ]
        for write in file.writes
    ]
    for units in itertools.product(*tears):
        if not _units_legal(file, units, model, listed_tears):
            continue
        for steps in range(len(file.steps) + 1):
            kept = Kept(units, steps)
            if _sizes_legal(disk, file, kept, entries) and _entries_satisfied(disk, inode, kept, entries):
                yield kept


def _units_legal(file: File, units: tuple[Units, ...], model: PersistenceModel, listed_tears: bool) -> bool:
    for index, (write, kept) in enumerate(zip(file.writes, units, strict=True)):
        lost_earlier = {
            unit
            for earlier, before in zip(file.writes[:index], units, strict=False)
            for unit in earlier.units - before
        }
        if kept & lost_earlier:
            return False
        most = frozenset(write.units - lost_earlier)
        if listed_tears and kept != most and not _is_listed(write.units, kept, model.torn):
            return False
    return True


def _tear_legal(units: Units, kept: Units, torn: Torn) -> bool:
    match torn:
        case Torn.WRITE:
            return kept in (frozenset(), units)
        case Torn.BYTE_PREFIX:
            return sorted(units)[: len(kept)] == sorted(kept)
        case _:
            return True


def _is_listed(units: Units, kept: Units, torn: Torn) -> bool:
    """All, none, each prefix, each suffix, each single unit missing."""
    if torn in (Torn.WRITE, Torn.BYTE_PREFIX):
        return True
    inside, outside = sorted(kept), sorted(units - kept)
    if not inside or len(outside) <= 1:
        return True
    return inside[-1] < outside[0] or outside[-1] < inside[0]


def _sizes_legal(disk: Disk, file: File, kept: Kept, entries: tuple[Entry, ...]) -> bool:
    steps = file.steps
    if any(step.durable for step in steps[kept.steps :]):
        return False
    lost_truncations = [step.time for step in steps[kept.steps :] if step.truncates]
    for write, units in zip(file.writes, kept.units, strict=True):
        if units and any(_before(file, time, write) for time in lost_truncations):
            return False
    for step in steps[: kept.steps]:
        if _needs_data(step, disk.model) and not _data_below_is_kept(disk, file, step, kept):
            return False
        lost_entries = [entry for entry in disk.entries if entry not in entries]
        ordered = disk.model.data_against_entries is DataAgainstEntries.ORDERED
        if ordered and not step.durable and any(entry.time < step.time for entry in lost_entries):
            return False
    return True


def _before(file: File, truncation_time: int, write: Write) -> bool:
    return truncation_time < write.time


def _needs_data(step: Size, model: PersistenceModel) -> bool:
    if model.growth is not Growth.DATA_FIRST or step.truncates:
        return False
    return not (step.tail and model.last_page is LastPage.SEPARATE)


def _data_below_is_kept(disk: Disk, file: File, step: Size, kept: Kept) -> bool:
    for write, units in zip(file.writes, kept.units, strict=True):
        if write.time > step.time:
            continue
        cuts = [s.size for s in file.steps if s.truncates and write.time < s.time <= step.time]
        end = min([step.size, write.offset + len(write.data), *cuts])
        if any(unit * disk.unit < end for unit in write.units - units):
            return False
    return True


def _entries_satisfied(disk: Disk, inode: int, kept: Kept, entries: tuple[Entry, ...]) -> bool:
    """What persisted of the entries may wait for earlier data."""
    ordered = disk.model.data_against_entries is DataAgainstEntries.ORDERED
    times = [entry.time for entry in entries if ordered or entry.waits_for == inode]
    latest = max(times, default=-1)
    file = disk.files[inode]
    return all(
        write.time > latest or units == write.units
        for write, units in zip(file.writes, kept.units, strict=True)
    ) and all(step.time > latest for step in file.steps[kept.steps :])


# --- contents ------------------------------------------------------------------------------


def contents(disk: Disk, inode: int, kept: Kept, known: Kept) -> Iterator[bytes]:
    """What `kept` shows, gaps as zeros, and, where the model says so, as garbage."""
    file = disk.files[inode]
    units = dict(zip(file.writes, kept.units, strict=True))
    steps = set(file.steps[: kept.steps])
    floor, settled = settled_size(file, known)
    shown: dict[int, int] = dict(enumerate(file.base))
    gaps: set[int] = set()
    size = len(file.base)
    for item in file.issued:
        if isinstance(item, Write):
            for position, byte in enumerate(item.data, item.offset):
                if position // disk.unit in units[item]:
                    shown[position] = byte
                elif position not in shown:
                    gaps.add(position)
        elif item in steps:
            size = item.size
            if item.truncates:
                floor = floor if item in settled else min(floor, size)
                shown = {position: byte for position, byte in shown.items() if position < size}
                gaps = {position for position in gaps if position < size}
    gaps = {position for position in gaps if floor <= position < size}
    zeros = bytes(shown.get(position, 0) for position in range(size))
    yield zeros
    if gaps and disk.model.growth is Growth.SIZE_FIRST_GARBAGE:
        for fill in disk.garbage.fills(max(len(run) for run in runs(gaps)), -1):
            filled = bytearray(zeros)
            for run in runs(gaps):
                filled[run[0] : run[0] + len(run)] = fill[: len(run)]
            yield bytes(filled)


def runs(positions: set[int]) -> list[list[int]]:
    """Neighbouring positions together."""
    found: list[list[int]] = []
    for position in sorted(positions):
        if found and found[-1][-1] == position - 1:
            found[-1].append(position)
        else:
            found.append([position])
    return found


def settled_size(file: File, least: Kept) -> tuple[int, list[Size]]:
    """The size before the first DiskOp that may still be lost: below it nothing is a gap. And its steps."""
    size, steps = len(file.base), list[Size]()
    units = dict(zip(file.writes, least.units, strict=True))
    for item in file.issued:
        if isinstance(item, Write):
            if units[item] != item.units:
                break
        elif len(steps) == least.steps:
            break
        else:
            size = item.size
            steps.append(item)
    return size, steps


def least_choice(disk: Disk, inode: int, entries: tuple[Entry, ...]) -> Kept:
    legal = list(file_choices(disk, inode, entries, listed_tears=False))
    return min(legal, key=lambda kept: sum(map(len, kept.units)) + kept.steps)


# --- outcomes ------------------------------------------------------------------------------


def outcomes(
    base: Image, effects: list[Effect], model: PersistenceModel, seed: int, *, listed_tears: bool = True
) -> set[Outcome]:
    """What a crash after the last effect may leave; `listed_tears`: or any tear that is legal."""
    disk = Disk(base, model, seed)
    for time, effect in enumerate(effects):
        disk.issue(time, effect)
    if model.survival is Survival.ALL_COMPLETED:
        disk.issue(len(effects), SyncAll())
    subsets = entry_subsets(disk)
    fewest = min(subsets, key=len)
    least = {inode: least_choice(disk, inode, fewest) for inode in disk.files}
    found = _shown(disk, fewest, {i: set(contents(disk, i, kept, kept)) for i, kept in least.items()})
    if model.survival is Survival.ONLY_SYNCED:
        return found
    listed: dict[tuple[int, int, int], set[bytes]] = {}
    for entries in subsets:
        keys = {inode: (inode, *_tied(disk, inode, entries)) for inode in disk.files}
        for inode, key in keys.items():
            if key not in listed:
                choices = file_choices(disk, inode, entries, listed_tears=listed_tears)
                listed[key] = {seen for kept in choices for seen in contents(disk, inode, kept, least[inode])}
        found |= _shown(disk, entries, {inode: listed[key] for inode, key in keys.items()})
    return found


def _tied(disk: Disk, inode: int, entries: tuple[Entry, ...]) -> tuple[int, int]:
    """All that what a file can show depends on of the entries: the last that waits, the first that is lost."""
    ordered = disk.model.data_against_entries is DataAgainstEntries.ORDERED
    waiting = [entry.time for entry in entries if ordered or entry.waits_for == inode]
    lost = [entry.time for entry in disk.entries if ordered and entry not in entries]
    return max(waiting, default=-1), min(lost, default=-1)


def _shown(disk: Disk, entries: tuple[Entry, ...], shown: dict[int, set[bytes]]) -> set[Outcome]:
    """The directories that these names show with any of these contents."""
    paths = dict(_paths(disk, disk.apply(entries), ROOT, ""))
    visible = sorted({inode for inode in paths.values() if inode in disk.files})
    return {
        frozenset(
            (path, chosen[inode] if inode in chosen else disk.targets[inode].encode())
            for path, inode in paths.items()
        )
        for chosen in (
            dict(zip(visible, picked, strict=True))
            for picked in itertools.product(*(shown[inode] for inode in visible))
        )
    }


def _paths(disk: Disk, names: dict[Slot, int], directory: int, prefix: str) -> Iterator[tuple[str, int]]:
    for (parent, name), inode in names.items():
        if parent != directory:
            continue
        if disk.kinds[inode] is InodeKind.DIRECTORY:
            yield prefix + name + "/", inode
            yield from _paths(disk, names, inode, prefix + name + "/")
        else:
            yield prefix + name, inode
