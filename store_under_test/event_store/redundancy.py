"""What a second copy of the segments' bytes has to offer the log. Without one, damage is reported and stays."""

from __future__ import annotations

from typing import Protocol

from store_under_test.event_store.errors import DamagedError


class Redundancy(Protocol):
    """Called by the one writer, or while the log is being opened, and for `repair` by readers too."""

    def started(self, path: str, header_block: bytes) -> None:
        """A new active segment gets its name after this: what is needed to repair its header must be durable."""

    def wrote(self, path: str, offset: int, frame: bytes) -> None:
        """`frame` is durable in the active segment, and will be acknowledged after this."""

    def sealed(self, path: str, end_offset: int) -> None:
        """No more frames come to the segment: its log ends there."""

    def removed(self, path: str) -> None:
        """Retention has removed the segment."""

    def repair(self, damage: DamagedError) -> bool:
        """Try to put the damaged bytes right. True if it is worth reading them again."""

    def close(self) -> None:
        """The log is being closed."""
