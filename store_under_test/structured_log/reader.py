"""Reading a log. Lines that hold no record are passed over and counted, and it is told why they are there.

A spell of such lines is void if the record after it says so (a writer had died there), torn if nothing follows (one
has died, or is still writing, and a damaged last line looks the same), and else it is damage.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from store_under_test.structured_log.errors import LogDamagedError
from store_under_test.structured_log.line import FRESH_LINE, Void, record_of

logger = logging.getLogger("store_under_test.structured_log")

MAX_LINE_BYTES = 32 << 20  # read at once: more than any record may have


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` up to, not including, `end` of a file."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class LogContents:
    """What a log holds: records in the order of the file, and how much else.

    `malformed` counts the lines that hold no record. `damaged` and `torn` are where they are, unless they are void.
    `lost` is how many records their writers could not write, as far as later ones have told.
    """

    path: str
    records: tuple[dict[str, Any], ...]
    malformed: int
    damaged: tuple[Span, ...]
    torn: Span | None
    lost: int


def read_log(path: str | os.PathLike[str], *, up_to: int | None = None) -> LogContents:
    """The first `up_to` bytes of a log, or all of it. What is in it raises nothing; `OSError` if it cannot be read."""
    fold = _Fold()
    with open(path, "rb") as stream:
        for offset, line in _lines(stream, up_to):
            fold.add(offset, line)
    return fold.contents(os.fspath(path))


def require_undamaged(contents: LogContents) -> LogContents:
    """The same contents. `LogDamagedError` if some are damaged; a torn end is told by a warning in Python's log."""
    for span in contents.damaged:
        raise LogDamagedError(contents.path, span.start, span.end)
    if contents.torn is not None:
        logger.warning("%s ends in an unfinished line at byte %d", contents.path, contents.torn.start)
    return contents


def _lines(stream: BinaryIO, up_to: int | None) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each line; of longer ones than any record, pieces."""
    offset = 0
    while up_to is None or offset < up_to:
        limit = MAX_LINE_BYTES if up_to is None else min(MAX_LINE_BYTES, up_to - offset)
        line = stream.readline(limit)
        if not line:
            return
        yield offset, line
        offset += len(line)


class _Spell:
    """Lines without a record, one after another."""

    def __init__(self, start: int) -> None:
        self.start = self.end = start
        self._crc = self._crc_unfinished = 0

    def add(self, line: bytes) -> None:
        self._crc_unfinished = zlib.crc32(line.removesuffix(FRESH_LINE), self._crc)
        self._crc = zlib.crc32(line, self._crc)
        self.end += len(line)

    def is_explained_by(self, void: object) -> bool:
        """Whether a record says that these bytes are void: all, or all but the fresh line that was begun after them."""
        length = self.end - self.start
        whole = Void(self.start, length, self._crc)
        unfinished = Void(self.start, length - len(FRESH_LINE), self._crc_unfinished)
        return void in (whole.plain(), unfinished.plain())


class _Fold:
    """What was read so far."""

    def __init__(self) -> None:
        self._records: list[dict[str, Any]] = []
        self._damaged: list[Span] = []
        self._malformed = self._lost = 0
        self._spell: _Spell | None = None

    def add(self, offset: int, line: bytes) -> None:
        record = record_of(line, offset)
        if record is None:
            self._malformed += line.endswith(b"\n")
            self._spell = self._spell or _Spell(offset)
            self._spell.add(line)
            return
        if self._spell is not None and not self._spell.is_explained_by(record.get("void")):
            self._damaged.append(Span(self._spell.start, self._spell.end))
        self._spell = None
        self._lost += _count(record.get("lost"))
        self._records.append(record)

    def contents(self, path: str) -> LogContents:
        spell = self._spell
        torn = None if spell is None else Span(spell.start, spell.end)
        return LogContents(path, tuple(self._records), self._malformed, tuple(self._damaged), torn, self._lost)


def _count(lost: object) -> int:
    return sum(count for count in lost.values() if isinstance(count, int)) if isinstance(lost, dict) else 0
