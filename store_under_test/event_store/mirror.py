"""The mirror of the active segment: `events-....mir`, the same bytes in another file.

A group is written to both and both are synced before it is acknowledged (writer.py). So what is acknowledged is
in both, and a loss of power in between leaves the last frame whole in both, in one, or torn in either of them,
at places of their own.

Opening goes two ways, one after the other. First the segment is given what only the mirror has (`heal`): then the
segment is whole, durably, and recovery reads nothing else. When recovery has cut what is torn, the mirror is made
equal to the segment (`follow`). A crash anywhere in between changes nothing about the first step: it is done again
with the same result.

A mirror without its segment belongs to a segment that was never finished, unless there are frames in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from store_under_test.event_store import copies, files, scan, segment
from store_under_test.event_store.copies import opened, reader
from store_under_test.event_store.errors import DamagedError
from store_under_test.event_store.twins import Comparison, Fix, compare, same

SUFFIX = ".mir"


def path_of(segment_path: str) -> str:
    """Where the mirror of a segment stands."""
    return segment_path.removesuffix(segment.SUFFIX) + SUFFIX


def heal(path: str) -> bool:
    """Give the segment at `path` what only its mirror has; True if that was anything. Durable when it returns.

    For a segment that nobody writes to. Raises `DamagedError` if frames follow, in either copy, after a place that is
    sound in neither.
    """
    if not os.path.exists(path):
        return _restored(path)
    with _pair(path) as pair:
        comparison = pair.compared()
        if comparison is None:
            return False
        pair.refuse_a_gap(comparison)
        pair.keep(comparison)
        return pair.mend([fix for fix in comparison.fixes if fix.copy == 0], pair.size)


def heal_inside(path: str) -> bool:
    """As `heal`, while the segment is written to: only what has something sound after it."""
    with _pair(path) as pair:
        comparison = pair.compared()
        if comparison is None:
            return False
        pair.keep(comparison)
        return pair.mend([fix for fix in comparison.fixes if fix.copy == 0 and not fix.is_behind], 0)


@dataclass(frozen=True, slots=True)
class Pair:
    """A segment and its mirror, open."""

    paths: tuple[str, str]
    descriptors: tuple[int, int]

    @property
    def size(self) -> int:
        """That of the larger one, in bytes."""
        return max(files.size_of(descriptor) for descriptor in self.descriptors)

    def compared(self) -> Comparison | None:
        """What each lacks; `None` if they are equal, or there is no sound header in either."""
        readers = reader(self.descriptors[0]), reader(self.descriptors[1])
        if files.size_of(self.descriptors[0]) == files.size_of(self.descriptors[1]) and same(readers, self.size):
            return None
        return compare(readers, self.paths[0])

    def refuse_a_gap(self, comparison: Comparison) -> None:
        """Raise `DamagedError` if frames follow in either copy: those before are no torn tail."""
        for path, descriptor in zip(self.paths, self.descriptors, strict=True):
            rest = scan.tail(descriptor, comparison.header.seed, comparison.end, self.size)
            if rest.frame_offset is not None:
                extent = (comparison.end, rest.frame_offset)
                raise DamagedError(path, extent, "events before others are damaged, in both copies")

    def keep(self, comparison: Comparison) -> None:
        """Quarantine what is wrong though more of its own follows: a tail that is missing is no damage."""
        for fix in comparison.fixes:
            if not fix.is_behind:
                path, held = self.paths[fix.copy], self._held(fix)
                copies.quarantine(path, fix.start, held)
                files.logger.warning("%s, bytes %d to %d: damaged; the other copy has them", path, fix.start, fix.end)

    def _held(self, fix: Fix) -> bytes:
        return files.read_at(self.descriptors[fix.copy], len(fix.data), fix.start)

    def mend(self, fixes: list[Fix], size: int) -> bool:
        """Write into the segment, which gets at least `size` bytes. True if there was anything to fix."""
        path, descriptor = self.paths[0], self.descriptors[0]
        is_short = files.size_of(descriptor) < size
        for fix in fixes:
            files.write_at(descriptor, fix.data, fix.start)
        files.write_zeros(descriptor, files.size_of(descriptor), size)
        if fixes or is_short:
            files.sync(descriptor, path)
        return bool(fixes)


@contextmanager
def _pair(path: str) -> Iterator[Pair]:
    with opened(path, os.O_RDWR) as first, opened(path_of(path)) as second:
        yield Pair((path, path_of(path)), (first, second))


def _restored(path: str) -> bool:
    """A mirror alone: if there are frames in it, its segment was there, and is made anew."""
    mirror = path_of(path)
    with opened(mirror) as descriptor:
        read = reader(descriptor)
        comparison = compare((read, read), path)
    if comparison is None:
        raise DamagedError(mirror, (0, segment.BLOCK_BYTES), "the header of a mirror without its segment is damaged")
    if comparison.end == segment.DATA_OFFSET:
        files.remove_quietly(mirror)
        return False
    files.logger.warning("%s is missing; it is made anew from its mirror", path)
    copies.copy(mirror, path)
    return True


def follow(path: str) -> int:
    """Make the mirror equal to the segment at `path`, which recovery found sound; a descriptor to write to it."""
    mirror = path_of(path)
    if not os.path.exists(mirror):
        copies.copy(path, mirror)
    target = files.open_file(mirror, os.O_RDWR)
    try:
        with opened(path) as source:
            copies.equalize(source, target, mirror)
    except BaseException:
        files.close_quietly(target)
        raise
    return target
