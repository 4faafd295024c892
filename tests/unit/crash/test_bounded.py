"""Bounded exploration: every wish is legal, and the list has the order that it claims."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.persistence import STRICT, PersistenceModel
from harness.crash.bounded import (
    Wish,
    atoms,
    everything,
    grow,
    nothing,
    pending_files,
    shrink,
    wishes,
    with_atom,
    without,
)
from harness.crash.pending import Choice
from harness.crash.states import Limits
from tests.litmus.generated import BYTES, SECTORS, Call, Scale, build, calls
from tests.litmus.programs import Program
from tests.litmus.test_laws import BYTE_MODELS, KNOBS
from tests.unit.crash.disks import disk_after, draw_wish, is_subset, union

PRESET_NAMES = ("strict", "ext4", "btrfs", "ext3-ordered")
MODELS: dict[str, tuple[str | PersistenceModel, Scale]] = {
    **{name: (name, SECTORS) for name in PRESET_NAMES},
    **{name: (model, SECTORS) for name, model in KNOBS.items()},
    **{name: (model, BYTES) for name, model in BYTE_MODELS.items()},
}
NEVER_EXHAUSTIVE = Limits(states_per_point=0, bounded_per_point=1000)


@pytest.mark.parametrize("name", MODELS)
@given(program_calls=calls(4))
@settings(max_examples=15, deadline=None)
def test_every_bounded_state_is_legal(name: str, program_calls: list[Call]) -> None:
    """What bounded mode tries after the last call, the rules allow: a false state is a false alarm."""
    model, scale = MODELS[name]
    program = build(program_calls, scale)
    assert program.final(model, limits=NEVER_EXHAUSTIVE) <= program.expected(model, listed_tears=False)


@pytest.mark.parametrize("name", MODELS)
@given(program_calls=calls(8))
@settings(max_examples=15, deadline=None)
def test_a_wish_on_the_list_needs_no_change(name: str, program_calls: list[Call]) -> None:
    """Legal: nothing to lose, nothing to add."""
    model, scale = MODELS[name]
    disk = disk_after(build(program_calls, scale), model)
    for wish in [everything(disk), nothing(disk), *wishes(disk, limit=60, seed=1)]:
        assert shrink(disk, wish) == wish
        assert grow(disk, wish) == wish


@pytest.mark.parametrize("name", MODELS)
@given(program_calls=calls(8), data=st.data())
@settings(max_examples=25, deadline=None)
def test_closing_a_wish(name: str, program_calls: list[Call], data: st.DataObject) -> None:
    """`shrink` and `grow` bracket a wish, do nothing twice, and keep the order of wishes."""
    model, scale = MODELS[name]
    disk = disk_after(build(program_calls, scale), model)
    small = draw_wish(data, disk)
    large = union(small, draw_wish(data, disk))
    for close in (shrink, grow):
        assert close(disk, close(disk, small)) == close(disk, small)
        assert is_subset(close(disk, small), close(disk, large))
    assert is_subset(shrink(disk, small), small)
    assert is_subset(small, grow(disk, small))


def test_a_lost_entry_takes_along_what_comes_after_it() -> None:
    """With entries in total order."""
    disk = disk_after(Program().create("a").create("b").create("c"), "ext4")
    lost_second = without(everything(disk), (atoms(disk)[1],))
    assert shrink(disk, lost_second).mask == 0b001
    assert grow(disk, with_atom(nothing(disk), atoms(disk)[1])).mask == 0b011


def test_lost_data_takes_along_the_rename_that_waits_for_it() -> None:
    """Btrfs: no data, no size, no replacement."""
    program = Program(f=b"old").create("t").append("t", b"new").rename("t", "f")
    disk = disk_after(program, "btrfs")
    lost_data = without(everything(disk), (atoms(disk)[2],))
    assert shrink(disk, lost_data) == Wish(0b01, ((2, Choice((0,), 0)),))
    kept_rename = with_atom(nothing(disk), atoms(disk)[1])
    assert grow(disk, kept_rename) == Wish(0b10, ((2, Choice((1,), 1)),))


def test_a_kept_size_takes_along_earlier_entries_where_they_are_ordered() -> None:
    """ext3: a size is in the journal after the entries before it."""
    disk = disk_after(Program(a=b"").create("b").append("a", b"x"), "ext3-ordered")
    size = next(atom for atom in atoms(disk) if not atom.units and atom.inode == 1)
    assert grow(disk, with_atom(nothing(disk), size)) == everything(disk)


def test_the_order_of_the_list() -> None:
    """Each DiskOp lost alone, the last first; each kept alone; tears; pairs and random subsets."""
    disk = disk_after(Program(a=b"A" * 1024).write("a", 0, b"B" * 1024).create("b"), "strict")
    first, second = atoms(disk)  # the entry; the page of data
    listed = list(wishes(disk, limit=100, seed=0))
    entry, data = Wish(1, ((1, Choice((0,), 0)),)), Wish(0, ((1, Choice((0b11,), 0)),))
    assert (first.units, second.units) == (0, 0b11)
    assert listed[:2] == [entry, data]
    assert listed[2:4] == [data, entry]
    assert [choice.kept for wish in listed[4:8] for _, choice in wish.files] == [(3,), (0,), (1,), (2,)]
    assert listed[8] == nothing(disk)
    assert len(listed) == 10


def test_the_limit_of_the_list() -> None:
    """No more wishes than asked for, and the same ones."""
    disk = disk_after(Program(a=b"").append("a", b"x" * 20_000), "strict")
    assert list(wishes(disk, limit=7, seed=0)) == list(wishes(disk, limit=50, seed=0))[:7]


def test_the_seed_of_the_list() -> None:
    """The same seed, the same wishes; another one, other random subsets."""
    program = Program()
    for number in range(12):
        program.create(f"f{number}")
    disk = disk_after(program, "strict")
    assert list(wishes(disk, limit=200, seed=3)) == list(wishes(disk, limit=200, seed=3))
    assert list(wishes(disk, limit=200, seed=3)) != list(wishes(disk, limit=200, seed=4))


def test_durable_diskops_are_not_on_the_list() -> None:
    """What was synced can't be lost, so it is no atom; nor is a file with nothing pending."""
    program = Program("d", a=b"A" * 1024).write("a", 0, b"B" * 512).write_durably("a", 512, b"C" * 512)
    program.create("x").create("d/y").fsync_directory("d")
    disk = disk_after(program, STRICT)
    assert [(atom.inode, atom.position, atom.units) for atom in atoms(disk)] == [(-1, 0, 0), (2, 0, 1)]
    assert [file.inode for file in pending_files(disk)] == [2]
