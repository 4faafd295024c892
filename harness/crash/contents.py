"""What a file holds when a part of its pending items persisted.

Only the pages that the items touch are built (`Window`). Where data of a grown part is missing
there are gaps: they read as zeros, or as garbage where the model says so.
"""

from __future__ import annotations

from harness.core.persistence import PAGE_BYTES, SECTOR_BYTES, Growth, Overwrite
from harness.crash.garbage import Garbage
from harness.crash.pending import NEVER, Choice, FileState, Item, SizeItem, Window, WriteItem, full_choice, put


def _window_bounds(file: FileState) -> tuple[int, int]:
    """The pages that the pending items touch; up to the end of the file where the size changes."""
    if file.bounds[0] != file.version:
        file.bounds = (file.version, *_bounds_of(file, file.items))
    return file.bounds[1:]


def _bounds_of(file: FileState, items: list[Item]) -> tuple[int, int]:
    low = min((item.offset if isinstance(item, WriteItem) else item.size for item in items), default=0)
    low = min(low, len(file.base)) // PAGE_BYTES * PAGE_BYTES
    if any(isinstance(item, SizeItem) for item in items):
        return low, NEVER
    high = max((item.end for item in items if isinstance(item, WriteItem)), default=0)
    return low, (high + PAGE_BYTES - 1) // PAGE_BYTES * PAGE_BYTES


def window_of(file: FileState, choice: Choice) -> Window:
    """The content left by `choice`, gaps read as zeros."""
    low, high = _window_bounds(file)
    base = file.base
    buffer = base[low:high]
    size = len(base)
    write = steps = 0
    for item in file.items:
        if isinstance(item, WriteItem):
            mask = choice.kept[write]
            write += 1
            if mask == item.full:
                put(buffer, item.offset - low, item.data)
            elif mask:
                for start, end in _runs(item, mask, file.unit)[0]:
                    put(buffer, start - low, item.data[start - item.offset : end - item.offset])
            continue
        steps += 1
        if steps <= choice.sizes:
            size = item.size
            if item.truncates:
                del buffer[size - low :]
    visible = min(size, high) - low
    if len(buffer) < visible:
        buffer.extend(bytes(visible - len(buffer)))
    else:
        del buffer[visible:]
    return Window(low, high, bytes(buffer), size)


def gaps_of(file: FileState, choice: Choice) -> list[tuple[int, int]]:
    """The (start, end) of data that `choice` lost in grown parts. Where earlier data is below, that shows."""
    if not choice.sizes or choice.kept == full_choice(file.items).kept:
        return []
    size = floor = len(file.base)
    gaps: list[tuple[int, int]] = []
    covered: list[tuple[int, int]] = []
    write = steps = 0
    for item in file.items:
        if isinstance(item, WriteItem):
            kept, lost = _runs(item, choice.kept[write], file.unit)
            write += 1
            gaps.extend(gap for run in lost for gap in _minus(run, covered))
            covered.extend(kept)
            continue
        steps += 1
        if steps > choice.sizes:
            continue
        if item.truncates:
            floor = min(floor, item.size)
            gaps = _clipped(gaps, 0, item.size)
            covered = _clipped(covered, 0, item.size)
        size = item.size
    return _clipped(gaps, floor, size)


def _clipped(ranges: list[tuple[int, int]], low: int, high: int) -> list[tuple[int, int]]:
    clipped = ((max(start, low), min(end, high)) for start, end in ranges)
    return [(start, end) for start, end in clipped if start < end]


def _runs(item: WriteItem, mask: int, unit: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The byte ranges of a write that were kept, and those that were lost."""
    whole = (item.offset, item.end)
    if mask == item.full:
        return [whole], []
    if mask == 0:
        return [], [whole]
    runs: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    start, position, units = item.offset, 0, item.full.bit_length()
    while position < units:
        bit = mask >> position & 1
        while position < units and mask >> position & 1 == bit:
            position += 1
        end = min(item.end, (item.first + position) * unit)
        runs[0 if bit else 1].append((start, end))
        start = end
    return runs


def _minus(run: tuple[int, int], covered: list[tuple[int, int]]) -> list[tuple[int, int]]:
    rest = [run]
    for start, end in covered:
        rest = (
            [
                piece
                for low, high in rest
                for piece in ((low, min(high, start)), (max(low, end), high))
                if piece[0] < piece[1]
            ]
            if any(low < end and start < high for low, high in rest)
            else rest
        )
    return rest


def _filled(window: Window, gaps: list[tuple[int, int]], fill: bytes) -> Window:
    """Neighbouring gaps are one gap: `fill` starts at the beginning of each."""
    buffer = bytearray(window.data)
    for start, end in _merged(gaps):
        piece = fill[: end - start]
        buffer[start - window.low : start - window.low + len(piece)] = piece
    return Window(window.low, window.high, bytes(buffer), window.size)


def _merged(gaps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(gaps):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def with_fills(
    file: FileState, garbage: Garbage, operation: int, choice: Choice
) -> list[tuple[Window, Choice]]:
    """What `choice` leaves, gaps read as zeros, and as garbage where the model says so."""
    window, model = window_of(file, choice), file.model
    found = [(window, choice)]
    if model.overwrite is Overwrite.NEIGHBOURS:
        found.append((_damaged(file, window, garbage), choice))
    if model.growth is not Growth.SIZE_FIRST_GARBAGE:
        return found
    gaps = gaps_of(file, choice)
    if gaps:
        longest = max(end - start for start, end in _merged(gaps))
        for number, fill in enumerate(garbage.fills(longest, operation), 1):
            found.append((_filled(window, gaps, fill), Choice(choice.kept, choice.sizes, number)))
    return found


def _damaged(file: FileState, window: Window, garbage: Garbage) -> Window:
    """Noise in the rest of each sector that a pending write shares with older bytes."""
    buffer, noise = bytearray(window.data), garbage.fills(SECTOR_BYTES, -1)[0]
    for item in file.items:
        if isinstance(item, WriteItem):
            start, end = item.offset // SECTOR_BYTES * SECTOR_BYTES, -(-item.end // SECTOR_BYTES) * SECTOR_BYTES
            for low, high in _clipped([(start, item.offset), (item.end, end)], window.low, len(file.base)):
                high = min(high, window.low + len(buffer))
                buffer[low - window.low : high - window.low] = noise[: max(0, high - low)]
    return Window(window.low, window.high, bytes(buffer), window.size)
