"""A disk after a program, and random wishes for it."""

from __future__ import annotations

from hypothesis import strategies as st

from harness.core.persistence import PersistenceModel
from harness.crash.bounded import Wish, nothing, pending_files
from harness.crash.disk import Disk
from harness.crash.pending import Choice, SizeItem, WriteItem
from tests.litmus.programs import Program, preset


def disk_after(program: Program, model: str | PersistenceModel, *, seed: int = 0) -> Disk:
    disk = Disk(program.base, preset(model), seed)
    for index, event in enumerate(program.events):
        for effect in event.effects:
            disk.apply(effect, index, event.time_ns, event.operation)
    return disk


def draw_wish(data: st.DataObject, disk: Disk) -> Wish:
    """Any wish that holds what is durable, legal or not."""
    least = nothing(disk)
    mask = data.draw(st.integers(0, (1 << len(disk.entry_ops)) - 1)) | least.mask
    durable = dict(least.files)
    files = []
    for file in pending_files(disk):
        writes = [item for item in file.items if isinstance(item, WriteItem)]
        kept = tuple(
            data.draw(st.integers(0, item.full)) | forced
            for item, forced in zip(writes, durable[file.inode].kept, strict=True)
        )
        steps = sum(isinstance(item, SizeItem) for item in file.items)
        sizes = data.draw(st.integers(durable[file.inode].sizes, steps))
        files.append((file.inode, Choice(kept, sizes)))
    return Wish(mask, tuple(files))


def union(one: Wish, other: Wish) -> Wish:
    files = tuple(
        (
            inode,
            Choice(
                tuple(a | b for a, b in zip(mine.kept, yours.kept, strict=True)), max(mine.sizes, yours.sizes)
            ),
        )
        for (inode, mine), (_, yours) in zip(one.files, other.files, strict=True)
    )
    return Wish(one.mask | other.mask, files)


def is_subset(one: Wish, other: Wish) -> bool:
    return union(one, other) == other
