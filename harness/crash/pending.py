"""Changes of one file that have not been synced, and what a crash can leave of them.

A file has a durable base and a list of pending items in the order in which they were issued:
writes, split in units (sectors or pages) that can be lost one by one, and size steps, of which
any prefix can persist. `variants` lists the contents that a persistence model allows.

The rules, each named where it is applied:

* order: writes to one unit persist in order;
* truncation: data written after a truncation requires it;
* data first: a size step requires all data below it (`Growth.DATA_FIRST`);
* separate: what fills the old last page needs no data before its size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from harness.core.persistence import (
    PAGE_BYTES,
    SECTOR_BYTES,
    Growth,
    LastPage,
    Overwrite,
    PersistenceModel,
    Torn,
)
from harness.crash.garbage import Garbage

UNIT_BYTES = {Torn.WRITE: SECTOR_BYTES, Torn.PAGE: PAGE_BYTES, Torn.SECTOR: SECTOR_BYTES, Torn.BYTE_PREFIX: 1}
#: Choices for one file before enumeration gives up being exhaustive.
CHOICE_LIMIT = 20_000
#: Pending items and units of one file before enumeration gives up being exhaustive.
ITEM_LIMIT = 64
UNIT_LIMIT = 64
NEVER = 1 << 60


@dataclass(slots=True)
class WriteItem:
    """Bytes written and not synced; `first` is the number of the first unit, `full` has a bit for each unit.

    `clean` are the units that count as written since a sync that failed: no sync makes them durable.
    """

    event: int
    time_ns: int
    offset: int
    data: bytes
    first: int
    full: int
    forced: int = 0
    clean: int = 0

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


@dataclass(slots=True)
class SizeItem:
    """One size step; `tail` marks a step that only fills up the old last page."""

    event: int
    time_ns: int
    size: int
    truncates: bool
    tail: bool
    forced: bool = False


Item = WriteItem | SizeItem


@dataclass(frozen=True, slots=True)
class Choice:
    """Which part of a file's pending items persisted: a mask for each write, a number of size steps, a fill."""

    kept: tuple[int, ...]
    sizes: int
    fill: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """The bytes [low, high) of a file, which hold all that its pending items touch; `size` is the file's."""

    low: int
    high: int
    data: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Variant:
    """A content that a crash may leave, as a window over the durable base, with one choice that leads to it.

    `key` identifies the whole content: files with equal keys are equal.
    """

    window: Window
    key: int
    mtime_ns: int
    choice: Choice


def page_key(number: int, page: bytes) -> int:
    """A hash of one page at its place; the sum of a file's page keys identifies its content.

    Python's own hash (SipHash, 64 bits, keyed anew in each process): keys are only compared with each
    other, in one process, and among a million states two differ with equal keys once in 10**7 runs.
    """
    return summand(f"{number} {hash(page)}")


def summand(text: str) -> int:
    """A number for `text` that may be added up with others.

    The hash of a tuple may not: it is nearly linear in its items, and the sums for two files with
    their contents swapped are equal about every third time.
    """
    return hash(text)


def page_keys(data: bytes, first: int) -> list[int]:
    """The keys of the pages in `data`, whose first page has the number `first`."""
    return [
        page_key(first + start // PAGE_BYTES, data[start : start + PAGE_BYTES])
        for start in range(0, len(data), PAGE_BYTES)
    ]


@lru_cache(maxsize=1024)
def torn_masks(units: int, torn: Torn) -> tuple[int, ...]:
    """The listed ways to tear a write of so many units: all, none, prefixes, suffixes, one missing."""
    full = (1 << units) - 1
    if torn is Torn.WRITE:
        return (full, 0)
    if torn is Torn.BYTE_PREFIX:
        cuts = range(units) if units <= 64 else (0, 1, 2, units // 4, units // 2, 3 * units // 4, units - 1)
        return (full, *((1 << cut) - 1 for cut in sorted(cuts)))
    prefixes = ((1 << count) - 1 for count in range(1, units))
    suffixes = (full & ~((1 << count) - 1) for count in range(1, units))
    missing = (full & ~(1 << unit) for unit in range(units))
    return tuple(dict.fromkeys((full, 0, *prefixes, *suffixes, *missing)))


class FileState:
    """One file: what is durable of it, and what is pending."""

    __slots__ = (
        "base",
        "base_keys",
        "base_mtime_ns",
        "inode",
        "items",
        "key",
        "mode",
        "model",
        "mtime_ns",
        "size",
        "unit",
        "version",
    )

    def __init__(self, inode: int, model: PersistenceModel, content: bytes, mode: int, mtime_ns: int) -> None:
        self.inode = inode
        self.model = model
        self.unit = UNIT_BYTES[model.torn]
        self.base = bytearray(content)
        self.base_keys = page_keys(content, 0)
        self.key = sum(self.base_keys)
        self.base_mtime_ns = mtime_ns
        self.mtime_ns: int | None = None  # set by utime: the last word
        self.mode = mode
        self.size = len(content)
        self.items: list[Item] = []
        self.version = 0

    # --- what the store does -------------------------------------------------------------

    def write(self, event: int, time_ns: int, offset: int, data: bytes) -> None:
        """Data before size: the order of the items is the order in which they may depend on each other."""
        if not data:
            return
        first = offset // self.unit
        units = (offset + len(data) - 1) // self.unit - first + 1
        self._dirty_again(offset, offset + len(data))
        self.items.append(WriteItem(event, time_ns, offset, data, first, (1 << units) - 1))
        self._grow(event, time_ns, offset + len(data))
        self._touch()

    def set_size(self, event: int, time_ns: int, size: int) -> None:
        if size < self.size:
            self.items.append(SizeItem(event, time_ns, size, truncates=True, tail=False))
        elif size > self.size:
            self.items.append(SizeItem(event, time_ns, size, truncates=False, tail=False))
        self.size = size
        self._touch()

    def _touch(self) -> None:
        self.mtime_ns = None
        self.version += 1

    def _grow(self, event: int, time_ns: int, end: int) -> None:
        """One size step for each page, the first of them up to the end of the old last page."""
        while self.size < end:
            tail = self.size % PAGE_BYTES != 0
            step = min(end, (self.size // PAGE_BYTES + 1) * PAGE_BYTES)
            self.items.append(SizeItem(event, time_ns, step, truncates=False, tail=tail))
            self.size = step

    def _dirty_again(self, start: int, end: int) -> None:
        """The pages of these bytes will be written as a whole by the next sync."""
        first, last = start // PAGE_BYTES * PAGE_BYTES // self.unit, -(-end // PAGE_BYTES) * PAGE_BYTES // self.unit
        for item in self.items:
            if isinstance(item, WriteItem) and item.clean:
                item.clean &= ~shift((1 << (last - first)) - 1, first - item.first)

    # --- what a sync does ----------------------------------------------------------------

    def sync(self, before: int = NEVER) -> None:
        """Items of events before `before` are durable."""
        for item in self.items:
            if item.event < before:
                item.forced = item.forced | item.full & ~item.clean if isinstance(item, WriteItem) else True
        self._fold()

    def fail_sync(self, reverted: bytes | None, time_ns: int) -> None:
        """A sync failed: what is pending counts as clean; or the file holds what was last synced, `reverted`."""
        if reverted is None:
            for item in self.items:
                if isinstance(item, WriteItem):
                    item.clean = item.full & ~item.forced
        else:
            self.items = []
            self.size = len(reverted)
            self.base = bytearray(reverted)
            self.base_keys = page_keys(reverted, 0)
            self.key = sum(self.base_keys)
            self.base_mtime_ns = time_ns
        self.version += 1

    def force(self, durable: Choice) -> None:
        """What is in `durable`, a legal choice, is durable."""
        write = step = 0
        for item in self.items:
            if isinstance(item, WriteItem):
                item.forced |= durable.kept[write]
                write += 1
            else:
                step += 1
                item.forced |= step <= durable.sizes
        self._fold()

    def _fold(self) -> None:
        """Durable items at the front become part of the base.

        Durable data beyond the durable size stays: the base could not hold it.
        """
        count, end, size = 0, 0, len(self.base)
        for place, item in enumerate(self.items, 1):
            if item.forced is not True and not (isinstance(item, WriteItem) and item.forced == item.full):
                break
            if isinstance(item, WriteItem):
                end = max(end, item.end)
            else:
                size = item.size
                end = min(end, size) if item.truncates else end
            if end <= size:
                count = place
        if count:
            front, rest = self.items[:count], self.items[count:]
            self._replace_base(build(self, front, full_choice(front))[0])
            self.base_mtime_ns = front[-1].time_ns
            self.items = rest
        self.version += 1

    def _replace_base(self, window: Window) -> None:
        first = window.low // PAGE_BYTES
        last = (min(window.high, max(len(self.base), window.size)) + PAGE_BYTES - 1) // PAGE_BYTES
        keys = page_keys(window.data, first)
        self.key += sum(keys) - sum(self.base_keys[first:last])
        self.base_keys[first:last] = keys
        self.base[window.low : window.high] = window.data

    def content_of(self, window: Window) -> bytes:
        """The whole content of a variant."""
        return bytes(self.base[: window.low]) + window.data + bytes(self.base[window.high :])

    def key_of(self, window: Window) -> int:
        """What identifies the content of a variant, computed from its window alone."""
        first, last = window.low // PAGE_BYTES, (window.high + PAGE_BYTES - 1) // PAGE_BYTES
        return self.key - sum(self.base_keys[first:last]) + sum(page_keys(window.data, first))

    # --- what a crash leaves -------------------------------------------------------------

    def mtime_of(self, choice: Choice) -> int:
        """Modification time: the last item that persisted, unless utime had the last word."""
        if self.mtime_ns is not None:
            return self.mtime_ns
        latest, write, sizes = self.base_mtime_ns, 0, 0
        for item in self.items:
            if isinstance(item, WriteItem):
                persisted = choice.kept[write] != 0
                write += 1
            else:
                sizes += 1
                persisted = sizes <= choice.sizes
            if persisted:
                latest = max(latest, item.time_ns)
        return latest

    def least(self) -> Choice:
        """Nothing but what is durable."""
        writes = [item.forced for item in self.items if isinstance(item, WriteItem)]
        forced = [i for i, item in enumerate(_sizes(self.items), 1) if item.forced]
        return Choice(tuple(writes), forced[-1] if forced else 0)


def _sizes(items: list[Item]) -> list[SizeItem]:
    return [item for item in items if isinstance(item, SizeItem)]


def full_choice(items: list[Item]) -> Choice:
    """Everything persisted."""
    kept = tuple(item.full for item in items if isinstance(item, WriteItem))
    return Choice(kept, len(items) - len(kept))


def needs_data(step: SizeItem, model: PersistenceModel) -> bool:
    """Rules "data first" and "separate"."""
    if model.growth is not Growth.DATA_FIRST or step.truncates:
        return False
    return not (step.tail and model.last_page is LastPage.SEPARATE)


def shift(mask: int, by: int) -> int:
    return mask << by if by >= 0 else mask >> -by


def mask_below(write: WriteItem, size: int, unit: int) -> int:
    """The units of `write` that hold bytes below `size`."""
    if write.end <= size:
        return write.full
    if write.offset >= size:
        return 0
    return (1 << ((size - 1) // unit - write.first + 1)) - 1


def mask_needed(items: list[Item], write: int, step: int, unit: int) -> int:
    """What the size step at place `step` of `items` requires of the write at place `write`.

    That is what lies below its size, but for what truncations between them have cut off.
    """
    issued, step_item = items[write], items[step]
    assert isinstance(issued, WriteItem) and isinstance(step_item, SizeItem)
    cuts = (item.size for item in items[write + 1 : step] if isinstance(item, SizeItem) and item.truncates)
    return mask_below(issued, min((step_item.size, *cuts)), unit) & ~issued.clean


# --- contents ----------------------------------------------------------------------------


def _window_bounds(file: FileState, items: list[Item]) -> tuple[int, int]:
    """The pages that `items` touch; up to the end of the file where the size changes."""
    low = min((item.offset if isinstance(item, WriteItem) else item.size for item in items), default=0)
    low = min(low, len(file.base)) // PAGE_BYTES * PAGE_BYTES
    if any(isinstance(item, SizeItem) for item in items):
        return low, NEVER
    high = max((item.end for item in items if isinstance(item, WriteItem)), default=0)
    return low, (high + PAGE_BYTES - 1) // PAGE_BYTES * PAGE_BYTES


def build(file: FileState, items: list[Item], choice: Choice) -> tuple[Window, list[tuple[int, int]]]:
    """The content left by `choice`, gaps read as zeros, and the gaps: (start, end) of lost data in grown parts.

    Earlier data below a gap is no gap: then the older bytes show.
    """
    low, high = _window_bounds(file, items)
    buffer = bytearray(file.base[low:high])
    size = floor = len(file.base)
    gaps: list[tuple[int, int]] = []
    covered: list[tuple[int, int]] = []
    write = steps = 0
    for item in items:
        if isinstance(item, WriteItem):
            kept, lost = _runs(item, choice.kept[write], file.unit)
            write += 1
            for start, end in kept:
                _put(buffer, start - low, item.data[start - item.offset : end - item.offset])
            gaps.extend(gap for run in lost for gap in _minus(run, covered))
            covered.extend(kept)
            continue
        steps += 1
        if steps > choice.sizes:
            continue
        if item.truncates:
            del buffer[item.size - low :]
            floor = min(floor, item.size)
            gaps = _clipped(gaps, 0, item.size)
            covered = _clipped(covered, 0, item.size)
        size = item.size
    visible = min(size, high) - low
    if len(buffer) < visible:
        buffer.extend(bytes(visible - len(buffer)))
    else:
        del buffer[visible:]
    return Window(low, high, bytes(buffer), size), _clipped(gaps, floor, size)


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


def _put(buffer: bytearray, start: int, data: bytes) -> None:
    if start > len(buffer):
        buffer.extend(bytes(start - len(buffer)))
    buffer[start : start + len(data)] = data


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


# --- choices -----------------------------------------------------------------------------


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
        steps = _sizes(self.file.items[:index])
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
    return [
        Variant(window, file.key_of(window), file.mtime_of(choice), choice)
        for window, choice in found.values()
    ]


def with_fills(
    file: FileState, garbage: Garbage, operation: int, choice: Choice
) -> Iterator[tuple[Window, Choice]]:
    """What `choice` leaves, gaps read as zeros, and as garbage where the model says so."""
    window, gaps = build(file, file.items, choice)
    yield window, choice
    if file.model.overwrite is Overwrite.NEIGHBOURS:
        yield _damaged(file, window, garbage), choice
    if not gaps or file.model.growth is not Growth.SIZE_FIRST_GARBAGE:
        return
    longest = max(end - start for start, end in _merged(gaps))
    for number, fill in enumerate(garbage.fills(longest, operation), 1):
        yield _filled(window, gaps, fill), Choice(choice.kept, choice.sizes, number)


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
