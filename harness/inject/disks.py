"""Disks that are full: how much room is left, and from when on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

#: Amounts of free room that are tried from the beginning on; more are taken from all parts of the range.
SWEEP = 96


class Room(Enum):
    """What is scarce."""

    PAGES = "page"
    INODES = "inode"


@dataclass(frozen=True, slots=True)
class FullDisk:
    """Before step `step` of a script the disk is filled until `left` pages (4096 bytes) or inodes are free."""

    step: int
    left: int
    room: Room = Room.PAGES

    @property
    def word(self) -> str:
        return "no space" if self.room is Room.PAGES else "no inodes"

    def describe(self) -> str:
        what = f"{self.left} free {self.room.value}{'' if self.left == 1 else 's'}"
        return f"the disk is filled up to {what} before step {self.step}"


def full_disks(steps: int, pages: int, inodes: int) -> Iterator[FullDisk]:
    """All of them for a script of so many steps that takes so many pages and inodes at most.

    First the disk is full before each step in turn, then it becomes full somewhere on the way, at every amount.
    """
    for left in (0, 1):
        for step in range(steps):
            yield FullDisk(step, left)
        for step in range(steps):
            yield FullDisk(step, left, Room.INODES)
    yield from (FullDisk(0, left) for left in _spread(2, pages))
    yield from (FullDisk(0, left, Room.INODES) for left in range(2, inodes))
    for step in range(1, steps):
        yield FullDisk(step, 2)


def _spread(first: int, end: int) -> list[int]:
    every = range(first, end)
    return list(every) if len(every) <= SWEEP else [every[number * len(every) // SWEEP] for number in range(SWEEP)]
