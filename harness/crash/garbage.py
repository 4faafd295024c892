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
    some operation once put there.
    """

    CHUNKS = 16
    BYTES = 16 * 1024

    def __init__(self, seed: int) -> None:
        self._noise = _noise(seed, self.BYTES)
        self._chunks: list[tuple[int, int, bytes]] = []

    def remember(self, operation: int, inode: int, data: bytes) -> None:
        if self._chunks and self._chunks[-1][:2] == (operation, inode):
            data = self._chunks.pop()[2] + data
        self._chunks.append((operation, inode, data[: self.BYTES]))
        del self._chunks[: -self.CHUNKS]

    def fills(self, length: int, operation: int) -> tuple[bytes, ...]:
        """Fills for a gap of `length` bytes: noise; the latest earlier bytes that fit; the longest that fit."""
        earlier = [data for issued, _, data in self._chunks if issued != operation and len(data) <= length]
        picked = (
            [earlier[-1], max(earlier, key=len), earlier[0]]
            if earlier
            else [data for issued, _, data in self._chunks[-1:] if issued != operation]
        )
        return tuple(dict.fromkeys((self._noise[:length], *picked)))
