"""Parity files beside sealed segments: made when a segment is sealed, used when a reader meets damage.

A parity file is written under another name, synced, and renamed. Until it is durable the mirror stays.
"""

from __future__ import annotations

import os

from store_under_test.event_store import copies, files, parity, segment
from store_under_test.event_store.copies import opened, reader
from store_under_test.event_store.parity import BLOCK_BYTES, Mended, Table
from store_under_test.event_store.scan import raw_frames
from store_under_test.event_store.segment import DATA_OFFSET, Header
from store_under_test.event_store.twins import sound_header

SUFFIX = ".par"


def path_of(segment_path: str) -> str:
    """Where the parity of a segment stands."""
    return segment_path.removesuffix(segment.SUFFIX) + SUFFIX


def table_of(segment_path: str) -> tuple[bytes, Table | None]:
    """A parity file and its table: empty if there is no file, `None` if there is no sound table."""
    content = copies.content_of(path_of(segment_path)) or b""
    return content, parity.find_table(content)


def make(segment_path: str, end_offset: int) -> bool:
    """Make the parity of a sealed segment, if its chain is sound up to its end; durable when it returns."""
    with opened(segment_path) as descriptor:
        header = sound_header(reader(descriptor), segment_path)
        if header is None or not is_sound(descriptor, header, end_offset):
            return False
        read = reader(descriptor)
        content = parity.make(read, end_offset, first_sequence=header.first_sequence, nonce=header.nonce)
    copies.place(path_of(segment_path), (content,))
    return True


def is_sound(descriptor: int, header: Header, end_offset: int) -> bool:
    """Whether frames that verify stand one after another up to `end_offset`, and end there."""
    end = DATA_OFFSET
    for frame in raw_frames(descriptor, header.seed, DATA_OFFSET, end_offset):
        end = frame.end_offset
    return end == end_offset


def has_parity(segment_path: str, end_offset: int) -> bool:
    """Whether there is a parity file whose first table is sound and goes up to this end. Nothing else is looked at."""
    try:
        with opened(path_of(segment_path)) as descriptor:
            content = files.read_at(descriptor, parity.table_bytes(parity.layout_of(end_offset)), 0)
    except FileNotFoundError:
        return False
    table = parity.decode_table(content, 0)
    return table is not None and table.layout.covered == end_offset


def mend(segment_path: str) -> bool:
    """Restore in the segment what its parity can, durably. True if that was anything.

    Raises `OSError`. Doing it again after a crash gives the same: the other blocks of a stripe are not written.
    """
    content, table = table_of(segment_path)
    if table is None:
        return False
    with opened(segment_path, os.O_RDWR) as descriptor:
        read = reader(descriptor)
        header = sound_header(read, segment_path)
        if header is not None and header.nonce != table.nonce:
            return False  # the parity of another segment
        return _write(segment_path, descriptor, parity.mend(read, content, table), table)


def _write(path: str, descriptor: int, mended: Mended, table: Table) -> bool:
    for block, data in mended.restored.items():
        start = block * BLOCK_BYTES
        copies.quarantine(path, start, files.read_at(descriptor, len(data), start))
        files.logger.warning("%s, block %d: damaged, restored from parity", path, block)
        files.write_at(descriptor, data, start)
    size = files.size_of(descriptor)
    is_short = size < table.layout.covered and not mended.lost
    if is_short:
        files.write_zeros(descriptor, size, table.layout.covered)  # nothing but zeros was cut off there
    if mended.restored or is_short:
        files.sync(descriptor, path)
    return bool(mended.restored) or is_short
