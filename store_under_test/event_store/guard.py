"""redundancy="parity": a mirror of the active segment, parity for the sealed ones.

    a new segment       the mirror first, then the segment; without its segment an empty mirror is removed on opening
    more room           in the mirror first: if that fails, nothing has changed
    a group             in the segment, synced, then in the mirror, synced, then acknowledged
    sealing             both copies made equal, parity made from them, durable; then the mirror is removed
    opening             the active segment and any that were not finished are healed from their mirrors, recovery reads
                        and cuts, the mirrors follow, and what was left undone of sealing is done
    a reader's damage   restored from parity, and read again

If parity cannot be made (a full disk), the mirror stays in its place, and it is tried again on the next opening.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from store_under_test.event_store import copies, files, mirror, sealed, segment
from store_under_test.event_store.errors import DamagedError, SyncFailedError
from store_under_test.event_store.recovery import SegmentInfo


@dataclass(slots=True)
class Mirror:
    """An open mirror, and what is surely there of it."""

    path: str
    descriptor: int
    size: int


class ParityGuard:
    """What the log calls; used by its one writer, `repair` also by readers."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        #: Mirrors that are written to, by the path of the segment: while a segment is being started, two.
        self._mirrors: dict[str, Mirror] = {}
        self._repairing = threading.Lock()

    # --- opening -------------------------------------------------------------------------------

    def opening(self) -> None:
        """Before recovery reads anything: segments get what only their mirrors have. Raises `DamagedError`."""
        for name in sorted(os.listdir(self._directory)):
            if name.endswith(mirror.SUFFIX) and segment.parsed_name(_log_name(name)):
                mirror.heal(os.path.join(self._directory, _log_name(name)))

    def recovered(self, segments: Iterable[SegmentInfo]) -> None:
        """Every sealed segment gets its parity, and nothing stays beside a segment that is gone."""
        for info in segments:
            if info.sealed:
                self._finish(info.path, info.end_offset)
        names = os.listdir(self._directory)
        for name in sorted(names):
            if name.endswith((mirror.SUFFIX, sealed.SUFFIX)) and _log_name(name) not in names:
                files.remove_quietly(os.path.join(self._directory, name))

    def resumed(self, path: str) -> None:
        """The segment that recovery found goes on being the active one."""
        self._take(path, mirror.follow(path))

    # --- writing -------------------------------------------------------------------------------

    def started(self, path: str, header_block: bytes, size: int) -> None:
        """A new active segment of `size` bytes gets its name after this, if that works; the old one may go on."""
        zeros = (bytes(length) for _, length in copies.strides(len(header_block), size))
        target = mirror.path_of(path)
        copies.place(target, (header_block, *zeros))
        self._take(path, files.open_file(target, os.O_RDWR))

    def make_room(self, path: str, size: int) -> None:
        """The active segment will grow to `size` after this."""
        twin = self._mirrors[path]
        if size > twin.size:
            files.write_zeros(twin.descriptor, twin.size, size)
            files.sync(twin.descriptor, twin.path)
            twin.size = size

    def wrote(self, path: str, offset: int, data: bytes) -> None:
        """`data` is durable in the active segment, and acknowledged after this. Raises `OSError`, `SyncFailedError`."""
        twin = self._mirrors[path]
        files.write_at(twin.descriptor, data, offset)
        files.sync_data(twin.descriptor, twin.path)

    def sealed(self, path: str, end_offset: int) -> None:
        """The segment's log ends there, durably: the header of the next one says so."""
        self._let_go(path)
        self._finish(path, end_offset)

    def removed(self, path: str) -> None:
        """Retention removes the segment: what stands beside it goes first."""
        files.remove_quietly(mirror.path_of(path))
        files.remove_quietly(sealed.path_of(path))

    def close(self) -> None:
        """Let the mirrors go."""
        for path in tuple(self._mirrors):
            self._let_go(path)

    def _take(self, path: str, descriptor: int) -> None:
        self._let_go(path)
        self._mirrors[path] = Mirror(mirror.path_of(path), descriptor, files.size_of(descriptor))

    def _let_go(self, path: str) -> None:
        twin = self._mirrors.pop(path, None)
        if twin is not None:
            files.close_quietly(twin.descriptor)

    # --- sealed segments -----------------------------------------------------------------------

    def repair(self, damage: DamagedError) -> bool:
        """Restore what a reader met. True if anything was: it is worth reading again."""
        if not segment.parsed_name(os.path.basename(damage.path)) or not os.path.exists(damage.path):
            return False
        with self._repairing:
            if os.path.exists(mirror.path_of(damage.path)):
                return mirror.heal_inside(damage.path)
            return sealed.mend(damage.path)

    def _finish(self, path: str, end_offset: int) -> None:
        """Parity for a sealed segment, if it has none, and then its mirror is of no more use."""
        twin = mirror.path_of(path)
        try:
            if sealed.has_parity(path, end_offset) or self._made(path, end_offset):
                if os.path.exists(twin):
                    os.unlink(twin)
            else:
                files.logger.warning("%s is damaged, and what there is of parity does not restore it", path)
        except (OSError, SyncFailedError, DamagedError) as error:
            files.logger.warning("no parity for %s yet: %s", path, error)

    def _made(self, path: str, end_offset: int) -> bool:
        """Make the parity of a segment, from sound bytes only. False if there are none."""
        if os.path.exists(mirror.path_of(path)):
            mirror.heal(path)
        elif os.path.exists(sealed.path_of(path)):
            files.logger.warning("the parity of %s is damaged; it is made anew", path)
            sealed.mend(path)
        return sealed.make(path, end_offset)


def guard_of(directory: str | os.PathLike[str], redundancy: str | None) -> ParityGuard | None:
    """What keeps the log in `directory` twice: if it is asked for, or a mirror is there.

    A mirror that is not written to would fall behind, and stand in for the segment one day.
    Raises `ValueError` for another kind of redundancy.
    """
    if redundancy not in (None, "parity"):
        raise ValueError(f'redundancy is "parity" or None, not {redundancy!r}')
    kept = any(name.endswith(mirror.SUFFIX) for name in os.listdir(directory))
    return ParityGuard(os.path.abspath(os.fspath(directory))) if kept or redundancy else None


def _log_name(name: str) -> str:
    return os.path.splitext(name)[0] + segment.SUFFIX
