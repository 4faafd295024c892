"""The raw log: one tuple for each call, kept as small as possible while the store runs.

Every record starts with (kind, call, code, instruction, time_ns, operation, thread); what follows
depends on the kind and is listed here. Inode numbers are given while recording, because kernel
inode numbers are reused; sites, names and effects are worked out afterwards (`resolve`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Record = tuple[Any, ...]

HEADER = 7

MARK = 0  # marker kind, operation
WRITE = 1  # number, offset, data, durable
SIZE = 2  # number, size
SYNC = 3  # number, entries
SYNC_ALL = 4
CREATE = 5  # number, kind, mode, parent (None: outside), name ("": none yet), target
REMOVE = 6  # parent, name, number
RENAME = 7  # source parent, source name, parent, name, number, replaced
LINK = 8  # parent, name, number
ARRIVE = 9  # parent, name, number, arrivals, verb
MODE = 10  # number, mode
TIMES = 11  # number, mtime_ns
FAILED_SYNC = 13  # number, text
NOTE = 12  # text: a call that failed, or that an image does not show


# What a descriptor refers to: the inode; was it opened with O_DSYNC or O_SYNC; does its data matter?
# (A file outside on another device can never be renamed into the recorded directory.)
# A bare tuple, because one is made or taken apart in every call.
Handle = tuple[int, bool, bool]

# Where a path leads: the number of the directory (`None`: outside) and the last component.
Place = tuple[int | None, str]


@dataclass(frozen=True, slots=True)
class Arrival:
    """An inode that comes from outside, with what it held at that moment.

    `parent` is `None` for the top, whose entry is made last.
    """

    number: int
    parent: int | None
    name: str
    kind: Any
    mode: int
    target: str
    content: bytes
