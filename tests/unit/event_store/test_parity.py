"""Parity restores one block of each stripe, or says that it cannot, and notices its own damage."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store_under_test.event_store import parity
from store_under_test.event_store.parity import BLOCK_BYTES, DATA_BLOCKS, Read, Table

NONCE = b"0123456789abcdef"
#: One block, a stripe, one block more than a stripe, several stripes with an odd end.
LENGTHS = (1, BLOCK_BYTES, BLOCK_BYTES + 1, 16 * BLOCK_BYTES, 16 * BLOCK_BYTES + 1, 37 * BLOCK_BYTES - 5)


def content_of(length: int) -> bytes:
    return random.Random(length).randbytes(length)


def reader(content: bytes) -> Read:
    return lambda offset, length: content[offset : offset + length]


def made(content: bytes) -> tuple[bytes, Table]:
    file = parity.make(reader(content), len(content), first_sequence=7, nonce=NONCE)
    table = parity.find_table(file)
    assert table is not None
    return file, table


def spoilt(content: bytes, block: int) -> bytes:
    """`content` with every byte of one block changed."""
    start = block * BLOCK_BYTES
    wrong = bytes(byte ^ 0x5A for byte in content[start : start + BLOCK_BYTES])
    return content[:start] + wrong + content[start + len(wrong) :]


def rebuilt(content: bytes, restored: dict[int, bytes]) -> bytes:
    for block, data in restored.items():
        content = content[: block * BLOCK_BYTES] + data + content[block * BLOCK_BYTES + len(data) :]
    return content


@pytest.mark.parametrize("length", LENGTHS)
def test_any_block_is_restored(length: int) -> None:
    """Whichever block is damaged, it is named and comes back as it was."""
    content = content_of(length)
    file, table = made(content)
    for block in range(table.layout.blocks):
        damaged = spoilt(content, block)
        mended = parity.mend(reader(damaged), file, table)
        assert mended.damaged == (block,) and mended.lost == ()
        assert rebuilt(damaged, mended.restored) == content


@given(st.data(), st.sampled_from(LENGTHS))
def test_one_block_of_each_stripe_is_restored(data: st.DataObject, length: int) -> None:
    """Damage in every stripe at once is restored as long as no stripe has two damaged blocks."""
    content = content_of(length)
    file, table = made(content)
    stripes = range(table.layout.stripes)
    blocks = [data.draw(st.sampled_from(table.layout.members(stripe))) for stripe in stripes]
    damaged = content
    for block in blocks:
        damaged = spoilt(damaged, block)
    mended = parity.mend(reader(damaged), file, table)
    assert mended.damaged == tuple(sorted(blocks)) and mended.lost == ()
    assert rebuilt(damaged, mended.restored) == content


def test_two_blocks_of_a_stripe_are_lost_and_the_others_are_not() -> None:
    """Beyond what parity can do, nothing is made up; other stripes are still restored."""
    content = content_of(37 * BLOCK_BYTES - 5)
    file, table = made(content)
    first, second, elsewhere = 1, 1 + table.layout.stripes, 2
    damaged = spoilt(spoilt(spoilt(content, first), second), elsewhere)
    mended = parity.mend(reader(damaged), file, table)
    assert mended.lost == (first, second)
    assert list(mended.restored) == [elsewhere]


@given(st.data())
def test_a_run_of_blocks_and_a_cut_tail_are_restored(data: st.DataObject) -> None:
    """Neighbouring blocks are in different stripes."""
    content = content_of(37 * BLOCK_BYTES - 5)
    file, table = made(content)
    start = data.draw(st.integers(0, table.layout.blocks - table.layout.stripes))
    damaged = content
    for block in range(start, start + table.layout.stripes):
        damaged = spoilt(damaged, block)
    assert rebuilt(damaged, parity.mend(reader(damaged), file, table).restored) == content
    cut = content[: -data.draw(st.integers(1, (table.layout.stripes - 1) * BLOCK_BYTES))]
    assert rebuilt(cut, parity.mend(reader(cut), file, table).restored) == content


@given(st.integers(0, 8 * BLOCK_BYTES - 1), st.integers(0, 7))
def test_a_flipped_bit_is_noticed(place: int, bit: int) -> None:
    """One bit anywhere is damage of its block, and of no other."""
    content = content_of(8 * BLOCK_BYTES)
    _, table = made(content)
    damaged = bytearray(content)
    damaged[place] ^= 1 << bit
    assert parity.unsound_blocks(reader(bytes(damaged)), table) == [place // BLOCK_BYTES]


@given(st.data())
def test_damage_of_the_parity_file_is_noticed_and_the_table_survives_it(data: st.DataObject) -> None:
    """One flipped bit of the file, wherever it is: an extent holds it, and the table is still found."""
    file, table = made(content_of(37 * BLOCK_BYTES - 5))
    place = data.draw(st.integers(0, len(file) - 1))
    damaged = bytearray(file)
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    assert parity.find_table(bytes(damaged)) == table
    (extent,) = parity.unsound_parts(bytes(damaged), table)
    assert extent[0] <= place < extent[1]


@given(st.data())
def test_a_parity_file_of_another_length_is_noticed(data: st.DataObject) -> None:
    """Cut or grown, it is damaged where it should end; what is left of it never restores a wrong block."""
    content = content_of(37 * BLOCK_BYTES - 5)
    file, table = made(content)
    assert parity.unsound_parts(file, table) == []
    assert parity.unsound_parts(file + b"x", table) == [(len(file), len(file) + 1)]
    cut = file[: data.draw(st.integers(0, len(file) - 1))]
    assert parity.unsound_parts(cut, table)
    found = parity.find_table(cut)
    assert found is None or found == table
    mended = parity.mend(reader(spoilt(content, 3)), cut, table)
    assert mended.restored in ({}, {3: content[3 * BLOCK_BYTES : 4 * BLOCK_BYTES]})


def test_a_damaged_parity_block_restores_nothing() -> None:
    """A block of the segment and the parity block of its stripe: lost, not made up."""
    content = content_of(3 * BLOCK_BYTES)
    file, table = made(content)
    mended = parity.mend(reader(spoilt(content, 1)), spoilt(file, 1), table)
    assert mended.restored == {} and mended.lost == (1,)


def test_parity_that_does_not_fit_restores_nothing() -> None:
    """Parity blocks of another content, with a sound table: what comes out has a wrong checksum, and is not given."""
    content, other = content_of(3 * BLOCK_BYTES), content_of(3 * BLOCK_BYTES - 1) + b"!"
    file, table = made(content)
    foreign, other_table = made(other)
    mixed = replace(table, parity_sums=other_table.parity_sums)
    mended = parity.mend(reader(spoilt(content, 1)), foreign, mixed)
    assert mended.restored == {} and mended.lost == (1,)
    assert parity.mend(reader(spoilt(content, 1)), file, table).lost == ()


@given(st.binary(max_size=200))
def test_no_bytes_are_taken_for_a_table(content: bytes) -> None:
    """What is no table is none, whatever it says of its own length."""
    assert parity.find_table(content) is None
    assert parity.find_table(parity.MAGIC + content) is None
    file, _ = made(b"x")
    assert parity.decode_table(file[:8] + b"\2" + file[9:], 0) is None


@given(st.lists(st.binary(max_size=40), min_size=1))
def test_xor_is_its_own_inverse(rows: list[bytes]) -> None:
    """XOR with all but one row gives that row, filled up."""
    total = parity.xor(iter(rows), 40)
    assert parity.xor(iter([total, *rows[1:]]), 40) == rows[0].ljust(40, b"\0")


@pytest.mark.parametrize("length", LENGTHS)
def test_a_stripe_is_never_wider_than_promised(length: int) -> None:
    """Each block is in exactly one stripe, and none has more than its blocks."""
    layout = parity.layout_of(length)
    members = [block for stripe in range(layout.stripes) for block in layout.members(stripe)]
    assert sorted(members) == list(range(layout.blocks))
    assert all(0 < len(layout.members(stripe)) <= DATA_BLOCKS for stripe in range(layout.stripes))
