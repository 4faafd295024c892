"""Damage to files at rest: flipped bits, lost and stale pages, cut tails, files removed or set back.

After Bairavasundaram et al., "An Analysis of Data Corruption in the Storage Stack" (FAST 2008): bit flips, zeroed
blocks, lost writes (a block keeps an older version of itself), misdirected writes (a block holds what was written for
another one), torn files. Everything is tried where files are small;
in larger ones the edges of their structure always, and seeded places between them.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from harness.core.persistence import PAGE_BYTES, SECTOR_BYTES
from harness.core.trace import Image, InodeKind, Node

#: Files up to this size are damaged at every byte; larger ones at their edges and at `SAMPLES` seeded places.
EVERY_BYTE_UP_TO = 768
SAMPLES = 160
#: At the beginning of a file, where every bit is flipped.
HEADER_BYTES = 16
_EDGE_BYTES = 4
_PAGES_MOST = 8


class DamageKind(Enum):
    """What is done to a file. `where` and `length` of a `Damage` mean what is said here."""

    FLIP = "one bit flipped"  # byte `where`, bit `length`
    CUT = "cut"  # to `where` bytes
    ZERO_PAGE = "page filled with zeros"  # the page that begins at `where`
    STALE_PAGE = "page replaced by an older version of itself"  # at `where`, from version `length`
    MISDIRECTED = "block overwritten by another one of the file"  # that at `where`, by that at `length`
    EXCHANGED = "two blocks exchanged"  # those at `where` and `length`
    DUPLICATED_TAIL = "its last bytes appended once more"  # `length` bytes
    REMOVED = "removed"
    OLDER_VERSION = "replaced by an older version of itself"  # version `length`


@dataclass(frozen=True, slots=True)
class Damage:
    """One damage to the file `path`, relative to the store's directory; `where` and `length` in bytes."""

    path: str
    kind: DamageKind
    where: int = 0
    length: int = 0

    def describe(self) -> str:
        match self.kind:
            case DamageKind.FLIP:
                return f"bit {self.length} of byte {self.where} of {self.path} flipped"
            case DamageKind.CUT:
                return f"{self.path} cut to {self.where} bytes"
            case DamageKind.ZERO_PAGE | DamageKind.STALE_PAGE:
                return f"{self.path}: {self.kind.value} (from byte {self.where})"
            case DamageKind.MISDIRECTED | DamageKind.EXCHANGED:
                return f"{self.path}: {self.kind.value} (at byte {self.where} and at {self.length})"
            case DamageKind.DUPLICATED_TAIL:
                return f"{self.path}: its last {self.length} bytes appended once more"
        return f"{self.path} {self.kind.value}"


@dataclass(frozen=True, slots=True)
class Versions:
    """What a file held: `now`, and at earlier moments when an operation (or an opening) had just completed."""

    path: str
    now: bytes
    earlier: tuple[bytes, ...]


def versions(images: Sequence[Image]) -> list[Versions]:
    """Every file of the last image with its earlier contents, oldest first, each once."""
    found = []
    for path, number in images[-1].paths().items():
        node = images[-1].nodes[number]
        if node.kind is InodeKind.FILE:
            past = [content for image in images[:-1] if (content := content_at(image, path)) is not None]
            earlier = tuple(dict.fromkeys(content for content in past if content != node.content))
            found.append(Versions(path, node.content, earlier))
    return found


def content_at(image: Image, path: str) -> bytes | None:
    number = image.paths().get(path)
    node = None if number is None else image.nodes[number]
    return node.content if node is not None and node.kind is InodeKind.FILE else None


# --- which damages ------------------------------------------------------------------------------


def damages(file: Versions, seed: int) -> Iterator[Damage]:
    """All damages of one file."""
    yield from telling_damages(file, seed)
    yield from damages_everywhere(file, seed)


def telling_damages(file: Versions, seed: int) -> Iterator[Damage]:
    """The damages of one file that differ most from each other, the rarer kinds first.

    Headers are small and each of their bits may have a meaning of its own: every bit of the first bytes is flipped. And
    the file ends behind each of them: what of a header is missing may be taken for zero, and so for a right checksum.
    """
    path, size = file.path, len(file.now)
    yield Damage(path, DamageKind.REMOVED)
    for number in range(len(file.earlier)):
        yield Damage(path, DamageKind.OLDER_VERSION, length=number)
    yield from _of_pages(file)
    yield from _of_blocks(file)
    for length in sorted({1, size // 4, size // 2, size}):
        if 0 < length <= size:
            yield Damage(path, DamageKind.DUPLICATED_TAIL, length=length)
    for place in range(min(HEADER_BYTES, size)):
        yield Damage(path, DamageKind.CUT, place)
        for bit in range(8):
            yield Damage(path, DamageKind.FLIP, place, bit)


def damages_everywhere(file: Versions, seed: int) -> Iterator[Damage]:
    """Cuts and flips all over one file, mixed, so that the first of them are from all parts of it."""
    chosen = random.Random(f"damage {seed} {file.path} {len(file.now)}")
    places = [place for place in _places(file, chosen) if place >= HEADER_BYTES]
    cuts = [Damage(file.path, DamageKind.CUT, place) for place in places]
    flips = [Damage(file.path, DamageKind.FLIP, place, chosen.randrange(8)) for place in places]
    found = cuts + flips
    chosen.shuffle(found)
    yield from found


def in_turn(*groups: Iterator[Damage]) -> Iterator[Damage]:
    """One of each group after another, until all groups are empty."""
    left = list(groups)
    while left:
        for group in tuple(left):
            item = next(group, None)
            if item is None:
                left.remove(group)
            else:
                yield item


def _of_pages(file: Versions) -> Iterator[Damage]:
    for start in _pages(len(file.now)):
        if any(file.now[start : start + PAGE_BYTES]):
            yield Damage(file.path, DamageKind.ZERO_PAGE, start)
        for number, earlier in enumerate(file.earlier):
            if 0 < len(earlier[start : start + PAGE_BYTES]) and _stale(file, start, number) != file.now:
                yield Damage(file.path, DamageKind.STALE_PAGE, start, number)


def _of_blocks(file: Versions) -> Iterator[Damage]:
    """Neighbours, and the first and the last one, of the blocks that are whole."""
    starts = _few(list(range(0, len(file.now) - _block(file) + 1, _block(file))))
    ends = [(starts[0], starts[-1])] if len(starts) > 2 else []
    for one, other in (*itertools.pairwise(starts), *ends):
        damages = (
            Damage(file.path, DamageKind.MISDIRECTED, one, other),
            Damage(file.path, DamageKind.MISDIRECTED, other, one),
            Damage(file.path, DamageKind.EXCHANGED, one, other),
        )
        yield from (damage for damage in damages if applies(file, damage))


def _block(file: Versions) -> int:
    """The unit that is written to a wrong place: a page, or a sector where there are no two pages."""
    return PAGE_BYTES if len(file.now) >= 2 * PAGE_BYTES else SECTOR_BYTES


def _pages(size: int) -> list[int]:
    return _few(list(range(0, size, PAGE_BYTES)))


def _few(starts: list[int]) -> list[int]:
    return starts if len(starts) <= _PAGES_MOST else [*starts[: _PAGES_MOST // 2], *starts[-_PAGES_MOST // 2 :]]


def _places(file: Versions, chosen: random.Random) -> list[int]:
    """Offsets in the file: all, or the edges of its structure and some between."""
    size = len(file.now)
    if size <= EVERY_BYTE_UP_TO:
        return list(range(size))
    edges = {0, size, *(len(earlier) for earlier in file.earlier), *_pages(size), *_first_differences(file)}
    near = {edge + step for edge in edges for step in range(-_EDGE_BYTES, _EDGE_BYTES + 1)}
    inside = {place for place in near if 0 <= place < size}
    return sorted(inside | set(chosen.sample(range(size), min(size, SAMPLES))))


def _first_differences(file: Versions) -> set[int]:
    """Where the file first differs from each earlier version: records and slots begin there."""
    found = set()
    for earlier in file.earlier:
        pairs = zip(file.now, earlier, strict=False)
        found.add(next((place for place, (new, old) in enumerate(pairs) if new != old), len(earlier)))
    return found


# --- what they do -------------------------------------------------------------------------------


def applies(file: Versions, damage: Damage) -> bool:
    """Whether this damage changes this file, which need not be the one that it was made for."""
    size, number = len(file.now), damage.length
    match damage.kind:
        case DamageKind.FLIP | DamageKind.CUT:
            return damage.where < size
        case DamageKind.ZERO_PAGE:
            return any(file.now[damage.where : damage.where + PAGE_BYTES])
        case DamageKind.STALE_PAGE:
            known = number < len(file.earlier) and damage.where < size
            return known and _stale(file, damage.where, number) != file.now
        case DamageKind.MISDIRECTED | DamageKind.EXCHANGED:
            return max(damage.where, number) + _block(file) <= size and damaged_content(file, damage) != file.now
        case DamageKind.DUPLICATED_TAIL:
            return 0 < number <= size
        case DamageKind.OLDER_VERSION:
            return number < len(file.earlier)
    return True


def damaged_content(file: Versions, damage: Damage) -> bytes | None:
    """The file after the damage; `None` if it is gone."""
    now = file.now
    match damage.kind:
        case DamageKind.FLIP:
            flipped = now[damage.where] ^ (1 << damage.length)
            return now[: damage.where] + bytes((flipped,)) + now[damage.where + 1 :]
        case DamageKind.CUT:
            return now[: damage.where]
        case DamageKind.ZERO_PAGE:
            page = now[damage.where : damage.where + PAGE_BYTES]
            return now[: damage.where] + bytes(len(page)) + now[damage.where + len(page) :]
        case DamageKind.STALE_PAGE:
            return _stale(file, damage.where, damage.length)
        case DamageKind.MISDIRECTED:
            return _moved(file, damage.length, damage.where)
        case DamageKind.EXCHANGED:
            moved = _moved(file, damage.length, damage.where)
            return _put(moved, damage.length, now[damage.where : damage.where + _block(file)])
        case DamageKind.DUPLICATED_TAIL:
            return now + now[-damage.length :]
        case DamageKind.OLDER_VERSION:
            return file.earlier[damage.length]
    return None


def _stale(file: Versions, start: int, number: int) -> bytes:
    old = file.earlier[number][start : start + PAGE_BYTES][: len(file.now) - start]
    return file.now[:start] + old + file.now[start + len(old) :]


def _moved(file: Versions, source: int, target: int) -> bytes:
    return _put(file.now, target, file.now[source : source + _block(file)])


def _put(content: bytes, start: int, block: bytes) -> bytes:
    return content[:start] + block + content[start + len(block) :]


def sets_back(file: Versions, content: bytes | None) -> bool:
    """Whether the damage leaves no trace in the file: it is gone, or what it was after some operation.

    No store of a single file can know, so this is judged only where it was promised (`rollback`).
    """
    return content is None or content in file.earlier


def is_one_block(file: Versions, content: bytes | None) -> bool:
    """Whether only bytes of one block of 4096 bytes differ, and the size is the same."""
    if content is None or len(content) != len(file.now):
        return False
    changed = [place for place, (new, old) in enumerate(zip(content, file.now, strict=True)) if new != old]
    return bool(changed) and changed[0] // PAGE_BYTES == changed[-1] // PAGE_BYTES


def extent(file: Versions, content: bytes | None) -> tuple[int, int]:
    """From which byte up to which the damaged file differs from what it was."""
    if content is None:
        return 0, max(1, len(file.now))
    longest = max(len(content), len(file.now))
    same = (new == old for new, old in zip(content, file.now, strict=False))
    first = next((place for place, equal in enumerate(same) if not equal), min(len(content), len(file.now)))
    if len(content) != len(file.now):
        return first, max(longest, first + 1)
    last = next(place for place in reversed(range(longest)) if content[place] != file.now[place])
    return first, last + 1


def damaged(image: Image, path: str, content: bytes | None) -> Image:
    """`image` with the file `path` holding `content`, or without it. Modification times stay."""
    directory, _, name = path.rpartition("/")
    paths = image.paths()
    number = paths[path]
    nodes = dict(image.nodes)
    if content is not None:
        nodes[number] = dataclasses.replace(nodes[number], content=content)
        return Image(nodes)
    parent = paths[directory] if directory else 0
    entries = {key: value for key, value in nodes[parent].entries.items() if key != name}
    nodes[parent] = Node(InodeKind.DIRECTORY, nodes[parent].mode, nodes[parent].mtime_ns, entries=entries)
    if number not in {child for node in nodes.values() for child in node.entries.values()}:
        del nodes[number]
    return Image(nodes)


def pick(images: list[Image], seed: int, choice: int) -> tuple[Versions, Damage] | None:
    """Of all damages of all files the `choice`-th that leaves a trace, counted around; `images` in their order."""
    every = [(file, damage) for file in versions(images) if file.now for damage in damages(file, seed)]
    for number in range(len(every)):
        file, damage = every[(choice + number) % len(every)]
        if not sets_back(file, damaged_content(file, damage)):
            return file, damage
    return None
