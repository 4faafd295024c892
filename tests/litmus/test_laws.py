"""Laws between models, and the fast enumeration against the slow reference, on random small programs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from harness.core.persistence import (
    PRESETS,
    STRICT,
    DataAgainstEntries,
    EntryOrder,
    FileSync,
    Growth,
    LastPage,
    PersistenceModel,
    Rename,
    ReplaceFlush,
    Torn,
)
from tests.litmus.generated import BYTES, SECTORS, Call, Scale, build, calls

#: Each knob value that no preset has, alone and together with what it could interfere with.
KNOBS = {
    "zeros": replace(STRICT, growth=Growth.SIZE_FIRST_ZEROS),
    "page-joined": replace(STRICT, torn=Torn.PAGE, growth=Growth.DATA_FIRST, last_page=LastPage.JOINED),
    "whole-write": replace(STRICT, torn=Torn.WRITE),
    "whole-write-data-first": replace(
        STRICT, torn=Torn.WRITE, growth=Growth.DATA_FIRST, last_page=LastPage.JOINED
    ),
    "per-directory": replace(STRICT, entries=EntryOrder.PER_DIRECTORY, replace_flush=ReplaceFlush.WAITS),
    "destination-gone": replace(STRICT, rename=Rename.DESTINATION_GONE),
    "both-gone": replace(STRICT, rename=Rename.BOTH_GONE, replace_flush=ReplaceFlush.WAITS),
    "both-gone-total": replace(STRICT, rename=Rename.BOTH_GONE, entries=EntryOrder.TOTAL),
    "own-entry": replace(STRICT, file_sync=FileSync.OWN_ENTRY),
    "ordered-free": replace(
        STRICT, data_against_entries=DataAgainstEntries.ORDERED, growth=Growth.DATA_FIRST
    ),
}
MODELS = PRESETS | KNOBS
BYTE_MODELS = {
    "byte-prefix": replace(STRICT, torn=Torn.BYTE_PREFIX),
    "byte-prefix-data-first": replace(STRICT, torn=Torn.BYTE_PREFIX, growth=Growth.DATA_FIRST),
}


def assert_equal_to_reference(program_calls: list[Call], model: PersistenceModel, scale: Scale) -> None:
    assert build(program_calls, scale).final(model) == build(program_calls, scale).expected(model)


@pytest.mark.parametrize("name", MODELS)
@given(program_calls=calls(5))
@settings(max_examples=25, deadline=None)
def test_enumeration_finds_exactly_what_the_rules_allow(name: str, program_calls: list[Call]) -> None:
    """Not one outcome more, not one less than trying every subset of DiskOps and dropping the illegal."""
    assert_equal_to_reference(program_calls, MODELS[name], SECTORS)


@pytest.mark.parametrize("name", BYTE_MODELS)
@given(program_calls=calls(4))
@settings(max_examples=40, deadline=None)
def test_enumeration_finds_exactly_what_the_rules_allow_with_tears_at_bytes(
    name: str, program_calls: list[Call]
) -> None:
    """The same where a write can be cut after any byte."""
    assert_equal_to_reference(program_calls, BYTE_MODELS[name], BYTES)


@pytest.mark.parametrize("smaller", ["max-loss", "ext3-ordered", "btrfs", "ext4"])
@given(program_calls=calls(5))
@settings(max_examples=20, deadline=None)
def test_what_a_preset_allows_strict_allows_too(smaller: str, program_calls: list[Call]) -> None:
    """`strict` is the weakest: a store that survives it survives the others."""
    program = build(program_calls)
    assert program.final(smaller) <= program.final("strict")


@pytest.mark.parametrize("name", ["ext3-ordered", "btrfs", "ext4", "strict"])
@given(program_calls=calls(5))
@settings(max_examples=20, deadline=None)
def test_a_disk_that_lost_nothing_is_always_legal(name: str, program_calls: list[Call]) -> None:
    """Writeback can happen at any time, so what the dead process leaves is what power loss may leave."""
    program = build(program_calls)
    complete = program.final("process-crash")
    assert len(complete) == 1
    assert complete <= program.final(name)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "process-crash"])
@given(program_calls=calls(6))
@settings(max_examples=15, deadline=None)
def test_what_was_synced_is_in_every_outcome(name: str, program_calls: list[Call]) -> None:
    """After sync there is one outcome, the complete one, under every model."""
    program = build(program_calls).sync()
    assert program.final(MODELS[name]) == program.final("process-crash")


@pytest.mark.parametrize("name", [name for name in MODELS if name != "process-crash"])
@given(program_calls=calls(4))
@settings(max_examples=15, deadline=None)
def test_a_synced_file_is_whole_wherever_it_is_seen(name: str, program_calls: list[Call]) -> None:
    """fsync covers data and size under every model; its directory, synced too, makes the name durable."""
    program = build(program_calls).create("new")
    program.append("new", b"n" * 600).fsync("new").fsync_directory()
    assert all(("new", b"n" * 600) in outcome for outcome in program.final(MODELS[name]))
