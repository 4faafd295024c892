"""Directory entries that have not been synced, and which names a crash can leave.

Every change of an entry is one operation (a rename is one, unless the model opens a window).
What matters afterwards is only which name shows which inode, so the distinct name maps are
computed directly, operation by operation, instead of going through all subsets.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.persistence import (
    DataAgainstEntries,
    EntryOrder,
    PersistenceModel,
    Rename,
    ReplaceFlush,
)

ABSENT = -1
#: Distinct name maps at one crash point before enumeration gives up being exhaustive.
MAP_LIMIT = 4096

Slot = tuple[int, str]


@dataclass(slots=True)
class EntryOp:
    """One change of directory entries: `changes` maps (directory, name) to an inode or ABSENT.

    `follows`: the operation before it, a part of the same rename, must persist first.
    `waits_for` is an inode whose earlier data must be durable first.
    """

    event: int
    changes: dict[Slot, int]
    directories: frozenset[int]
    follows: bool = False
    waits_for: int | None = None
    forced: bool = False


@dataclass(frozen=True, slots=True)
class NameMap:
    """What a crash can leave of the pending entries.

    `mask` has a bit for each pending operation that persisted, `slots` the inode that each touched name shows.
    `data_before` maps inodes to the event before which their data must have persisted; ABSENT
    as key stands for all files. `sizes_before` is the event from which on sizes can't persist.
    What one call did to data and to entries, it did in this order: a file that arrives from
    outside arrives with its data.
    """

    slots: tuple[tuple[Slot, int], ...]
    mask: int
    data_before: tuple[tuple[int, int], ...] = ()
    sizes_before: int = 1 << 60


def rename_ops(
    model: PersistenceModel, event: int, source: Slot, target: Slot, inode: int, replaced: int | None
) -> list[EntryOp]:
    """A rename as one operation, or, where the model opens a window, as several in order."""
    directories = frozenset((source[0], target[0]))
    waits = inode if replaced is not None and model.replace_flush is ReplaceFlush.WAITS else None
    whole = EntryOp(event, {source: ABSENT, target: inode}, directories, waits_for=waits)
    if model.rename is Rename.ATOMIC:
        return [whole]
    if model.rename is Rename.DESTINATION_GONE:
        whole.follows = True
        return [EntryOp(event, {target: ABSENT}, directories, waits_for=waits), whole]
    return [
        EntryOp(event, {target: ABSENT}, directories, waits_for=waits),
        EntryOp(event, {source: ABSENT}, directories, follows=True),
        EntryOp(event, {target: inode}, directories, follows=True, waits_for=waits),
    ]


def required(ops: list[EntryOp], index: int, model: PersistenceModel) -> int:
    """The mask of earlier operations without which operation `index` can't persist."""
    everything_before = (1 << index) - 1
    if model.entries is EntryOrder.TOTAL:
        return everything_before
    mask = 1 << (index - 1) if ops[index].follows and index else 0
    if model.entries is EntryOrder.PER_DIRECTORY:
        for earlier in range(index):
            if ops[earlier].directories & ops[index].directories:
                mask |= 1 << earlier
    return mask


def closed(ops: list[EntryOp], mask: int, model: PersistenceModel) -> int:
    """The largest legal subset of `mask`: what lost its requirements is lost too."""
    for index in range(len(ops)):
        if mask >> index & 1 and required(ops, index, model) & ~mask:
            mask &= ~(1 << index)
    return mask


def completed(ops: list[EntryOp], mask: int, model: PersistenceModel) -> int:
    """The smallest legal superset of `mask`, with what must be there in any case."""
    for index in reversed(range(len(ops))):
        if ops[index].forced:
            mask |= 1 << index
        if mask >> index & 1:
            mask |= required(ops, index, model)
    return mask


def name_map(ops: list[EntryOp], mask: int, durable: dict[Slot, int], model: PersistenceModel) -> NameMap:
    """The names after exactly the operations of `mask`."""
    slots: dict[Slot, int] = {slot: durable.get(slot, ABSENT) for op in ops for slot in op.changes}
    for index, op in enumerate(ops):
        if mask >> index & 1:
            slots.update(op.changes)
    return NameMap(tuple(slots.items()), mask, *_data_constraints(ops, mask, model))


def _data_constraints(
    ops: list[EntryOp], mask: int, model: PersistenceModel
) -> tuple[tuple[tuple[int, int], ...], int]:
    before: dict[int, int] = {}
    sizes_before = 1 << 60
    ordered = model.data_against_entries is DataAgainstEntries.ORDERED
    if not ordered and model.replace_flush is not ReplaceFlush.WAITS:
        return (), sizes_before
    for index, op in enumerate(ops):
        if not mask >> index & 1:
            if ordered:
                sizes_before = min(sizes_before, op.event + 1)
            continue
        if ordered:
            before[ABSENT] = max(before.get(ABSENT, -1), op.event + 1)
        elif op.waits_for is not None:
            before[op.waits_for] = max(before.get(op.waits_for, -1), op.event + 1)
    return tuple(sorted(before.items())), sizes_before


def name_maps(ops: list[EntryOp], durable: dict[Slot, int], model: PersistenceModel) -> list[NameMap] | None:
    """All distinct name maps that a crash can leave, the complete one first; `None` if they are too many."""
    by_mask = _masks_matter(ops, model)
    slots = list(dict.fromkeys(slot for op in ops for slot in op.changes))
    places = {slot: place for place, slot in enumerate(slots)}
    start = tuple(durable.get(slot, ABSENT) for slot in slots)
    reached: dict[object, tuple[tuple[int, ...], int]] = {start: (start, 0)}
    for index, op in enumerate(ops):
        needs = required(ops, index, model)
        changes = [(places[slot], inode) for slot, inode in op.changes.items()]
        following: dict[object, tuple[tuple[int, ...], int]] = {}
        for names, mask in reached.values():
            if not needs & ~mask:
                values = list(names)
                for place, inode in changes:
                    values[place] = inode
                changed, kept = tuple(values), mask | 1 << index
                following.setdefault((changed, kept) if by_mask else changed, (changed, kept))
            if not op.forced:
                following.setdefault((names, mask) if by_mask else names, (names, mask))
        reached = following
        if len(reached) > MAP_LIMIT:
            return None
    found = [
        NameMap(tuple(zip(slots, names, strict=True)), mask, *_data_constraints(ops, mask, model))
        for names, mask in reached.values()
    ]
    return sorted(found, key=_most_kept_first)


def _most_kept_first(names: NameMap) -> int:
    return -names.mask.bit_count()


def _masks_matter(ops: list[EntryOp], model: PersistenceModel) -> bool:
    """Whether two subsets with the same names must be told apart, because something depends on which."""
    return (
        model.entries is EntryOrder.PER_DIRECTORY
        or model.rename is not Rename.ATOMIC
        or model.data_against_entries is DataAgainstEntries.ORDERED
        or any(op.waits_for is not None for op in ops)
    )
