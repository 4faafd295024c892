"""The format: nothing but what was written, where it was written, verifies."""

from __future__ import annotations

from dataclasses import replace

import pytest
from crc32c import crc32c

from store_under_test.event_store import DamagedError, ForeignFormatError
from store_under_test.event_store.segment import (
    BLOCK_BYTES,
    DATA_OFFSET,
    EVENTS,
    FRAME_HEADER_BYTES,
    FrameHeader,
    Header,
    Previous,
    decode_frame,
    decode_header,
    decode_mark,
    encode_frame,
    encode_mark,
    frame_bytes,
    parsed_name,
)

HEADER = Header(b"n" * 16, 3, 17, Previous(5, 2, 9000, 0xDEADBEEF), 5, 16384)


def frame(header: Header = HEADER, offset: int = DATA_OFFSET, payload: bytes = b"payload") -> bytes:
    return encode_frame(header.seed, offset, payload, kind=EVENTS, first_sequence=17, count=2, epoch=3)[0]


def test_a_header_comes_back() -> None:
    """From block 0, whatever directory the segment is in."""
    assert len(HEADER.encoded()) == BLOCK_BYTES
    assert decode_header(HEADER.encoded(), f"/some/where/{HEADER.name}") == HEADER
    assert parsed_name(HEADER.name) == (17, 3)
    assert parsed_name("events-17.log") is None


def test_every_byte_of_a_header_counts() -> None:
    """Any changed byte of the block is noticed, the unused ones included; so is a block that is cut."""
    block = HEADER.encoded()
    for position in (*range(128), *range(128, BLOCK_BYTES, 97), BLOCK_BYTES - 1):
        changed = bytearray(block)
        changed[position] ^= 1
        with pytest.raises(DamagedError, match="header of the segment is damaged"):
            decode_header(bytes(changed), HEADER.name)
    for length in (0, 100, BLOCK_BYTES - 1):
        with pytest.raises(DamagedError):
            decode_header(block[:length], HEADER.name)


def resealed(block: bytes) -> bytes:
    """`block` with the checksum that fits."""
    return block[:-4] + crc32c(block[:-4]).to_bytes(4, "little")


def test_a_newer_format_version_is_foreign() -> None:
    """It is neither read nor taken for damage."""
    block = bytearray(HEADER.encoded())
    block[8] = 2
    with pytest.raises(ForeignFormatError, match="format version 2"):
        decode_header(resealed(bytes(block)), HEADER.name)


def test_a_sound_block_of_something_else_is_no_header() -> None:
    """Wrong magic, or the header of another segment."""
    with pytest.raises(DamagedError, match="of another program"):
        decode_header(resealed(b"OTHERPRG" + HEADER.encoded()[8:]), HEADER.name)
    with pytest.raises(DamagedError, match="header is that of segment 17 of epoch 3"):
        decode_header(HEADER.encoded(), replace(HEADER, epoch=4).name)


def test_a_frame_verifies_in_its_place_only() -> None:
    """Not at another offset, not in another segment, not among other bytes."""
    data = b"abc" + frame()
    found = decode_frame(HEADER.seed, DATA_OFFSET, data, 3)
    assert isinstance(found, FrameHeader)
    assert (found.kind, found.payload_bytes, found.first_sequence, found.count, found.epoch) == (EVENTS, 7, 17, 2, 3)
    assert decode_frame(HEADER.seed, DATA_OFFSET + 8, data, 3) == 0
    assert decode_frame(replace(HEADER, nonce=b"m" * 16).seed, DATA_OFFSET, data, 3) == 0
    assert decode_frame(HEADER.seed, DATA_OFFSET, bytes(200), 0) == 0


def test_every_byte_of_a_frame_counts() -> None:
    """Changed or missing. Only the padding is nothing."""
    data = frame()
    used = FRAME_HEADER_BYTES + 7
    assert len(data) == frame_bytes(7) == 48 and used == 47
    for position in range(used):
        changed = bytearray(data)
        changed[position] ^= 0x10
        found = decode_frame(HEADER.seed, DATA_OFFSET, bytes(changed), 0)
        assert not isinstance(found, FrameHeader)
    assert decode_frame(HEADER.seed, DATA_OFFSET, data[: used - 1], 0) == used
    assert decode_frame(HEADER.seed, DATA_OFFSET, data[: FRAME_HEADER_BYTES - 1], 0) == FRAME_HEADER_BYTES


def test_a_mark_says_nothing_unless_it_verifies() -> None:
    """Zeros, a changed byte, another segment's mark, a file that is cut: the same as no mark."""
    mark = encode_mark(HEADER, 12345)
    assert decode_mark(HEADER, mark.ljust(BLOCK_BYTES, b"\0")) == 12345
    assert decode_mark(HEADER, bytes(BLOCK_BYTES)) == DATA_OFFSET
    assert decode_mark(HEADER, b"") == DATA_OFFSET
    assert decode_mark(replace(HEADER, nonce=b"m" * 16), mark) == DATA_OFFSET
    for position in range(len(mark)):
        changed = bytearray(mark)
        changed[position] ^= 4
        assert decode_mark(HEADER, bytes(changed)) == DATA_OFFSET
