"""Two copies of a segment: whatever befalls either of them, the longest chain is found and both can be made whole."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from store_under_test.event_store.parity import Read
from store_under_test.event_store.segment import (
    BLOCK_BYTES,
    DATA_OFFSET,
    EVENTS,
    MARK_OFFSET,
    Header,
    Previous,
    encode_frame,
    encode_mark,
)
from store_under_test.event_store.twins import Comparison, Fix, compare, frame_at, same

HEADER = Header(b"0123456789abcdef", 1, 1, Previous())
SIZE = DATA_OFFSET + 1024


def segment(texts: list[bytes], header: Header = HEADER, mark: int = 0) -> bytes:
    """A segment with a frame for each text."""
    content = header.encoded()
    content += (encode_mark(header, mark) if mark else b"").ljust(BLOCK_BYTES, b"\0")
    for number, text in enumerate(texts):
        frame, _ = encode_frame(
            header.seed, len(content), text, kind=EVENTS, first_sequence=1 + number, count=1, epoch=header.epoch
        )
        content += frame
    return content.ljust(SIZE, b"\0")


def end_of(texts: list[bytes]) -> int:
    return DATA_OFFSET + sum(-(-(40 + len(text)) // 8) * 8 for text in texts)


def reader(content: bytes) -> Read:
    return lambda offset, length: content[offset : offset + length]


def compared(first: bytes, second: bytes) -> Comparison | None:
    return compare((reader(first), reader(second)), f"/log/{HEADER.name}")


def mended(contents: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Both copies after all fixes."""
    comparison = compared(*contents)
    assert comparison is not None
    both = [bytearray(content) for content in contents]
    for fix in comparison.fixes:
        both[fix.copy].extend(bytes(max(0, fix.end - len(both[fix.copy]))))
        both[fix.copy][fix.start : fix.end] = fix.data
    return bytes(both[0]), bytes(both[1])


def flipped(content: bytes, place: int, bits: int = 1) -> bytes:
    changed = bytearray(content)
    changed[place] ^= bits
    return bytes(changed)


FRAMES = st.lists(st.binary(max_size=20), max_size=5)
TEXTS = [b"one", b"two and more", b"three"]


def test_equal_copies_need_nothing() -> None:
    """Nothing is to be done, and the chain ends after the last frame."""
    content = segment(TEXTS)
    assert compared(content, content) == Comparison(end_of(TEXTS), HEADER, ())
    assert same((reader(content), reader(content)), SIZE)


@settings(max_examples=40)
@given(FRAMES, FRAMES, st.booleans())
def test_the_longer_chain_is_taken(texts: list[bytes], more: list[bytes], first: bool) -> None:
    """A copy that lacks frames gets them; that is no damage, but what a crash between both writes leaves."""
    longer, shorter = segment(texts + more), segment(texts)
    contents = (longer, shorter) if first else (shorter, longer)
    assert mended(contents) == (longer, longer)
    comparison = compared(*contents)
    assert comparison is not None and comparison.end == end_of(texts + more)
    assert all(fix.is_behind and fix.copy == (1 if first else 0) for fix in comparison.fixes)
    assert same((reader(contents[0]), reader(contents[1])), SIZE) == (not comparison.fixes)


@settings(max_examples=40)
@given(FRAMES.filter(bool), st.data())
def test_damage_of_one_copy_is_mended_from_the_other(texts: list[bytes], data: st.DataObject) -> None:
    """Any byte of either copy up to the end of the chain, changed in any way; zeros between frames are made zeros."""
    content = segment(texts, mark=end_of(texts))
    place = data.draw(st.integers(0, end_of(texts) - 1))
    damaged = flipped(content, place, data.draw(st.integers(1, 255)))
    assert mended((damaged, content)) == (content, content)
    assert mended((content, damaged)) == (content, content)


def test_damage_in_different_places_of_both_is_mended() -> None:
    """Each copy has what the other lacks; only the last frame may be one that was not written yet."""
    content = segment(TEXTS)
    first = flipped(flipped(content, 0), content.index(b"three"))
    second = flipped(content, content.index(b"two"))
    assert mended((first, second)) == (content, content)
    comparison = compared(first, second)
    assert comparison is not None
    assert [(fix.copy, fix.is_behind) for fix in comparison.fixes] == [(0, False), (1, False), (0, True)]


def test_damage_at_the_same_place_of_both_ends_the_chain() -> None:
    """Nothing is made up: what follows is for the reader of the segment to judge."""
    damaged = flipped(segment(TEXTS), end_of(TEXTS[:1]) + 50)
    assert compared(damaged, damaged) == Comparison(end_of(TEXTS[:1]), HEADER, ())


def test_two_torn_tails_are_no_chain() -> None:
    """A loss of power tore the same frame in both, at different places."""
    content = segment(TEXTS)
    start, middle = end_of(TEXTS[:2]), end_of(TEXTS[:2]) + 20
    first = content[:middle].ljust(SIZE, b"\0")
    second = content[:start] + bytes(20) + content[middle:]
    assert compared(first, second) == Comparison(start, HEADER, ())


def test_the_first_copy_wins_where_both_verify() -> None:
    """Two frames at one place, neither of them acknowledged: both copies end up with the same one."""
    first, second = segment([b"one", b"taken"]), segment([b"one", b"other"])
    assert mended((first, second)) == (first, first)


def test_a_copy_of_another_segment_is_overwritten() -> None:
    """Frames with a foreign nonce verify nowhere; the longer chain decides whose is foreign."""
    other = Header(b"another nonce...", 1, 1, Previous())
    old, new = segment([b"old"], other), segment(TEXTS)
    for contents in ((new, old), (old, new)):
        assert [copy[: end_of(TEXTS)] for copy in mended(contents)] == [new[: end_of(TEXTS)]] * 2


def test_the_mark_that_says_more_is_taken() -> None:
    """A mark that is missing, or older, is no damage; one that says nothing sound is."""
    none, old, new = (segment(TEXTS, mark=mark) for mark in (0, end_of(TEXTS[:1]), end_of(TEXTS)))
    for less, is_behind in ((none, True), (old, True), (flipped(new, MARK_OFFSET + 9), False)):
        assert mended((less, new)) == mended((new, less)) == (new, new)
        comparison = compared(less, new)
        assert comparison is not None and [fix.is_behind for fix in comparison.fixes] == [is_behind]


def test_a_cut_copy_is_made_whole() -> None:
    """Any length, none at all included."""
    content = segment(TEXTS)
    for length in (0, 1, BLOCK_BYTES, *range(DATA_OFFSET, end_of(TEXTS))):
        assert [copy.ljust(SIZE, b"\0") for copy in mended((content[:length], content))] == [content, content]


def test_without_a_sound_header_there_is_nothing() -> None:
    """Both headers damaged: no nonce, no chain."""
    assert compared(b"", b"x" * SIZE) is None


def test_a_length_beyond_the_file_is_no_frame() -> None:
    """A damaged length is not believed, however long."""
    content = segment(TEXTS)
    assert frame_at(reader(flipped(content, DATA_OFFSET + 11, 0x7F)), HEADER, DATA_OFFSET) is None
    assert frame_at(reader(content[: DATA_OFFSET + 42]), HEADER, DATA_OFFSET) is None
    assert frame_at(reader(content), HEADER, DATA_OFFSET) is not None


def test_a_fix_knows_its_end() -> None:
    """In bytes from the beginning of the file."""
    assert Fix(0, 8, b"12345", is_behind=True).end == 13
