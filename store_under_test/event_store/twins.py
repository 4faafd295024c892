"""Two copies of one segment: which bytes are sound, and what has to be written to which copy.

Pure functions over two readers. A place of a segment is its header, its mark, or one frame; each carries a checksum,
that of a frame over its position, so that whichever copy verifies there is right. Where both frames do and differ,
which happens only to one that was never acknowledged, the first copy's is taken; of two marks the one that says more.
The sound chain ends where neither verifies. What stands after it is for the reader of the segment to judge.

A copy is the source of what it alone has, and is written only elsewhere. So a repair in place that is
interrupted, or torn, can be done again: what it reads from is still as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from store_under_test.event_store import segment
from store_under_test.event_store.errors import DamagedError
from store_under_test.event_store.parity import Read
from store_under_test.event_store.segment import (
    BLOCK_BYTES,
    DATA_OFFSET,
    FRAME_HEADER_BYTES,
    MARK_OFFSET,
    FrameHeader,
    Header,
)

#: How much of both copies is compared at once.
STRIDE_BYTES = 1 << 20

Copies = tuple[Read, Read]


@dataclass(frozen=True, slots=True)
class Fix:
    """What copy `copy` (0 or 1) should hold from `start` on.

    `is_behind`: it is not damaged but was not written yet, as a crash between the two writes leaves it.
    """

    copy: int
    start: int
    data: bytes
    is_behind: bool

    @property
    def end(self) -> int:
        return self.start + len(self.data)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The sound chain of two copies: where it ends, and what makes both of them hold it."""

    end: int
    header: Header
    fixes: tuple[Fix, ...]


def same(copies: Copies, length: int) -> bool:
    """Whether the first `length` bytes of both are equal."""
    starts = range(0, length, STRIDE_BYTES)
    return all(_part(copies[0], start, length) == _part(copies[1], start, length) for start in starts)


def _part(read: Read, start: int, length: int) -> bytes:
    return read(start, min(STRIDE_BYTES, length - start))


def frame_at(read: Read, header: Header, offset: int) -> tuple[FrameHeader, bytes] | None:
    """The frame at `offset` and its bytes with the zeros that fill it up, or `None` if none verifies there."""
    data = read(offset, FRAME_HEADER_BYTES)
    found = segment.decode_frame(header.seed, offset, data, 0)
    if isinstance(found, int) and found > len(data) == FRAME_HEADER_BYTES:
        data = read(offset, found)
        found = segment.decode_frame(header.seed, offset, data, 0)
    if isinstance(found, int):
        return None
    return found, data.ljust(segment.frame_bytes(found.payload_bytes), b"\0")


def compare(copies: Copies, path: str) -> Comparison | None:
    """The longest chain that is in either copy, frame by frame; `None` if neither has a sound header.

    `path` is that of the segment. Raises `ForeignFormatError`.
    """
    headers = [header for read in copies if (header := sound_header(read, path)) is not None]
    found = [_compared(copies, header) for header in dict.fromkeys(headers)]
    return max(found, key=lambda comparison: comparison.end, default=None)


def sound_header(read: Read, path: str) -> Header | None:
    """The header of a copy of the segment at `path`, or `None` if it is damaged. Raises `ForeignFormatError`."""
    try:
        return segment.decode_header(read(0, BLOCK_BYTES), path)
    except DamagedError:
        return None


def _compared(copies: Copies, header: Header) -> Comparison:
    """The chain of the frames of this header. Holds one frame in memory, and what has to be written."""
    wrong: list[tuple[int, int, bytes, bool]] = []
    last_right = [-1, -1]
    end = DATA_OFFSET
    before = ((0, header.encoded()), (MARK_OFFSET, _mark(copies, header)))
    for start, data in chain(before, _frames(copies, header)):
        end = start + len(data)
        for copy in (0, 1):
            if copies[copy](start, len(data)) == data:
                last_right[copy] = start
            else:
                is_old = start == MARK_OFFSET and _is_mark(copies[copy], header)
                wrong.append((copy, start, data, is_old))
    # A frame is written when the one before it is durable: what is wrong before one that is right was right once.
    fixes = tuple(Fix(copy, start, data, is_old or start > last_right[copy]) for copy, start, data, is_old in wrong)
    return Comparison(end, header, fixes)


def _mark(copies: Copies, header: Header) -> bytes:
    """The mark that says more, as a whole block."""
    return mark_of(header, max(segment.decode_mark(header, read(MARK_OFFSET, BLOCK_BYTES)) for read in copies))


def _is_mark(read: Read, header: Header) -> bool:
    """Whether there is a mark, or none yet, and nothing else."""
    block = read(MARK_OFFSET, BLOCK_BYTES)
    return block == mark_of(header, segment.decode_mark(header, block))


def mark_of(header: Header, end: int) -> bytes:
    """The block of a mark that says `end`; zeros if it says nothing."""
    mark = segment.encode_mark(header, end) if end > DATA_OFFSET else b""
    return mark.ljust(BLOCK_BYTES, b"\0")


def _frames(copies: Copies, header: Header) -> Iterator[tuple[int, bytes]]:
    offset = DATA_OFFSET
    while True:
        found = frame_at(copies[0], header, offset) or frame_at(copies[1], header, offset)
        if found is None:
            return
        yield offset, found[1]
        offset += len(found[1])
