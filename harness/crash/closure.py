"""What is legal for one file, closed downwards and upwards.

`largest` takes from a choice what may not be there, `smallest` adds to it what must be. Every
rule of `harness.crash.pending` looks backwards only, so one pass over the items is enough: in the
order of issue for the one, against it for the other.
"""

from __future__ import annotations

from harness.core.persistence import Torn
from harness.crash.pending import (
    Choice,
    FileState,
    Item,
    SizeItem,
    WriteItem,
    full_choice,
    mask_needed,
    needs_data,
    shift,
)


def sync_range(file: FileState, offset: int, length: int) -> None:
    """O_DSYNC: these bytes and the size needed to read them are durable, with what that requires."""
    if not length:
        return
    least, end = file.least(), offset + length
    first, last = offset // file.unit, (end - 1) // file.unit
    wanted = (1 << (last - first + 1)) - 1
    writes = [item for item in file.items if isinstance(item, WriteItem)]
    kept = tuple(
        mask | shift(wanted, first - item.first) & item.full
        for item, mask in zip(writes, least.kept, strict=True)
    )
    sizes = max(least.sizes, _steps_to_read(file, end))
    if Choice(kept, sizes) == full_choice(file.items):  # as a rule: nothing but this call was pending
        file.sync()
    else:
        file.force(smallest(file, Choice(kept, sizes), -1))


def _steps_to_read(file: FileState, end: int) -> int:
    """The fewest size steps after which the file reaches to `end`, and stays so whatever else persists."""
    needed, reached = 0, len(file.base)
    steps = (item for item in file.items if isinstance(item, SizeItem))
    for number, step in enumerate(steps, 1):
        if step.truncates or reached < end:
            needed, reached = number, step.size
    return needed


def largest(file: FileState, wish: Choice, sizes_before: int) -> Choice:
    """The largest legal subset of `wish`; size steps of events from `sizes_before` on can't persist."""
    kept: list[int] = []
    places: list[int] = []
    steps: list[SizeItem] = []
    sizes = 0
    for place, item in enumerate(file.items):
        if isinstance(item, WriteItem):
            mask = _whole(item, wish.kept[len(kept)] & ~_lost_before(file, item, places, kept), file)
            if any(step.truncates for step in steps[sizes:]):
                mask = 0
            kept.append(mask | item.forced)
            places.append(place)
            continue
        steps.append(item)
        wanted = len(steps) <= wish.sizes and item.event < sizes_before
        if item.forced or (wanted and sizes == len(steps) - 1 and _supported(file, place, places, kept)):
            sizes = len(steps)
    return Choice(tuple(kept), sizes, wish.fill)


def _whole(item: WriteItem, mask: int, file: FileState) -> int:
    """The largest part of `mask` that a tear can leave."""
    match file.model.torn:
        case Torn.WRITE:
            return mask if mask == item.full else 0
        case Torn.BYTE_PREFIX:
            return (~mask & (mask + 1)) - 1
    return mask


def _lost_before(file: FileState, item: WriteItem, places: list[int], kept: list[int]) -> int:
    lost = 0
    for place, mask in zip(places, kept, strict=True):
        earlier = file.items[place]
        assert isinstance(earlier, WriteItem)
        lost |= shift(earlier.full & ~mask, earlier.first - item.first) & item.full
    return lost


def _supported(file: FileState, step: int, places: list[int], kept: list[int]) -> bool:
    item = file.items[step]
    assert isinstance(item, SizeItem)
    if not needs_data(item, file.model):
        return True
    return not any(
        mask_needed(file.items, place, step, file.unit) & ~mask
        for place, mask in zip(places, kept, strict=True)
    )


def smallest(file: FileState, wish: Choice, complete_before: int) -> Choice:
    """The smallest legal superset of `wish` with all items of events before `complete_before`."""
    kept, sizes = list(wish.kept), wish.sizes
    numbers = numbered(file.items)
    for item, number in numbers:
        if item.event < complete_before:
            if isinstance(item, WriteItem):
                kept[number] = item.full
            else:
                sizes = max(sizes, number)
    for place in reversed(range(len(numbers))):
        item, number = numbers[place]
        if isinstance(item, SizeItem):
            if number <= sizes and needs_data(item, file.model):
                for earlier, (write, index) in enumerate(numbers[:place]):
                    if isinstance(write, WriteItem):
                        kept[index] |= mask_needed(file.items, earlier, place, file.unit)
        elif kept[number]:
            kept[number] = _rounded(item, kept[number], file)
            sizes = max(sizes, _last_truncation(numbers[:place]))
            _keep_earlier(item, kept[number], numbers[:place], kept)
    return Choice(tuple(kept), sizes, wish.fill)


def _rounded(item: WriteItem, mask: int, file: FileState) -> int:
    """The smallest tear that holds `mask`."""
    match file.model.torn:
        case Torn.WRITE:
            return item.full
        case Torn.BYTE_PREFIX:
            return (1 << mask.bit_length()) - 1
    return mask


def _last_truncation(before: list[tuple[Item, int]]) -> int:
    numbers = (number for item, number in before if isinstance(item, SizeItem) and item.truncates)
    return max(numbers, default=0)


def _keep_earlier(item: WriteItem, mask: int, before: list[tuple[Item, int]], kept: list[int]) -> None:
    """Writes to one unit persist in order."""
    for earlier, index in before:
        if isinstance(earlier, WriteItem):
            kept[index] |= shift(mask, item.first - earlier.first) & earlier.full


def numbered(items: list[Item]) -> list[tuple[Item, int]]:
    """Each item with its index among the writes (from 0) or its number among the size steps (from 1)."""
    numbers: list[tuple[Item, int]] = []
    write = step = 0
    for item in items:
        if isinstance(item, WriteItem):
            numbers.append((item, write))
            write += 1
        else:
            step += 1
            numbers.append((item, step))
    return numbers
