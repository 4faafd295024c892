"""What to try at a crash point with too many pending DiskOps to try all subsets.

In this order: all states that lose at most two DiskOps, states that keep only one, tears of each
write, and seeded random subsets. Each starts from a wish - which DiskOps persisted - that is made
legal by also losing what depends on a lost one (`shrink`), or by also keeping what a kept one
requires (`grow`). Two lost DiskOps: all but one of the known crash bugs studied by
Mohan et al. (OSDI 2018) need no more.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from harness.core.persistence import DataAgainstEntries, Torn
from harness.crash.closure import largest, smallest
from harness.crash.disk import Disk
from harness.crash.namespace import ABSENT, NameMap, closed, completed, name_map
from harness.crash.pending import Choice, FileState, SizeItem, WriteItem, full_choice, torn_masks


@dataclass(frozen=True, slots=True)
class Wish:
    """Which entry operations persisted, and a choice for each file with pending items."""

    mask: int
    files: tuple[tuple[int, Choice], ...]


@dataclass(frozen=True, slots=True)
class Atom:
    """One DiskOp: an entry operation, the units of one page of one write, or a size step."""

    inode: int
    position: int
    units: int  # 0: a size step; for an entry operation `inode` is ABSENT


def pending_files(disk: Disk) -> list[FileState]:
    return [disk.files[inode] for inode in sorted(disk.pending)]


def everything(disk: Disk) -> Wish:
    files = tuple((file.inode, full_choice(file.items)) for file in pending_files(disk))
    return Wish((1 << len(disk.entry_ops)) - 1, files)


def nothing(disk: Disk) -> Wish:
    files = tuple((file.inode, file.least()) for file in pending_files(disk))
    return Wish(completed(disk.entry_ops, 0, disk.model), files)


def atoms(disk: Disk) -> list[Atom]:
    """The pending DiskOps that are not durable already."""
    found = [Atom(ABSENT, index, 0) for index, op in enumerate(disk.entry_ops) if not op.forced]
    for file in pending_files(disk):
        write = step = 0
        for item in file.items:
            if isinstance(item, WriteItem):
                found.extend(
                    Atom(file.inode, write, units) for units in _pages(item, file) if units & ~item.forced
                )
                write += 1
            else:
                step += 1
                if not item.forced:
                    found.append(Atom(file.inode, step, 0))
    return found


def _pages(item: WriteItem, file: FileState) -> Iterator[int]:
    """The units of each page of a write."""
    if file.model.torn is Torn.WRITE:
        yield item.full
        return
    per_page = max(1, 4096 // file.unit)
    first_page, last_page = item.first // per_page, (item.first + item.full.bit_length() - 1) // per_page
    for page in range(first_page, last_page + 1):
        low = max(0, page * per_page - item.first)
        high = (page + 1) * per_page - item.first
        yield item.full & ((1 << high) - 1) & ~((1 << low) - 1)


def without(wish: Wish, lost: tuple[Atom, ...]) -> Wish:
    mask, files = wish.mask, dict(wish.files)
    for atom in lost:
        if atom.inode == ABSENT:
            mask &= ~(1 << atom.position)
            continue
        choice = files[atom.inode]
        if atom.units:
            kept = list(choice.kept)
            kept[atom.position] &= ~atom.units
            files[atom.inode] = Choice(tuple(kept), choice.sizes)
        else:
            files[atom.inode] = Choice(choice.kept, min(choice.sizes, atom.position - 1))
    return Wish(mask, tuple(files.items()))


def with_atom(wish: Wish, atom: Atom) -> Wish:
    mask, files = wish.mask, dict(wish.files)
    if atom.inode == ABSENT:
        return Wish(mask | 1 << atom.position, wish.files)
    choice = files[atom.inode]
    if atom.units:
        kept = list(choice.kept)
        kept[atom.position] |= atom.units
        files[atom.inode] = Choice(tuple(kept), choice.sizes)
    else:
        files[atom.inode] = Choice(choice.kept, max(choice.sizes, atom.position))
    return Wish(mask, tuple(files.items()))


# --- making a wish legal -----------------------------------------------------------------


def shrink(disk: Disk, wish: Wish) -> Wish:
    """The largest legal subset of `wish`: what depends on a lost DiskOp is lost too."""
    while True:
        names = name_map(
            disk.entry_ops, closed(disk.entry_ops, wish.mask, disk.model), disk.durable, disk.model
        )
        files = tuple(
            (inode, largest(disk.files[inode], choice, names.sizes_before)) for inode, choice in wish.files
        )
        mask = names.mask & ~_unsupported_entries(disk, names, dict(files))
        smaller = Wish(mask, files)
        if smaller == wish:
            return wish
        wish = smaller


def _unsupported_entries(disk: Disk, names: NameMap, files: dict[int, Choice]) -> int:
    """Entry operations that wait for data which `files` lost."""
    mask = 0
    for index, op in enumerate(disk.entry_ops):
        if op.forced or not names.mask >> index & 1:
            continue
        waits_for_all = disk.model.data_against_entries is DataAgainstEntries.ORDERED
        waited = files if waits_for_all else ([op.waits_for] if op.waits_for in files else [])
        if any(
            not _complete_before(disk.files[inode], files[inode], op.event + 1)
            for inode in waited
            if inode is not None
        ):
            mask |= 1 << index
    return mask


def _complete_before(file: FileState, choice: Choice, event: int) -> bool:
    write = step = 0
    for item in file.items:
        if isinstance(item, WriteItem):
            if item.event < event and choice.kept[write] != item.full:
                return False
            write += 1
        else:
            step += 1
            if item.event < event and step > choice.sizes:
                return False
    return True


def grow(disk: Disk, wish: Wish) -> Wish:
    """The smallest legal superset of `wish`: what a kept DiskOp requires is kept too."""
    while True:
        mask = completed(disk.entry_ops, wish.mask, disk.model)
        names = name_map(disk.entry_ops, mask, disk.durable, disk.model)
        before = dict(names.data_before)
        files = tuple(
            (inode, smallest(disk.files[inode], choice, max(before.get(inode, -1), before.get(ABSENT, -1))))
            for inode, choice in wish.files
        )
        larger = Wish(mask | _entries_before_sizes(disk, dict(files)), files)
        if larger == wish:
            return wish
        wish = larger


def _entries_before_sizes(disk: Disk, files: dict[int, Choice]) -> int:
    """Ordered models: a size persists after all earlier entries."""
    if disk.model.data_against_entries is not DataAgainstEntries.ORDERED:
        return 0
    latest = -1
    for inode, choice in files.items():
        steps = [item for item in disk.files[inode].items if isinstance(item, SizeItem)]
        latest = max([latest, *(step.event for step in steps[: choice.sizes] if not step.forced)])
    return sum(1 << index for index, op in enumerate(disk.entry_ops) if op.event < latest)


# --- the list ----------------------------------------------------------------------------


def wishes(disk: Disk, *, limit: int, seed: int) -> Iterator[Wish]:
    """At most `limit` legal wishes, in the order that the module says."""
    yield from itertools.islice(_wishes(disk, seed), limit)


def _wishes(disk: Disk, seed: int) -> Iterator[Wish]:
    whole, least, single = everything(disk), nothing(disk), atoms(disk)
    # Late DiskOps first: what the store did last is what a crash is most likely to lose.
    single.reverse()
    for atom in single:
        yield shrink(disk, without(whole, (atom,)))
    for atom in single:
        yield grow(disk, with_atom(least, atom))
    yield from _tears(disk, whole)
    randomness = random.Random(f"{seed} {len(single)}")
    pairs = itertools.combinations(single[:40], 2)
    for pair in pairs:
        yield shrink(disk, without(whole, pair))
        chance = randomness.random()
        yield shrink(disk, without(whole, tuple(atom for atom in single if randomness.random() < chance)))


def _tears(disk: Disk, whole: Wish) -> Iterator[Wish]:
    for file in reversed(pending_files(disk)):
        choice = dict(whole.files)[file.inode]
        writes = [item for item in file.items if isinstance(item, WriteItem)]
        for index in reversed(range(len(writes))):
            for mask in torn_masks(writes[index].full.bit_length(), disk.model.torn)[:24]:
                kept = (*choice.kept[:index], mask, *choice.kept[index + 1 :])
                files = {**dict(whole.files), file.inode: Choice(kept, choice.sizes)}
                yield shrink(disk, Wish(whole.mask, tuple(files.items())))
