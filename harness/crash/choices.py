"""All that a crash may leave of one file, by depth-first search over its pending items."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.persistence import Torn
from harness.crash.contents import with_fills
from harness.crash.garbage import Garbage
from harness.crash.pending import (
    NEVER,
    Choice,
    FileState,
    SizeItem,
    Variant,
    Window,
    WriteItem,
    mask_needed,
    needs_data,
    shift,
    sizes_of,
    torn_masks,
)

#: Choices for one file before enumeration gives up being exhaustive.
CHOICE_LIMIT = 20_000
#: Pending items and units of one file before enumeration gives up being exhaustive.
ITEM_LIMIT = 64
UNIT_LIMIT = 64


def choices(file: FileState, forced_before: int = -1, sizes_before: int = NEVER) -> Iterator[Choice]:
    """Every legal choice for a file's pending items, everything kept first.

    Items of events before `forced_before` must persist; size steps of events from
    `sizes_before` on can't.
    """
    walk = _Walk(file, forced_before, sizes_before)
    yield from walk.from_item(0, (), 0, open_sizes=True)


class _Walk:
    """Depth-first over the items; every rule looks backwards only."""

    __slots__ = ("file", "forced_before", "places", "sizes_before", "writes")

    def __init__(self, file: FileState, forced_before: int, sizes_before: int) -> None:
        self.file = file
        self.forced_before = forced_before
        self.sizes_before = sizes_before
        self.writes = [item for item in file.items if isinstance(item, WriteItem)]
        self.places = [place for place, item in enumerate(file.items) if isinstance(item, WriteItem)]

    def from_item(
        self, index: int, kept: tuple[int, ...], sizes: int, *, open_sizes: bool
    ) -> Iterator[Choice]:
        if index == len(self.file.items):
            yield Choice(kept, sizes)
            return
        item = self.file.items[index]
        if isinstance(item, WriteItem):
            for mask in self._masks(item, index, kept, sizes):
                yield from self.from_item(index + 1, (*kept, mask), sizes, open_sizes=open_sizes)
            return
        if open_sizes and self._may_persist(item, index, kept):
            yield from self.from_item(index + 1, kept, sizes + 1, open_sizes=True)
        if not item.forced and item.event >= self.forced_before:
            yield from self.from_item(index + 1, kept, sizes, open_sizes=False)

    def _masks(self, item: WriteItem, index: int, kept: tuple[int, ...], sizes: int) -> list[int]:
        forced = item.full if item.event < self.forced_before else item.forced
        blocked = self._blocked(item, kept)
        if self._truncation_missing(index, sizes):
            blocked = item.full
        listed = torn_masks(item.full.bit_length(), self.file.model.torn)
        if self.file.model.torn in (Torn.PAGE, Torn.SECTOR):
            listed = (item.full & ~blocked, *listed)
        if item.clean:
            listed = (*listed, item.full & ~item.clean & ~blocked)
        return [mask for mask in dict.fromkeys(listed) if not mask & blocked and not forced & ~mask]

    def _blocked(self, item: WriteItem, kept: tuple[int, ...]) -> int:
        """Rule "order": units that an earlier write lost."""
        blocked = 0
        for earlier, mask in zip(self.writes, kept, strict=False):
            lost = earlier.full & ~mask
            if lost:
                blocked |= shift(lost, earlier.first - item.first) & item.full
        return blocked

    def _truncation_missing(self, index: int, sizes: int) -> bool:
        """Rule "truncation"."""
        steps = sizes_of(self.file.items[:index])
        return any(step.truncates for step in steps[sizes:])

    def _may_persist(self, step: SizeItem, index: int, kept: tuple[int, ...]) -> bool:
        if step.event >= self.sizes_before and not step.forced:
            return False
        if not needs_data(step, self.file.model):
            return True
        items, unit = self.file.items, self.file.unit
        return not any(
            mask_needed(items, place, index, unit) & ~mask
            for place, mask in zip(self.places, kept, strict=False)
        )


def variants(
    file: FileState, garbage: Garbage, operation: int, forced_before: int = -1, sizes_before: int = NEVER
) -> list[Variant] | None:
    """The distinct contents that a crash may leave of `file`; `None` if there are too many to list."""
    units = sum(item.full.bit_length() for item in file.items if isinstance(item, WriteItem))
    if len(file.items) > ITEM_LIMIT or (units > UNIT_LIMIT and file.model.torn is not Torn.WRITE):
        return None
    found: dict[tuple[int, bytes], tuple[Window, Choice]] = {}
    for count, choice in enumerate(choices(file, forced_before, sizes_before)):
        if count > CHOICE_LIMIT:
            return None
        for window, filled in with_fills(file, garbage, operation, choice):
            found.setdefault((window.size, window.data), (window, filled))
    return [variant_of(file, window, choice) for window, choice in found.values()]


def variant_of(file: FileState, window: Window, choice: Choice) -> Variant:
    """The content that `choice` leaves, which is `window`."""
    return Variant(window, file.key_of(window), file.mtime_of(choice), choice)
