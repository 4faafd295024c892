"""Replaying a trace, and comparing images."""

from __future__ import annotations

import dataclasses

import pytest

from harness.core.trace import (
    AddEntry,
    Image,
    InodeKind,
    IoEvent,
    NewInode,
    Node,
    RemoveEntry,
    RenameEntry,
    SetMode,
    SetSize,
    SetTimes,
    SyncAll,
    Trace,
    WriteData,
    empty_image,
)
from harness.record import replay, same_image
from harness.record.replay import content_after


def trace_of(*effects, base: Image | None = None) -> Trace:
    events = tuple(IoEvent("call", None, 100 + at, -1, (effect,)) for at, effect in enumerate(effects))
    return Trace(base or empty_image(), events, (), "/d")


def image_of(**files: Node) -> Image:
    entries = {name: number for number, name in enumerate(files, 1)}
    nodes = {number: files[name] for name, number in entries.items()}
    return Image({0: Node(InodeKind.DIRECTORY, mode=0o755, entries=entries), **nodes})


FILE = Node(InodeKind.FILE, content=b"abc")


def test_replay_applies_all_effects_in_order():
    image = replay(
        trace_of(
            NewInode(1, InodeKind.FILE, 0o600),
            AddEntry(0, "a", 1),
            WriteData(1, 2, b"xy"),
            SetSize(1, 3),
            SetSize(1, 5),
            NewInode(2, InodeKind.SYMLINK, 0o777, "a"),
            AddEntry(0, "s", 2),
            RenameEntry(0, "a", 0, "b", 1, None),
            SetMode(1, 0o640),
            RemoveEntry(0, "s", 2),
            SyncAll(),
        )
    )
    assert image.nodes[0].entries == {"b": 1}
    assert image.nodes[1] == Node(InodeKind.FILE, mode=0o640, mtime_ns=104, content=b"\0\0x\0\0")
    assert image.nodes[0].mtime_ns == 109


def test_replay_leaves_the_base_as_it_is():
    base = image_of(f=FILE)
    before = dataclasses.replace(base.nodes[0], entries=dict(base.nodes[0].entries))
    replay(trace_of(WriteData(1, 3, b"d"), RemoveEntry(0, "f", 1), base=base))
    assert base.nodes[0] == before
    assert base.nodes[1].content == b"abc"


def test_times_that_the_store_sets_stay():
    image = replay(trace_of(WriteData(1, 0, b"x"), SetTimes(1, 5), base=image_of(f=FILE)))
    assert image.nodes[1].mtime_ns == 5


def test_an_effect_on_an_inode_that_never_was_is_an_error():
    with pytest.raises(KeyError):
        replay(trace_of(WriteData(7, 0, b"x")))


def test_content_after_ignores_everything_but_content():
    assert content_after([WriteData(1, 1, b"ab"), SetMode(1, 0), SetSize(1, 2)]) == b"\0a"


def test_equal_images_have_no_difference_whatever_their_numbers_and_times():
    left = image_of(a=FILE, b=Node(InodeKind.SYMLINK, target="a", mode=0o777))
    right = Image(
        {
            0: Node(InodeKind.DIRECTORY, mode=0o700, mtime_ns=9, entries={"b": 7, "a": 9}),
            9: dataclasses.replace(FILE, mtime_ns=4),
            7: Node(InodeKind.SYMLINK, target="a", mode=0o755),
        }
    )
    assert same_image(left, right) is None


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        (image_of(a=FILE), image_of(), "a is only in the first"),
        (image_of(), image_of(a=FILE), "a is only in the second"),
        (
            image_of(a=FILE),
            image_of(a=Node(InodeKind.DIRECTORY)),
            "a is a file in the first and a directory in the second",
        ),
        (
            image_of(a=FILE),
            image_of(a=dataclasses.replace(FILE, content=b"ab")),
            "a differs: 3 bytes in the first, 2 bytes in the second",
        ),
        (
            image_of(a=FILE),
            image_of(a=dataclasses.replace(FILE, content=b"aXc")),
            "a differs: byte 1 of 3 is 0x62 in the first and 0x58 in the second",
        ),
        (
            image_of(a=FILE),
            image_of(a=dataclasses.replace(FILE, mode=0o600)),
            "a has mode 0644 in the first and 0600 in the second",
        ),
        (
            image_of(a=Node(InodeKind.SYMLINK, target="x")),
            image_of(a=Node(InodeKind.SYMLINK, target="y")),
            "a points to 'x' in the first and to 'y' in the second",
        ),
    ],
)
def test_the_first_difference_in_words(left, right, words):
    assert same_image(left, right) == words


def test_hard_links_are_told_from_copies():
    linked = Image({0: Node(InodeKind.DIRECTORY, entries={"a": 1, "b": 1}), 1: FILE})
    copied = image_of(a=FILE, b=FILE)
    assert same_image(linked, copied) == "b is a hard link of a only in the first"
    assert same_image(copied, linked) == "b is a hard link of a only in the second"
    assert same_image(linked, linked) is None
