"""Changes of one file that have not been synced, and what a crash can leave of them.

A file has a durable base and a list of pending items in the order in which they were issued:
writes, split in units (sectors or pages) that can be lost one by one, and size steps, of which
any prefix can persist. `harness.crash.contents` tells what a file then holds, and
`harness.crash.choices` lists what a persistence model allows.

The rules, each named where it is applied:

* order: writes to one unit persist in order;
* truncation: data written after a truncation requires it;
* data first: a size step requires all data below it (`Growth.DATA_FIRST`);
* separate: what fills the old last page needs no data before its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from harness.core.persistence import (
    PAGE_BYTES,
    SECTOR_BYTES,
    Growth,
    LastPage,
    PersistenceModel,
    Torn,
)

UNIT_BYTES = {Torn.WRITE: SECTOR_BYTES, Torn.PAGE: PAGE_BYTES, Torn.SECTOR: SECTOR_BYTES, Torn.BYTE_PREFIX: 1}
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
    if 0 < len(data) <= PAGE_BYTES:
        return [page_key(first, data)]
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
        "bounds",
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
        self.bounds: tuple[int, int, int] = (-1, 0, 0)  # a version, and the bytes that its items touch

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
            self._absorb(self.items[:count])
            self.items = self.items[count:]
        self.version += 1

    def _absorb(self, front: list[Item]) -> None:
        """All of `front` persisted: the base with it, and its new keys."""
        base, low, high, size = self.base, len(self.base), 0, len(self.base)
        resized = False
        for item in front:
            if isinstance(item, WriteItem):
                low, high = min(low, item.offset), max(high, item.end)
                put(base, item.offset, item.data)
            else:
                low, size, resized = min(low, item.size), item.size, True
                if item.truncates:
                    del base[size:]
        if len(base) < size:
            base.extend(bytes(size - len(base)))
        else:
            del base[size:]
        self.base_mtime_ns = front[-1].time_ns
        first, last = low // PAGE_BYTES, -(-(NEVER if resized else high) // PAGE_BYTES)
        keys = page_keys(bytes(base[first * PAGE_BYTES : last * PAGE_BYTES]), first)
        self.key += sum(keys) - sum(self.base_keys[first:last])
        self.base_keys[first:last] = keys

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
        forced = [i for i, item in enumerate(sizes_of(self.items), 1) if item.forced]
        return Choice(tuple(writes), forced[-1] if forced else 0)


def sizes_of(items: list[Item]) -> list[SizeItem]:
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


def put(buffer: bytearray, start: int, data: bytes) -> None:
    """Write `data` at `start`; what lies between it and the end so far is zeros."""
    if start > len(buffer):
        buffer.extend(bytes(start - len(buffer)))
    buffer[start : start + len(data)] = data


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
