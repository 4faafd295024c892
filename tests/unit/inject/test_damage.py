"""Damages: each changes its file, and what is said about the change is true."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.persistence import PAGE_BYTES
from harness.core.trace import Image, InodeKind, Node
from harness.inject.damage import (
    EVERY_BYTE_UP_TO,
    HEADER_BYTES,
    Damage,
    DamageKind,
    Versions,
    applies,
    content_at,
    damaged,
    damaged_content,
    damages_everywhere,
    extent,
    in_turn,
    is_one_block,
    sets_back,
    telling_damages,
    versions,
)
from tests.unit.core.strategies import patient

short = st.binary(max_size=40)
blocks = st.binary(min_size=1, max_size=3).map(lambda pattern: (pattern * PAGE_BYTES)[: 2 * PAGE_BYTES + 7])
contents = st.one_of(short, short, blocks)


@st.composite
def files(draw: st.DrawFn) -> Versions:
    now = draw(contents)
    earlier = draw(st.lists(st.one_of(contents, st.just(now[: len(now) // 2])), max_size=3))
    return Versions("f", now, tuple(dict.fromkeys(item for item in earlier if item != now)))


def all_damages(file: Versions, seed: int = 0) -> Iterator[Damage]:
    yield from telling_damages(file, seed)
    yield from damages_everywhere(file, seed)


@patient
@given(files(), st.integers(0, 3))
def test_every_damage_changes_the_file_where_it_is_said_to(file: Versions, seed: int) -> None:
    """Outside of its extent nothing differs; at both ends of it something does."""
    for damage in all_damages(file, seed):
        content = damaged_content(file, damage)
        assert content != file.now, damage
        assert applies(file, damage)
        start, end = extent(file, content)
        assert 0 <= start < end
        if content is not None:
            assert content[:start] == file.now[:start]
            assert content[start : start + 1] != file.now[start : start + 1]
            if len(content) == len(file.now):
                assert content[end:] == file.now[end:] and content[end - 1] != file.now[end - 1]


@patient
@given(files(), st.integers(0, 3))
def test_damages_are_the_same_for_the_same_seed_and_none_is_there_twice(file: Versions, seed: int) -> None:
    found = list(all_damages(file, seed))
    assert found == list(all_damages(file, seed))
    assert len(set(found)) == len(found)


@patient
@given(files())
def test_a_file_that_is_set_back_holds_what_it_held_before(file: Versions) -> None:
    """What is gone, or is as after some operation, leaves no trace; nothing else does not."""
    for damage in all_damages(file):
        content = damaged_content(file, damage)
        told = damage.kind in (DamageKind.REMOVED, DamageKind.OLDER_VERSION)
        assert sets_back(file, content) == (told or content in file.earlier)


@patient
@given(files())
def test_one_block_means_that_all_other_blocks_are_as_they_were(file: Versions) -> None:
    for damage in all_damages(file):
        content = damaged_content(file, damage)
        if content is None or len(content) != len(file.now):
            assert not is_one_block(file, content)
            continue
        starts = range(0, len(content), PAGE_BYTES)
        different = [
            start for start in starts if content[start : start + PAGE_BYTES] != file.now[start : start + PAGE_BYTES]
        ]
        assert is_one_block(file, content) == (len(different) == 1)


def test_groups_are_taken_in_turn_until_all_are_empty() -> None:
    cuts = [Damage("f", DamageKind.CUT, place) for place in range(4)]
    flips = [Damage("f", DamageKind.FLIP, place) for place in range(2)]
    assert list(in_turn(iter(cuts), iter(()), iter(flips))) == [cuts[0], flips[0], cuts[1], flips[1], *cuts[2:]]


def test_an_undamaged_file_has_no_damaged_block() -> None:
    assert not is_one_block(Versions("f", b"abc", ()), b"abc")


def test_a_small_file_is_cut_at_every_length_and_flipped_at_every_byte() -> None:
    """And in its header each bit is flipped."""
    file = Versions("f", bytes(range(200)), ())
    found = list(all_damages(file))
    assert {item.where for item in found if item.kind is DamageKind.CUT} == set(range(200))
    flips = [item for item in found if item.kind is DamageKind.FLIP]
    assert {item.where for item in flips} == set(range(200))
    header = {(item.where, item.length) for item in flips if item.where < HEADER_BYTES}
    assert header == {(place, bit) for place in range(HEADER_BYTES) for bit in range(8)}


def test_a_large_file_is_damaged_at_the_edges_of_its_structure() -> None:
    """Around where earlier versions ended, where they first differ, and where pages begin; and between them."""
    old = b"a" * 5000
    file = Versions("f", b"a" * 3000 + b"b" * 60_000, (old,))
    assert len(file.now) > EVERY_BYTE_UP_TO
    found = list(all_damages(file))
    cuts = {item.where for item in found if item.kind is DamageKind.CUT}
    for edge in (0, 3000, 5000, PAGE_BYTES, len(file.now) - 1):
        assert {edge - 1, edge, edge + 1} & set(range(len(file.now))) <= cuts
    assert {Damage("f", DamageKind.CUT, place) for place in range(HEADER_BYTES)} <= set(telling_damages(file, 0))
    assert 200 < len(cuts) < 600
    zeroed = {item.where for item in found if item.kind is DamageKind.ZERO_PAGE}
    assert {0, PAGE_BYTES, (len(file.now) // PAGE_BYTES) * PAGE_BYTES} <= zeroed and len(zeroed) == 8


def test_what_each_damage_does() -> None:
    """Byte by byte."""
    file = Versions("f", b"abcdef", (b"xy", b"abcdefgh"))
    expected = {
        Damage("f", DamageKind.FLIP, 1, 0): b"accdef",
        Damage("f", DamageKind.CUT, 2): b"ab",
        Damage("f", DamageKind.ZERO_PAGE, 0): bytes(6),
        Damage("f", DamageKind.STALE_PAGE, 0, 0): b"xycdef",
        Damage("f", DamageKind.DUPLICATED_TAIL, length=3): b"abcdefdef",
        Damage("f", DamageKind.REMOVED): None,
        Damage("f", DamageKind.OLDER_VERSION, length=1): b"abcdefgh",
    }
    for damage, content in expected.items():
        assert damaged_content(file, damage) == content


def test_blocks_are_taken_for_each_other() -> None:
    """Neighbours, and the first and the last; of pages, or of sectors where there are no two pages. A rest that is no
    whole block is none, and equal blocks make no difference."""
    first, second, third, rest = (bytes((letter,)) * 512 for letter in b"abcd")
    file = Versions("f", first + second + third + rest[:100], ())
    found = {item for item in all_damages(file) if item.kind in (DamageKind.MISDIRECTED, DamageKind.EXCHANGED)}
    pairs = {(0, 512), (512, 1024), (0, 1024)}

    assert {(item.where, item.length) for item in found if item.kind is DamageKind.EXCHANGED} == pairs
    assert {(item.where, item.length) for item in found if item.kind is DamageKind.MISDIRECTED} == {
        pair for one, other in pairs for pair in ((one, other), (other, one))
    }
    over = damaged_content(file, Damage("f", DamageKind.MISDIRECTED, 0, 1024))
    exchanged = damaged_content(file, Damage("f", DamageKind.EXCHANGED, 0, 512))
    assert over == third + second + third + rest[:100] and exchanged == second + first + third + rest[:100]
    assert not applies(Versions("f", first + first, ()), Damage("f", DamageKind.EXCHANGED, 0, 512))
    assert not applies(Versions("f", first + second, ()), Damage("f", DamageKind.MISDIRECTED, 0, 1024))


def test_of_many_blocks_the_first_and_the_last_are_taken() -> None:
    file = Versions("f", b"".join(bytes((page % 251,)) * PAGE_BYTES for page in range(40)), ())
    found = [item for item in all_damages(file) if item.kind is DamageKind.EXCHANGED]

    assert len(found) == 8 and all(item.where % PAGE_BYTES == 0 == item.length % PAGE_BYTES for item in found)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (Damage("d/f", DamageKind.FLIP, 7, 3), "bit 3 of byte 7 of d/f flipped"),
        (Damage("f", DamageKind.CUT, 12), "f cut to 12 bytes"),
        (Damage("f", DamageKind.ZERO_PAGE, 4096), "f: page filled with zeros (from byte 4096)"),
        (
            Damage("f", DamageKind.EXCHANGED, 0, 4096),
            "f: two blocks exchanged (at byte 0 and at 4096)",
        ),
        (Damage("f", DamageKind.DUPLICATED_TAIL, length=5), "f: its last 5 bytes appended once more"),
        (Damage("f", DamageKind.REMOVED), "f removed"),
        (Damage("f", DamageKind.OLDER_VERSION), "f replaced by an older version of itself"),
    ],
)
def test_a_damage_tells_what_it_is(damage: Damage, words: str) -> None:
    assert damage.describe() == words


@pytest.mark.parametrize(
    "damage",
    [
        Damage("f", DamageKind.FLIP, 3, 0),
        Damage("f", DamageKind.CUT, 3),
        Damage("f", DamageKind.ZERO_PAGE, 4096),
        Damage("f", DamageKind.STALE_PAGE, 0, 1),
        Damage("f", DamageKind.STALE_PAGE, 4096, 0),
        Damage("f", DamageKind.DUPLICATED_TAIL, length=4),
        Damage("f", DamageKind.MISDIRECTED, 0, 512),
        Damage("f", DamageKind.EXCHANGED, 512, 0),
        Damage("f", DamageKind.OLDER_VERSION, length=1),
    ],
)
def test_a_damage_for_another_file_may_not_apply(damage: Damage) -> None:
    """A shorter file, or one with fewer versions, can't be damaged so; any file can be removed."""
    file = Versions("f", b"abc", (b"ab",))
    assert not applies(file, damage)
    assert applies(file, Damage("f", DamageKind.REMOVED))


# --- images -------------------------------------------------------------------------------------


def image(content: bytes, *, more: dict[int, Node] | None = None, entries: dict[str, int] | None = None) -> Image:
    nodes = {
        0: Node(InodeKind.DIRECTORY, 0o755, 1, entries={"f": 1, "d": 2, **(entries or {})}),
        1: Node(InodeKind.FILE, 0o644, 5, content),
        2: Node(InodeKind.DIRECTORY, 0o755, 2, entries={"g": 3}),
        3: Node(InodeKind.FILE, 0o600, 6, b"inner"),
        **(more or {}),
    }
    return Image(nodes)


def test_versions_are_what_a_file_held_before_each_once_and_oldest_first() -> None:
    """Only files that are there at the end; what it holds now is no earlier version, and absent is none."""
    empty = Image({0: Node(InodeKind.DIRECTORY, 0o755, 1, entries={})})
    found = versions([empty, image(b"1"), image(b"2"), image(b"1"), image(b"3")])
    assert sorted(found, key=lambda file: file.path) == [
        Versions("d/g", b"inner", ()),
        Versions("f", b"3", (b"1", b"2")),
    ]
    assert content_at(empty, "f") is None and content_at(image(b"1"), "d") is None


def test_a_damaged_image_differs_in_one_file() -> None:
    """Its mode and times stay, and the image that it was made from is untouched."""
    before = image(b"abc")
    after = damaged(before, "d/g", b"wrong")
    assert content_at(after, "d/g") == b"wrong" and content_at(after, "f") == b"abc"
    assert (after.nodes[3].mode, after.nodes[3].mtime_ns) == (0o600, 6)
    assert content_at(before, "d/g") == b"inner"


@pytest.mark.parametrize("path", ["f", "d/g"])
def test_a_removed_file_is_gone_from_its_directory(path: str) -> None:
    before = image(b"abc")
    after = damaged(before, path, None)
    assert set(before.paths()) - set(after.paths()) == {path}
    assert len(after.nodes) == len(before.nodes) - 1


def test_a_file_with_another_name_stays_under_it() -> None:
    """Removing one of two hard links keeps the content."""
    after = damaged(image(b"abc", entries={"again": 1}), "f", None)
    assert content_at(after, "again") == b"abc" and "f" not in after.paths()
