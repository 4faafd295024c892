"""What a file may show where it grew and its data is missing, and where a torn sector damaged its neighbours."""

from __future__ import annotations

import random
from functools import lru_cache


@lru_cache(maxsize=16)
def _noise(seed: int, length: int) -> bytes:
    """Seeded bytes, the same for every walk over a trace."""
    return random.Random(f"garbage {seed}").randbytes(length)


class Garbage:
    """The listed finite set of garbage: seeded bytes, and bytes that this trace wrote earlier.

    Earlier bytes are kept by operation and file, because what a recycled block holds is what
    some operation once put there. A block that is in use by a file is not given to it once more.
    """

    CHUNKS = 16
    BYTES = 16 * 1024

    def __init__(self, seed: int) -> None:
        self._noise = _noise(seed, self.BYTES)
        self._chunks: list[tuple[int, int | None, bytes]] = []

    def remember(self, operation: int, inode: int, data: bytes) -> None:
        if self._chunks and self._chunks[-1][:2] == (operation, inode):
            data = self._chunks.pop()[2] + data
        self._chunks.append((operation, inode, data[: self.BYTES]))
        del self._chunks[: -self.CHUNKS]

    def free(self, inode: int) -> None:
        """The file was cut: what it held may be in any block from now on, its own next ones included."""
        self._chunks = [
            (operation, None if owner == inode else owner, data) for operation, owner, data in self._chunks
        ]

    def fills(self, length: int, operation: int, inode: int | None = None) -> tuple[bytes, ...]:
        """Fills for a gap of `length` bytes in the file `inode`: noise; the latest earlier bytes that fit; the longest
        that fit."""

        def usable(issued: int, owner: int | None) -> bool:
            return issued != operation and (owner is None or owner != inode)

        earlier = [data for issued, owner, data in self._chunks if len(data) <= length and usable(issued, owner)]
        picked = (
            [earlier[-1], max(earlier, key=len), earlier[0]]
            if earlier
            else [data for issued, owner, data in self._chunks[-1:] if usable(issued, owner)]
        )
        return tuple(dict.fromkeys((self._noise[:length], *picked)))
