"""Syncs that fail, and what becomes of the data: after Rebello et al., "Can Applications Recover from fsync Failures?"
(ATC 2020).

On ext4 and XFS the pages stay readable and count as clean: a later fsync of the same file does not write them. On
Btrfs the file falls back to what was last synced. With data journaling a sync may return well, and the next one of the
same file reports the error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from harness.inject.calls import ordinal


class Aftermath(Enum):
    """What becomes of data whose sync failed."""

    CLEAN = "its pages stay readable and count as clean"
    REVERTED = "the file falls back to what was last synced"
    LATE = "the error is reported one call late"


@dataclass(frozen=True, slots=True)
class SyncFault:
    """The `number`-th fsync or fdatasync (from 1) fails with EIO, or `lasting` that one and all later ones."""

    number: int
    aftermath: Aftermath
    lasting: bool = False

    @property
    def word(self) -> str:
        return f"failed sync ({self.aftermath.name.lower()})"

    def describe(self) -> str:
        which = f"the {ordinal(self.number)} sync" + (" and every later one fail" if self.lasting else " fails")
        return f"{which}: {self.aftermath.value}"


def sync_faults(sites: Iterable[str]) -> Iterator[SyncFault]:
    """All faults for syncs made at these places, in their order; each place first, then each once more."""
    numbered: dict[str, list[int]] = {}
    for number, site in enumerate(sites, 1):
        numbered.setdefault(site, []).append(number)
    turns = max(map(len, numbered.values()), default=0)
    for turn in range(turns):
        chosen = [numbers[turn] for numbers in numbered.values() if turn < len(numbers)]
        for aftermath, lasting in _WAYS:
            yield from (SyncFault(number, aftermath, lasting) for number in chosen)


_WAYS = (
    (Aftermath.CLEAN, False),
    (Aftermath.CLEAN, True),
    (Aftermath.REVERTED, False),
    (Aftermath.LATE, False),
    (Aftermath.REVERTED, True),
)
