"""What a second copy of the segments' bytes has to offer the log. Without one, damage is reported and stays.

All of it is called by the one writer, or while the log is being opened; `repair` by readers too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from store_under_test.event_store.errors import DamagedError
from store_under_test.event_store.recovery import SegmentInfo


class Redundancy(Protocol):
    """Paths are those of segments. An `OSError` or a `SyncFailedError` is judged as one of the log itself."""

    def opening(self) -> None:
        """The lock is held, and nothing was read yet."""

    def recovered(self, segments: Iterable[SegmentInfo]) -> None:
        """These are the segments, and recovery has changed what it had to."""

    def resumed(self, path: str) -> None:
        """The segment that recovery found goes on being the active one."""

    def started(self, path: str, header_block: bytes, size: int) -> None:
        """A new active segment of `size` bytes gets its name after this, if that works. The old one is still active."""

    def make_room(self, path: str, size: int) -> None:
        """The active segment will grow to `size` after this."""

    def wrote(self, path: str, offset: int, data: bytes) -> None:
        """`data` is durable in the active segment, and acknowledged after this."""

    def sealed(self, path: str, end_offset: int) -> None:
        """The segment's log ends there, durably: the header of the next one says so."""

    def removed(self, path: str) -> None:
        """Retention removes the segment after this."""

    def repair(self, damage: DamagedError) -> bool:
        """Try to put the damaged bytes right. True if it is worth reading them again."""

    def close(self) -> None:
        """The log is being closed."""
