"""The plain values: operations as text, workloads, traces, persistence models."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from harness import PRESETS, Append, AppendMany, Get, Load, Put, PutMany, Save, Sync
from harness.core.operations import READS, describe, for_store
from harness.core.persistence import (
    POWER_LOSS_PRESETS,
    DataAgainstEntries,
    EntryOrder,
    FileSync,
    Growth,
    LastPage,
    Overwrite,
    PersistenceModel,
    Rename,
    ReplaceFlush,
    Survival,
    Torn,
)
from harness.core.trace import ROOT, CallSite, Image, InodeKind, Node, empty_image
from harness.core.workload import Reopen, Workload

# --- operations and workloads ----------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Tag:
    """An operation of a user's own, with a list."""

    names: list[str]


def test_a_store_gets_an_operation_of_its_own() -> None:
    """What it does to it changes nothing for the judge."""
    save, tag = Save({"list": [1]}), Tag(["a"])
    for given in (for_store(save).document["list"], for_store(tag).names):
        given.append("more")
    assert (save, tag) == (Save({"list": [1]}), Tag(["a"]))
    assert for_store(save) == save and for_store(tag) == tag


@pytest.mark.parametrize("operation", [Put("a", "1"), PutMany((("a", "1"),)), AppendMany(("a",)), Load(), Sync()])
def test_an_operation_that_nobody_can_change_is_not_copied(operation: object) -> None:
    assert for_store(operation) is operation


def test_an_operation_that_cannot_be_copied_is_given_as_it_is() -> None:
    operation = Tag([(number for number in ())])  # type: ignore[list-item]  # a generator
    assert for_store(operation) is operation


def test_long_text_is_cut_with_its_length() -> None:
    """A value of 66000 characters must not drown a report; how long it was is still told."""
    shown = describe(Put("k1", "x" * 66_000))
    assert shown.startswith("Put('k1', 'xxx") and shown.endswith("... (66002 chars))")
    assert len(shown) < 100
    assert len(describe(Put("k1", "x" * 66_000), limit=30)) < 60


@pytest.mark.parametrize(
    ("operation", "shown"),
    [
        (Put("k1", "v\n"), "Put('k1', 'v\\n')"),
        (PutMany((("a", "1"), ("b", "2"))), "PutMany((('a', '1'), ('b', '2')))"),
        (Save({"a": [1, None]}), "Save({'a': [1, None]})"),
        (AppendMany(("a", "b")), "AppendMany(('a', 'b'))"),
        (Sync(), "Sync()"),
        (Reopen(), "Reopen()"),
        ("text", "'text'"),
        (None, "None"),
    ],
)
def test_an_operation_is_shown_as_the_program_that_makes_it(operation: Any, shown: str) -> None:
    """What is short can be pasted back; what is no operation is shown as it is."""
    assert describe(operation) == shown


def test_reopening_is_a_step_but_no_operation() -> None:
    """The oracle counts operations only; a reader sees all steps."""
    workload = Workload("w", (Append("a"), Reopen(), Append("b")))
    assert workload.operations == (Append("a"), Append("b"))
    assert workload.describe() == ["Append('a')", "Reopen()", "Append('b')"]


def test_operations_are_values() -> None:
    """Equal where their fields are, hashable where those are, and never changed."""
    assert Put("a", "b") == Put("a", "b") and len({Put("a", "b"), Put("a", "b")}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        Put("a", "b").key = "c"  # type: ignore[misc]
    assert {type(read) for read in (Get("k"), Load())} < set(READS)


# --- traces ------------------------------------------------------------------------------------


def test_paths_of_an_image_are_complete_and_begin_with_parents() -> None:
    """Whoever creates them in this order finds every parent there."""
    directory = Node(InodeKind.DIRECTORY, entries={"b": 3, "inner": 4})
    image = Image(
        {
            ROOT: Node(InodeKind.DIRECTORY, entries={"z": 1, "a-file": 5, "a": 2}),
            1: Node(InodeKind.FILE, content=b"one"),
            2: directory,
            3: Node(InodeKind.SYMLINK, target="../z"),
            4: Node(InodeKind.DIRECTORY, entries={"hard": 1}),
            5: Node(InodeKind.FILE),
        }
    )
    paths = image.paths()
    assert paths == {"a": 2, "a-file": 5, "a/b": 3, "a/inner": 4, "a/inner/hard": 1, "z": 1}
    order = list(paths)
    assert all(order.index(path.rpartition("/")[0]) < order.index(path) for path in order if "/" in path)


def test_an_empty_image_has_nothing_but_the_directory() -> None:
    """It is a fresh one each time: an image that is filled must not fill the next."""
    assert empty_image().paths() == {}
    assert empty_image().nodes[ROOT].kind is InodeKind.DIRECTORY
    assert empty_image().nodes is not empty_image().nodes


def test_a_call_site_reads_like_a_line_of_a_traceback() -> None:
    """File, line and function, in a form that editors follow."""
    assert str(CallSite("src/store.py", 61, "_write")) == "src/store.py:61 in _write"


# --- persistence models ------------------------------------------------------------------------

STRICT = {
    "survival": Survival.ANY_LEGAL_SUBSET,
    "torn": Torn.SECTOR,
    "growth": Growth.SIZE_FIRST_GARBAGE,
    "last_page": LastPage.SEPARATE,
    "rename": Rename.ATOMIC,
    "entries": EntryOrder.FREE,
    "data_against_entries": DataAgainstEntries.FREE,
    "replace_flush": ReplaceFlush.NOTHING,
    "file_sync": FileSync.DATA_AND_SIZE,
    "overwrite": Overwrite.OLD_OR_NEW,
}
KNOBS: dict[str, dict[str, Any]] = {
    "strict": {},
    "process-crash": {"survival": Survival.ALL_COMPLETED},
    "max-loss": {"survival": Survival.ONLY_SYNCED},
    "ext4": {
        "growth": Growth.DATA_FIRST,
        "entries": EntryOrder.TOTAL,
        "replace_flush": ReplaceFlush.STARTS,
        "file_sync": FileSync.WHOLE_JOURNAL,
    },
    "btrfs": {
        "torn": Torn.PAGE,
        "growth": Growth.DATA_FIRST,
        "last_page": LastPage.JOINED,
        "replace_flush": ReplaceFlush.WAITS,
        "file_sync": FileSync.ANCESTORS,
    },
    "ext3-ordered": {
        "growth": Growth.DATA_FIRST,
        "last_page": LastPage.JOINED,
        "entries": EntryOrder.TOTAL,
        "data_against_entries": DataAgainstEntries.ORDERED,
        "replace_flush": ReplaceFlush.WAITS,
        "file_sync": FileSync.WHOLE_JOURNAL,
    },
}


@pytest.mark.parametrize("name", KNOBS)
def test_a_preset_turns_exactly_these_knobs(name: str) -> None:
    """What a preset allows is public: certificates are issued under it."""
    model = PRESETS[name]
    assert {knob: getattr(model, knob) for knob in STRICT} == STRICT | KNOBS[name]


def test_every_preset_is_found_by_its_name_and_lists_its_assumptions() -> None:
    """A certificate prints both."""
    assert set(PRESETS) == set(KNOBS)
    assert all(name == model.name and model.summary and model.assumptions for name, model in PRESETS.items())
    assert set(POWER_LOSS_PRESETS) == set(PRESETS) - {"process-crash"}


def test_a_model_of_the_user_is_as_weak_as_strict_unless_it_says_otherwise() -> None:
    """A forgotten knob must not make a model stronger than the medium."""
    model = PersistenceModel(name="mine", summary="")
    assert {knob: getattr(model, knob) for knob in STRICT} == STRICT
