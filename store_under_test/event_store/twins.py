"""Two copies of one segment: which bytes are sound, and what has to be written to which copy.

Pure functions over two readers. A place of a segment is its header or one frame; frames carry a checksum over
their position, so that whichever copy verifies there is right. Where both do and differ, which happens only
to a frame that was never acknowledged, the first copy is taken. The sound chain ends where neither verifies.
What stands after it is no business of this module.

A copy is the source of what it alone has, and is written only elsewhere. So a repair in place that is
interrupted, or torn, can be done again: what it reads from is still as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from store_under_test.event_store.parity import Read

#: How much of both copies is compared at once.
STRIDE_BYTES = 1 << 20


class Grammar(Protocol):
    """How to tell what belongs to a segment."""

    @property
    def header_bytes(self) -> int:
        """Where the first frame begins."""
        ...

    def nonce(self, header: bytes) -> bytes | None:
        """The nonce of a sound header, `None` if it is damaged."""
        ...

    def frame_end(self, read: Read, nonce: bytes, offset: int) -> int | None:
        """Where the frame at `offset` ends, `None` if none verifies there."""
        ...


@dataclass(frozen=True, slots=True)
class Fix:
    """What copy `copy` (0 or 1) should hold from `start` on. `tail`: nothing of its own chain follows."""

    copy: int
    start: int
    data: bytes
    tail: bool

    @property
    def end(self) -> int:
        return self.start + len(self.data)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The sound chain of two copies: where it ends, and what makes both of them hold it."""

    end: int
    nonce: bytes
    fixes: tuple[Fix, ...]


def same(copies: tuple[Read, Read], length: int) -> bool:
    """Whether the first `length` bytes of both are equal."""
    starts = range(0, length, STRIDE_BYTES)
    return all(_part(copies[0], start, length) == _part(copies[1], start, length) for start in starts)


def _part(read: Read, start: int, length: int) -> bytes:
    return read(start, min(STRIDE_BYTES, length - start))


def compare(copies: tuple[Read, Read], grammar: Grammar) -> Comparison | None:
    """The longest chain that is in either copy, frame by frame; `None` if neither has a sound header."""
    headers = [read(0, grammar.header_bytes) for read in copies]
    sound = {nonce: header for header in reversed(headers) if (nonce := grammar.nonce(header)) is not None}
    found = [_compared(copies, grammar, nonce, header) for nonce, header in reversed(sound.items())]
    return max(found, key=lambda comparison: comparison.end, default=None)


def _compared(copies: tuple[Read, Read], grammar: Grammar, nonce: bytes, header: bytes) -> Comparison:
    """The chain of the frames that carry `nonce`. Holds one frame in memory, and what has to be written."""
    wrong: list[tuple[int, int, bytes]] = []
    last_right = [-1, -1]
    end = 0
    for start, data in chain(((0, header),), _frames(copies, grammar, nonce)):
        end = start + len(data)
        for copy in (0, 1):
            if copies[copy](start, len(data)) == data:
                last_right[copy] = start
            else:
                wrong.append((copy, start, data))
    fixes = tuple(Fix(copy, start, data, start > last_right[copy]) for copy, start, data in wrong)
    return Comparison(end, nonce, fixes)


def _frames(copies: tuple[Read, Read], grammar: Grammar, nonce: bytes) -> Iterator[tuple[int, bytes]]:
    offset = grammar.header_bytes
    while True:
        ends = [grammar.frame_end(read, nonce, offset) for read in copies]
        source = 0 if ends[0] is not None else 1
        end = ends[source]
        if end is None:
            return
        yield offset, copies[source](offset, end - offset)
        offset = end
