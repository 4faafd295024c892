"""What a sync that failed leaves: clean pages that no later sync writes, or what was last synced."""

from __future__ import annotations

import dataclasses

import pytest

from harness.core.persistence import EXT4, MAX_LOSS, PAGE_BYTES, Growth, PersistenceModel
from harness.core.trace import (
    ROOT,
    AddEntry,
    Effect,
    FailedSync,
    Image,
    InodeKind,
    IoEvent,
    NewInode,
    SetSize,
    SyncDirectory,
    SyncFile,
    Trace,
    WriteData,
    empty_image,
)
from harness.crash.states import Enumerator

FILE = 1
CREATED = (NewInode(FILE, InodeKind.FILE, 0o600), AddEntry(ROOT, "f", FILE))
DURABLE_NAME = (*CREATED, SyncDirectory(ROOT))
SYNC = SyncFile(FILE, entries=False)
PAGE = PAGE_BYTES
#: Where nothing is left by chance there is one content, and it can be named.
ZEROS = dataclasses.replace(MAX_LOSS, growth=Growth.SIZE_FIRST_ZEROS)


def trace(*effects: Effect) -> Trace:
    events = tuple(IoEvent("call", None, place, 0, (effect,)) for place, effect in enumerate(effects))
    return Trace(empty_image(), events, (), "")


def last_contents(model: PersistenceModel, *effects: Effect) -> set[bytes | None]:
    """All contents of the file after a crash at the very end."""
    recorded = trace(*DURABLE_NAME, *effects)
    last = len(recorded.events) - 1
    states = Enumerator(recorded, model, first_event=last)
    return {_content(state.image()) for state in states if state.event == last}


def _content(image: Image) -> bytes | None:
    number = image.paths().get("f")
    return None if number is None else image.nodes[number].content


def test_a_sync_that_works_keeps_everything() -> None:
    assert last_contents(MAX_LOSS, WriteData(FILE, 0, b"data"), SYNC) == {b"data"}


def test_a_sync_after_one_that_failed_does_not_write_the_clean_pages() -> None:
    found = last_contents(ZEROS, WriteData(FILE, 0, b"data"), FailedSync(FILE), SYNC)
    assert found == {b"\0\0\0\0"}


def test_a_page_that_is_written_again_is_synced_as_a_whole() -> None:
    writes = (WriteData(FILE, 0, b"one "), FailedSync(FILE), WriteData(FILE, 4, b"two"), SYNC)
    assert last_contents(MAX_LOSS, *writes) == {b"one two"}


def test_other_pages_stay_clean() -> None:
    first, second = b"a" * PAGE, b"b" * PAGE
    writes = (WriteData(FILE, 0, first + second), FailedSync(FILE), WriteData(FILE, PAGE, b"c"), SYNC)
    assert last_contents(ZEROS, *writes) == {bytes(PAGE) + b"c" + b"b" * (PAGE - 1)}


def test_what_was_synced_before_the_failure_stays() -> None:
    writes = (WriteData(FILE, 0, b"old"), SYNC, WriteData(FILE, PAGE, b"new"), FailedSync(FILE), SYNC)
    assert last_contents(ZEROS, *writes) == {b"old" + bytes(PAGE)}


def test_the_data_may_be_there_all_the_same() -> None:
    later = (NewInode(2, InodeKind.FILE, 0o600), AddEntry(ROOT, "g", 2))
    found = last_contents(EXT4, WriteData(FILE, 0, b"data"), FailedSync(FILE), SYNC, *later)
    assert {b"data", b"\0\0\0\0"} <= found, "the size is durable, its data may have been written before the error"


def test_a_file_that_falls_back_holds_what_was_last_synced() -> None:
    writes = (WriteData(FILE, 0, b"old"), SYNC, WriteData(FILE, 0, b"newer"), FailedSync(FILE, b"old"))
    assert last_contents(MAX_LOSS, *writes) == {b"old"}
    assert last_contents(MAX_LOSS, *writes, WriteData(FILE, 5, b"x"), SYNC) == {b"old\0\0x"}


def test_a_truncation_after_a_failure_is_kept_by_the_next_sync() -> None:
    writes = (WriteData(FILE, 0, b"data"), FailedSync(FILE), SetSize(FILE, 0), SYNC)
    assert last_contents(MAX_LOSS, *writes) == {b""}


@pytest.mark.parametrize("model", [MAX_LOSS, EXT4])
def test_a_failed_sync_of_a_directory_leaves_its_entries_as_they_were(model: PersistenceModel) -> None:
    recorded = trace(*CREATED, FailedSync(ROOT))
    states = list(Enumerator(recorded, model, first_event=0))
    assert None in {_content(state.image()) for state in states}


def test_crashes_before_the_first_event_are_left_out() -> None:
    recorded = trace(*DURABLE_NAME, WriteData(FILE, 0, b"data"), SYNC)
    assert {state.event for state in Enumerator(recorded, EXT4, first_event=3)} <= {3, 4}
