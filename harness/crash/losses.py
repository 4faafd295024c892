"""What a crash state lost, in terms of the calls of its trace."""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.trace import (
    AddEntry,
    CallSite,
    IoEvent,
    MarkerKind,
    RemoveEntry,
    RenameEntry,
    SetSize,
    Trace,
    WriteData,
)
from harness.crash.bounded import Wish
from harness.crash.disk import Disk
from harness.crash.pending import FileState, SizeItem, WriteItem


@dataclass(frozen=True, slots=True)
class Losses:
    """Calls (indices of events) whose DiskOps were lost, all or in part, and those not synced but kept."""

    lost: frozenset[int] = frozenset()
    torn: frozenset[int] = frozenset()
    kept: frozenset[int] = frozenset()

    @property
    def damaged(self) -> frozenset[int]:
        return self.lost | self.torn


def losses(disk: Disk, wish: Wish) -> Losses:
    """What `wish` lost of what was pending. Files that no name in the state reaches don't count."""
    missing: set[int] = set()
    present: set[int] = set()
    for index, op in enumerate(disk.entry_ops):
        if not op.forced:
            (present if wish.mask >> index & 1 else missing).add(op.event)
    for inode, choice in wish.files:
        for event, kept in _items(disk.files[inode], choice.kept, choice.sizes):
            (present if kept else missing).add(event)
            if kept is None:
                present.add(event)
    return Losses(frozenset(missing - present), frozenset(missing & present), frozenset(present - missing))


def _items(file: FileState, kept: tuple[int, ...], sizes: int) -> list[tuple[int, bool | None]]:
    """Each pending item's event, and whether it is there: yes, no, or in part (None)."""
    found: list[tuple[int, bool | None]] = []
    write = step = 0
    for item in file.items:
        if isinstance(item, WriteItem):
            mask = kept[write]
            write += 1
            found.append((item.event, True if mask == item.full else None if mask else False))
        elif isinstance(item, SizeItem):
            step += 1
            found.append((item.event, step <= sizes))
    return found


def last_call(trace: Trace, event: int) -> int:
    """The last call begun at or before `event`: markers are not calls. -1 if there was none.

    A reader is answered while a call that makes data durable has begun already: the one that comes next.
    """
    if 0 <= event < len(trace.events) - 1 and _is_answer(trace.events[event]):
        event += 1
    while event >= 0 and trace.events[event].marker is not None:
        event -= 1
    return event


def last_begun(trace: Trace, event: int) -> int:
    """The call to name for a crash at `event` that lost nothing: the last one begun, but for a sync what came before.

    Only where all that is unsynced is lost there is a crash point after a sync; a kill after the call before it
    leaves the same, and it is one defect.
    """
    begun = last_call(trace, event)
    if begun != event:
        return begun
    changes = (number for number in range(begun, -1, -1) if changes_disk(trace.events[number]))
    return next(changes, begun)


def changes_disk(event: IoEvent) -> bool:
    """Whether a call does more than to sync: there is a crash point after it."""
    return any(
        isinstance(effect, WriteData | SetSize | AddEntry | RemoveEntry | RenameEntry) for effect in event.effects
    )


def _is_answer(event: IoEvent) -> bool:
    return event.marker is not None and event.marker.kind is MarkerKind.OBSERVE


def sites_of(trace: Trace, lost: Losses) -> frozenset[CallSite | None]:
    """The lines of all calls that lost something."""
    return frozenset(site_of(trace, event) for event in lost.damaged)


def site_of(trace: Trace, event: int) -> CallSite | None:
    return trace.events[event].site if 0 <= event < len(trace.events) else None
