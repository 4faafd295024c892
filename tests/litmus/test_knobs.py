"""Knob values for a user's own model that no preset has, with the exact sets of what they allow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.persistence import (
    BTRFS,
    EXT4,
    STRICT,
    EntryOrder,
    FileSync,
    Growth,
    Overwrite,
    PersistenceModel,
    Rename,
    Survival,
    Torn,
)
from tests.litmus.programs import Program, files, tree

DESTINATION_GONE = replace(STRICT, rename=Rename.DESTINATION_GONE)
BOTH_GONE = replace(STRICT, rename=Rename.BOTH_GONE)
PER_DIRECTORY = replace(STRICT, entries=EntryOrder.PER_DIRECTORY)


@pytest.mark.parametrize(
    ("model", "windows"),
    [
        (STRICT, set()),
        (DESTINATION_GONE, {files(t=b"new")}),
        (BOTH_GONE, {files(t=b"new"), files()}),
        (replace(BOTH_GONE, entries=EntryOrder.TOTAL), {files(t=b"new"), files()}),
    ],
    ids=["atomic", "destination-gone", "both-gone", "both-gone-total"],
)
def test_a_rename_over_a_file_with_a_window(model: PersistenceModel, windows: set[object]) -> None:
    """Before, after, and what the window shows; nothing else."""
    program = Program(f=b"old", t=b"new").rename("t", "f")
    assert program.final(model) == {files(f=b"old", t=b"new"), files(f=b"new"), *windows}


@pytest.mark.parametrize(
    ("model", "windows"),
    [(DESTINATION_GONE, set()), (BOTH_GONE, {files()})],
    ids=["destination-gone", "both-gone"],
)
def test_a_rename_to_a_new_name_with_a_window(model: PersistenceModel, windows: set[object]) -> None:
    """There is no destination to be gone; the source can be."""
    program = Program(t=b"new").rename("t", "f")
    assert program.final(model) == {files(t=b"new"), files(f=b"new"), *windows}


@pytest.mark.parametrize("synced", ["d", "e"])
@pytest.mark.parametrize("model", [DESTINATION_GONE, BOTH_GONE], ids=["destination-gone", "both-gone"])
def test_either_directory_closes_the_window(model: PersistenceModel, synced: str) -> None:
    """A sync of one of the two directories makes the whole rename durable, all its parts."""
    program = Program("d", "e", **{"d/a": b"new", "e/a": b"old"}).rename("d/a", "e/a")
    assert program.fsync_directory(synced).final(model) == {tree("d", "e", **{"e/a": b"new"})}


@pytest.mark.parametrize("model", [DESTINATION_GONE, BOTH_GONE], ids=["destination-gone", "both-gone"])
def test_an_awaited_flush_comes_before_the_window(model: PersistenceModel) -> None:
    """The old file goes only after the data of the new one is there."""
    model = replace(model, replace_flush=BTRFS.replace_flush, growth=Growth.DATA_FIRST)
    program = Program(f=b"old", t=b"").append("t", b"new").rename("t", "f")
    without_old = {seen for seen in program.final(model) if (b"old") not in dict(seen).values()}
    gone = {files()} if model.rename is Rename.BOTH_GONE else set()
    assert without_old == {files(t=b"new"), files(f=b"new"), *gone}


def test_tears_at_bytes_are_prefixes() -> None:
    """A write persists up to any of its bytes, from the front."""
    model = replace(STRICT, torn=Torn.BYTE_PREFIX)
    program = Program(a=b"wxyz").write("a", 0, b"abcd")
    assert program.final(model) == {files(a=a) for a in (b"wxyz", b"axyz", b"abyz", b"abcz", b"abcd")}


def test_tears_at_bytes_of_an_append() -> None:
    """Data first: the size waits for every byte below it."""
    model = replace(STRICT, torn=Torn.BYTE_PREFIX, growth=Growth.DATA_FIRST)
    program = Program(a=b"").append("a", b"ab")
    assert program.final(model) == {files(a=b""), files(a=b"ab")}


def test_a_durable_range_in_a_write_torn_at_bytes() -> None:
    """What is durable of a write is a prefix of it, so all before the range is durable too."""
    model = replace(STRICT, torn=Torn.BYTE_PREFIX)
    program = Program(a=b"....").write("a", 0, b"abcd").write_durably("a", 1, b"X")
    assert program.final(model) == {files(a=a) for a in (b"aX..", b"aXc.", b"aXcd")}
    assert program.final(replace(model, survival=Survival.ONLY_SYNCED)) == {files(a=b"aX..")}


A, B, C = (letter * 512 for letter in (b"A", b"B", b"C"))


def test_whole_writes_are_not_torn() -> None:
    """All of a write, or nothing."""
    model = replace(STRICT, torn=Torn.WRITE)
    program = Program(a=A + A).write("a", 0, B + B)
    assert program.final(model) == {files(a=A + A), files(a=B + B)}


def test_a_durable_range_in_a_whole_write() -> None:
    """A durable sector makes the whole earlier write under it durable."""
    model = replace(STRICT, torn=Torn.WRITE)
    program = Program(a=A + A).write("a", 0, B + B).write_durably("a", 512, C)
    assert program.final(model) == {files(a=B + C)}


def test_sector_tears_are_a_listed_set() -> None:
    """All, none, each prefix, each suffix, each single one missing: of three sectors, not the middle alone."""
    program = Program(a=A * 3).write("a", 0, B * 3)
    kept = ("BBB", "AAA", "BAA", "BBA", "ABB", "AAB", "BAB")
    assert program.final("strict") == {
        files(a=b"".join(letter.encode() * 512 for letter in word)) for word in kept
    }


def test_page_tears() -> None:
    """A page is old or new as a whole."""
    model = replace(STRICT, torn=Torn.PAGE)
    old, new = b"A" * 4096, b"B" * 4096
    program = Program(a=old + old).write("a", 0, new + new)
    assert program.final(model) == {files(a=a) for a in (old + old, old + new, new + old, new + new)}


def test_size_first_with_zeros_shows_no_garbage() -> None:
    """The gap of a lost append reads as zeros."""
    model = replace(STRICT, growth=Growth.SIZE_FIRST_ZEROS)
    program = Program(a=b"old").append("a", b"new")
    assert program.final(model) == {files(a=a) for a in (b"old", b"oldnew", b"old\0\0\0")}


@pytest.mark.parametrize(
    ("model", "masks"),
    [
        (STRICT, ("", "1", "2", "3", "12", "13", "23", "123")),
        (PER_DIRECTORY, ("", "1", "2", "12", "13", "123")),
        (EXT4, ("", "1", "12", "123")),
    ],
    ids=["free", "per-directory", "total"],
)
def test_orders_of_entries(model: PersistenceModel, masks: tuple[str, ...]) -> None:
    """Creations in one directory, in another, in the first again."""
    paths = {"1": "d/1", "2": "e/2", "3": "d/3"}
    program = Program("d", "e").create("d/1").create("e/2").create("d/3")
    expected = {tree("d", "e", **{paths[number]: b"" for number in mask}) for mask in masks}
    assert program.final(model) == expected


def test_a_rename_stands_in_the_order_of_both_directories() -> None:
    """Nothing later in either directory is seen without it, and it waits for all earlier in both."""
    program = Program("d", "e", **{"d/a": b"x"}).create("d/1").rename("d/a", "e/a").create("e/2")
    before, first = tree("d", "e", **{"d/a": b"x"}), tree("d", "e", **{"d/a": b"x", "d/1": b""})
    moved = tree("d", "e", **{"d/1": b"", "e/a": b"x"})
    last = tree("d", "e", **{"d/1": b"", "e/a": b"x", "e/2": b""})
    assert program.final(PER_DIRECTORY) == {before, first, moved, last}


@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        (FileSync.DATA_AND_SIZE, {files(), tree("d"), tree("d", **{"d/a": b"x"})}),
        (FileSync.OWN_ENTRY, {files(), tree("d", **{"d/a": b"x"})}),
        (FileSync.ANCESTORS, {tree("d", **{"d/a": b"x"})}),
        (FileSync.WHOLE_JOURNAL, {tree("d", **{"d/a": b"x"})}),
    ],
)
def test_what_fsync_of_a_file_covers(scope: FileSync, seen: set[object]) -> None:
    """Its data; its entry; the entries that lead to it; every entry."""
    program = Program().mkdir("d").create("d/a").append("d/a", b"x").fsync("d/a")
    assert program.final(replace(STRICT, file_sync=scope)) == seen


def test_fsync_covers_the_newest_names() -> None:
    """After a rename and a link, the entries that show the file now."""
    model = replace(STRICT, file_sync=FileSync.OWN_ENTRY)
    program = Program().create("t").create("other").rename("t", "a").link("a", "b").fsync("a")
    assert program.final(model) == {files(a=b"", b=b""), files(a=b"", b=b"", other=b"")}


def test_a_torn_sector_may_damage_its_neighbours() -> None:
    """The bytes beside the write, in its sector and no other; without the knob they are never touched."""
    program = Program(f=b"a" * 1000).write("f", 10, b"new")
    shown = {dict(outcome)["f"] for outcome in program.final(replace(STRICT, overwrite=Overwrite.NEIGHBOURS))}
    plain = {dict(outcome)["f"] for outcome in program.final(STRICT)}
    damaged = shown - plain
    assert plain == {b"a" * 1000, b"a" * 10 + b"new" + b"a" * 987}
    assert {content[10:13] for content in damaged} == {b"aaa", b"new"}
    assert all(content[512:] == b"a" * 488 for content in damaged)
    assert all(content[:10] != b"a" * 10 and content[13:512] != b"a" * 499 for content in damaged)
