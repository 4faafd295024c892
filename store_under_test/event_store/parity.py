"""Parity of a sealed segment: what its file `events-....par` holds, how it is made, and what it can restore.

The segment's first `covered` bytes are cut into blocks of 4096 bytes, the last one filled up with zeros in
thought. The blocks are dealt out to S stripes in turn: block b belongs to stripe b mod S, so that a stripe
has at most `DATA_BLOCKS` blocks, and neighbours are in different stripes. A stripe's parity block is the XOR
of its blocks. A checksum of every block (CRC-32C) says which one is damaged; with that, any one block of each
stripe can be restored, and so can any run of up to S blocks, a cut tail too. Two damaged blocks of one stripe
are lost to this file.

The parity file is: table, S parity blocks, table again. The table holds the checksums of all blocks, those of
the parity blocks too, and a checksum over itself. It stands there twice, so that one damaged block of the
parity file never takes away what restores another block of the segment.

The segment's nonce is part of the table: the parity of another segment restores nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from crc32c import crc32c

BLOCK_BYTES = 4096
#: How many blocks share a parity block: the price is a sixteenth of the segment.
DATA_BLOCKS = 16
MAGIC = b"EVPARITY"
FORMAT_VERSION = 1
NONCE_BYTES = 16

#: magic, format version, data blocks a stripe, stripes, covered bytes, first sequence, nonce
_HEAD = struct.Struct(f"<8sIIQQQ{NONCE_BYTES}s")
_SUM = struct.Struct("<I")

#: `read(offset, length)` of a file: shorter than asked for only at its end.
Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Layout:
    """How `covered` bytes are dealt out to stripes."""

    covered: int
    stripes: int
    width: int = DATA_BLOCKS

    @property
    def blocks(self) -> int:
        return -(-self.covered // BLOCK_BYTES)

    @property
    def row_bytes(self) -> int:
        """The blocks of one row stand one after another, one of each stripe."""
        return self.stripes * BLOCK_BYTES

    def members(self, stripe: int) -> range:
        """The numbers of the blocks of a stripe."""
        return range(stripe, self.blocks, self.stripes)

    def length(self, block: int) -> int:
        """How many bytes of the block are covered; what follows counts as zeros."""
        return min(BLOCK_BYTES, self.covered - block * BLOCK_BYTES)


def layout_of(covered: int) -> Layout:
    """The layout for a segment of `covered` bytes (1 or more): as few stripes as `DATA_BLOCKS` allows."""
    blocks = -(-covered // BLOCK_BYTES)
    return Layout(covered, max(1, -(-blocks // DATA_BLOCKS)))


@dataclass(frozen=True, slots=True)
class Table:
    """What a parity file knows: whose parity it is, and the checksum of every block."""

    first_sequence: int
    nonce: bytes
    layout: Layout
    data_sums: tuple[int, ...]
    parity_sums: tuple[int, ...]

    @property
    def file_bytes(self) -> int:
        return 2 * table_bytes(self.layout) + self.layout.row_bytes


@dataclass(frozen=True, slots=True)
class Mended:
    """Which blocks of a segment are damaged: `restored` with what they held, `lost` beyond restoring."""

    restored: dict[int, bytes]
    lost: tuple[int, ...]

    @property
    def damaged(self) -> tuple[int, ...]:
        return tuple(sorted((*self.restored, *self.lost)))


# --- the arithmetic -----------------------------------------------------------------------------


def xor(rows: Iterator[bytes], length: int) -> bytes:
    """The XOR of byte strings of at most `length` bytes, the shorter ones filled up with zeros."""
    total = 0
    for row in rows:
        total ^= int.from_bytes(row, "little")
    return total.to_bytes(length, "little")


def block_sums(content: bytes) -> list[int]:
    """The checksums of the blocks of `content`, the last one filled up with zeros."""
    view = memoryview(content + bytes(-len(content) % BLOCK_BYTES))
    return [crc32c(view[start : start + BLOCK_BYTES]) for start in range(0, len(view), BLOCK_BYTES)]


def parity_of(read: Read, layout: Layout) -> tuple[bytes, list[int]]:
    """The parity blocks of a segment, and the checksums of its own blocks. Holds one row in memory."""
    sums: list[int] = []

    def rows() -> Iterator[bytes]:
        for start in range(0, layout.covered, layout.row_bytes):
            row = read(start, min(layout.row_bytes, layout.covered - start))
            sums.extend(block_sums(row))
            yield row

    return xor(rows(), layout.row_bytes), sums


# --- the file -----------------------------------------------------------------------------------


def table_bytes(layout: Layout) -> int:
    """The length of one copy of the table, in whole blocks."""
    length = _HEAD.size + _SUM.size * (layout.blocks + layout.stripes + 1)
    return -(-length // BLOCK_BYTES) * BLOCK_BYTES


def encode_table(table: Table) -> bytes:
    layout = table.layout
    head = _HEAD.pack(
        MAGIC,
        FORMAT_VERSION,
        layout.width,
        layout.stripes,
        layout.covered,
        table.first_sequence,
        table.nonce,
    )
    sums = struct.pack(f"<{layout.blocks + layout.stripes}I", *table.data_sums, *table.parity_sums)
    body = (head + sums).ljust(table_bytes(layout) - _SUM.size, b"\0")
    return body + _SUM.pack(crc32c(body))


def decode_table(content: bytes, start: int) -> Table | None:
    """The table that begins at `start`, or `None` if none does, or it is damaged."""
    if len(content) < start + _HEAD.size or content[start : start + len(MAGIC)] != MAGIC:
        return None
    _, version, width, stripes, covered, first, nonce = _HEAD.unpack_from(content, start)
    if version != FORMAT_VERSION or not (0 < covered and 0 < stripes <= covered):
        return None
    layout = Layout(covered, stripes, width)
    end = start + table_bytes(layout)
    if end > len(content) or _SUM.unpack_from(content, end - _SUM.size)[0] != crc32c(content[start : end - _SUM.size]):
        return None
    sums = struct.unpack_from(f"<{layout.blocks + stripes}I", content, start + _HEAD.size)
    return Table(first, nonce, layout, sums[: layout.blocks], sums[layout.blocks :])


def find_table(content: bytes) -> Table | None:
    """The first sound table of a parity file, or `None` if both copies are damaged."""
    starts = range(0, len(content), BLOCK_BYTES)
    return next((table for start in starts if (table := decode_table(content, start)) is not None), None)


def make(read: Read, covered: int, *, first_sequence: int, nonce: bytes) -> bytes:
    """The whole parity file of a segment whose first `covered` bytes are known to be sound."""
    layout = layout_of(covered)
    blocks, sums = parity_of(read, layout)
    encoded = encode_table(Table(first_sequence, nonce, layout, tuple(sums), tuple(block_sums(blocks))))
    return encoded + blocks + encoded


# --- what it is good for ------------------------------------------------------------------------


def unsound_blocks(read: Read, table: Table) -> list[int]:
    """The numbers of the segment's blocks that are not what they were, in order. Holds one row in memory."""
    layout = table.layout
    found: list[int] = []
    for start in range(0, layout.covered, layout.row_bytes):
        length = min(layout.row_bytes, layout.covered - start)
        row = read(start, length).ljust(length, b"\0")
        first = start // BLOCK_BYTES
        found += [first + n for n, total in enumerate(block_sums(row)) if total != table.data_sums[first + n]]
    return found


def unsound_parts(content: bytes, table: Table) -> list[tuple[int, int]]:
    """The extents [start, end) of a parity file that are damaged: a copy of the table, parity blocks, its length."""
    layout = table.layout
    size, second = table_bytes(layout), table_bytes(layout) + layout.row_bytes
    found = [(start, start + size) for start in (0, second) if decode_table(content, start) != table]
    found += [
        (start, start + BLOCK_BYTES)
        for stripe in range(layout.stripes)
        if parity_block(content, table, stripe) is None
        for start in (size + stripe * BLOCK_BYTES,)
    ]
    if len(content) > table.file_bytes:
        found.append((table.file_bytes, len(content)))
    return sorted(found)


def parity_block(content: bytes, table: Table, stripe: int) -> bytes | None:
    """The parity block of a stripe, or `None` if it is damaged."""
    start = table_bytes(table.layout) + stripe * BLOCK_BYTES
    block = content[start : start + BLOCK_BYTES]
    return block if len(block) == BLOCK_BYTES and crc32c(block) == table.parity_sums[stripe] else None


def mend(read: Read, content: bytes, table: Table) -> Mended:
    """Restore what the parity file `content` can of the segment behind `read`. Writes nothing."""
    restored: dict[int, bytes] = {}
    lost: list[int] = []
    damaged = unsound_blocks(read, table)
    counts: dict[int, int] = {}
    for block in damaged:
        counts[block % table.layout.stripes] = counts.get(block % table.layout.stripes, 0) + 1
    for block in damaged:
        stripe = block % table.layout.stripes
        known = _restored(read, content, table, block) if counts[stripe] == 1 else None
        if known is None:
            lost.append(block)
        else:
            restored[block] = known
    return Mended(restored, tuple(lost))


def _restored(read: Read, content: bytes, table: Table, block: int) -> bytes | None:
    """One block from its stripe's others, or `None`. What is given out has the checksum that it had."""
    layout, stripe = table.layout, block % table.layout.stripes
    parity = parity_block(content, table, stripe)
    if parity is None:
        return None
    others = (read(number * BLOCK_BYTES, layout.length(number)) for number in layout.members(stripe) if number != block)
    found = xor(_with(parity, others), BLOCK_BYTES)
    return found[: layout.length(block)] if crc32c(found) == table.data_sums[block] else None


def _with(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from others
