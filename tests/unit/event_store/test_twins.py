"""Two copies of a segment: whatever befalls either of them, the longest chain is found and both can be made whole.

The segments here have a grammar of their own: a header of 8 bytes with its nonce, frames of a length, a checksum
over nonce, place and text, and the text.
"""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from store_under_test.event_store.parity import Read
from store_under_test.event_store.twins import Comparison, Fix, compare, same

SIZE = 200


class Toy:
    """The grammar of these segments."""

    header_bytes = 8

    def nonce(self, header: bytes) -> bytes | None:
        return header[4:8] if header[:4] == b"HEAD" and len(header) == 8 else None

    def frame_end(self, read: Read, nonce: bytes, offset: int) -> int | None:
        head = read(offset, 5)
        if len(head) < 5 or not head[0]:
            return None
        text = read(offset + 5, head[0])
        good = len(text) == head[0] and head[1:5] == checksum(nonce, offset, text)
        return offset + 5 + len(text) if good else None


def checksum(nonce: bytes, offset: int, text: bytes) -> bytes:
    return zlib.crc32(b"%s %d %s" % (nonce, offset, text)).to_bytes(4, "little")


def segment(texts: list[bytes], nonce: bytes = b"once") -> bytes:
    content = b"HEAD" + nonce
    for text in texts:
        content += bytes((len(text),)) + checksum(nonce, len(content), text) + text
    return content.ljust(SIZE, b"\0")


def reader(content: bytes) -> Read:
    return lambda offset, length: content[offset : offset + length]


def compared(first: bytes, second: bytes) -> Comparison | None:
    return compare((reader(first), reader(second)), Toy())


def mended(contents: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Both copies after all fixes."""
    comparison = compared(*contents)
    assert comparison is not None
    both = [bytearray(content) for content in contents]
    for fix in comparison.fixes:
        both[fix.copy].extend(bytes(max(0, fix.end - len(both[fix.copy]))))
        both[fix.copy][fix.start : fix.end] = fix.data
    return bytes(both[0]), bytes(both[1])


FRAMES = st.lists(st.binary(min_size=1, max_size=20), max_size=6)
TEXTS = [b"one", b"two and more", b"three"]


def test_equal_copies_need_nothing() -> None:
    """Nothing is to be done, and the chain ends after the last frame."""
    content = segment(TEXTS)
    comparison = compared(content, content)
    assert comparison == Comparison(len(content.rstrip(b"\0")), b"once", ())
    assert same((reader(content), reader(content)), SIZE)


@given(FRAMES, FRAMES, st.booleans())
def test_the_longer_chain_is_taken(texts: list[bytes], more: list[bytes], first: bool) -> None:
    """A copy that lacks frames gets them; they are its tail, as after a crash between both writes."""
    longer, shorter = segment(texts + more[:2]), segment(texts)
    contents = (longer, shorter) if first else (shorter, longer)
    assert mended(contents) == (longer, longer)
    comparison = compared(*contents)
    assert comparison is not None
    assert all(fix.tail and fix.copy == (1 if first else 0) for fix in comparison.fixes)
    assert same((reader(contents[0]), reader(contents[1])), SIZE) == (not comparison.fixes)


@given(FRAMES.filter(bool), st.data())
def test_damage_of_one_copy_is_mended_from_the_other(texts: list[bytes], data: st.DataObject) -> None:
    """Any byte of either copy up to the end of the chain, changed in any way."""
    content = segment(texts)
    place = data.draw(st.integers(0, len(content.rstrip(b"\0")) - 1))
    damaged = bytearray(content)
    damaged[place] ^= data.draw(st.integers(1, 255))
    assert mended((bytes(damaged), content)) == (content, content)
    assert mended((content, bytes(damaged))) == (content, content)


def test_damage_in_different_places_of_both_is_mended() -> None:
    """Each copy has what the other lacks."""
    content = segment(TEXTS)
    first, second = bytearray(content), bytearray(content)
    first[0:4] = b"dead"
    first[content.index(b"three")] ^= 1
    second[content.index(b"two")] ^= 1
    assert mended((bytes(first), bytes(second))) == (content, content)
    comparison = compared(bytes(first), bytes(second))
    assert comparison is not None
    assert [(fix.copy, fix.tail) for fix in comparison.fixes] == [(0, False), (1, False), (0, True)]


def test_damage_at_the_same_place_of_both_ends_the_chain() -> None:
    """Nothing is made up: what follows is for the reader of the segment to judge."""
    content = segment(TEXTS)
    damaged = bytearray(content)
    damaged[content.index(b"two")] ^= 1
    comparison = compared(bytes(damaged), bytes(damaged))
    assert comparison == Comparison(8 + 5 + 3, b"once", ())


def test_two_torn_tails_are_no_chain() -> None:
    """A loss of power tore the same frame in both, at different places."""
    content = segment(TEXTS)
    third = content.index(b"three")
    first = content[: third + 2].ljust(SIZE, b"\0")
    second = content[: third - 5] + bytes(7) + content[third + 2 :]
    comparison = compared(first, second)
    assert comparison is not None and comparison.end == third - 5 and comparison.fixes == ()


def test_the_first_copy_wins_where_both_verify() -> None:
    """Two frames at one place, neither of them acknowledged: both copies end up with the same one."""
    first, second = segment([b"one", b"taken"]), segment([b"one", b"other"])
    assert mended((first, second)) == (first, first)


def test_a_copy_of_another_segment_is_overwritten() -> None:
    """Frames with a foreign nonce verify nowhere; the longer chain decides whose is foreign."""
    old, new = segment([b"old"], b"old."), segment(TEXTS, b"new.")
    assert mended((new, old))[1].startswith(new.rstrip(b"\0"))
    assert mended((old, new))[0].startswith(new.rstrip(b"\0"))


def test_a_cut_copy_is_made_whole() -> None:
    """Any length, none at all included."""
    content = segment(TEXTS)
    for length in range(len(content.rstrip(b"\0"))):
        whole = mended((content[:length], content))
        assert whole[0].ljust(SIZE, b"\0") == content and whole[1] == content


def test_without_a_sound_header_there_is_nothing() -> None:
    """Both headers damaged: no nonce, no chain."""
    assert compared(b"", b"x" * SIZE) is None


def test_a_fix_knows_its_end() -> None:
    """In bytes from the beginning of the file."""
    assert Fix(0, 8, b"12345", tail=True).end == 13
