"""Rules that hold beside the table: syncs, growth, truncation, names. Exact sets, worked out by hand."""

from __future__ import annotations

from random import Random

import pytest

from harness.core.trace import ROOT, AddEntry, InodeKind, NewInode, RemoveEntry, WriteData
from tests.litmus.programs import Outcome, Program, files, tree

NOISE = Random("garbage 0").randbytes(16 * 1024)
POWER_LOSS = ("strict", "ext4", "btrfs", "ext3-ordered", "max-loss")
SUBSETS = ("strict", "ext4", "btrfs", "ext3-ordered")
A, B, C, D = (letter * 512 for letter in (b"A", b"B", b"C", b"D"))
PAGE, NEXT = b"P" * 4096, b"Q" * 4096
ZERO = bytes(512)


def of_file(*contents: bytes) -> set[Outcome]:
    return {files(a=content) for content in contents}


# --- O_DSYNC -------------------------------------------------------------------------------

DSYNC_OVERWRITE = {
    "strict": of_file(A + D, C + D),
    "ext4": of_file(A + D, C + D),
    "btrfs": of_file(C + D),  # one page: writes to it persist in order
    "ext3-ordered": of_file(A + D, C + D),
    "max-loss": of_file(A + D),
}


@pytest.mark.parametrize("model", POWER_LOSS)
def test_dsync_covers_its_own_bytes_and_no_others(model: str) -> None:
    """An earlier write to another sector stays as lost as it was."""
    program = Program(a=A + B).write("a", 0, C).write_durably("a", 512, D)
    assert program.final(model) == DSYNC_OVERWRITE[model]


DSYNC_APPEND = {
    "strict": of_file(C + D, ZERO + D, NOISE[:512] + D),
    "ext4": of_file(C + D),
    "btrfs": of_file(C + D),
    "ext3-ordered": of_file(C + D),
    "max-loss": of_file(ZERO + D, NOISE[:512] + D),
}


@pytest.mark.parametrize("model", POWER_LOSS)
def test_dsync_covers_the_size_needed_to_read_it(model: str) -> None:
    """And with it the data below, where a size requires that."""
    program = Program(a=b"").write("a", 0, C).write_durably("a", 512, D)
    assert program.final(model) == DSYNC_APPEND[model]


@pytest.mark.parametrize("model", SUBSETS)
def test_dsync_covers_no_further_size(model: str) -> None:
    """A page appended before, beyond the bytes of the call, can still be missing."""
    rest = PAGE[512:]
    program = Program(a=PAGE).append("a", NEXT).write_durably("a", 0, C)
    outcomes = program.final(model)
    assert files(a=C + rest) in outcomes
    assert files(a=C + rest + NEXT) in outcomes
    assert all(dict(seen)["a"].startswith(C + rest) for seen in outcomes)


@pytest.mark.parametrize("model", SUBSETS)
def test_dsync_of_a_sector_that_reaches_beyond_the_size(model: str) -> None:
    """The earlier append to that sector is durable with it, its size is not: then it shows with its data."""
    program = Program(a=b"12").append("a", b"34").write_durably("a", 0, b"X")
    assert program.final(model) == of_file(b"X2", b"X234")


def test_dsync_of_no_bytes_covers_nothing() -> None:
    """A write of length 0 makes nothing durable, and changes nothing."""
    program = Program(a=b"old").write("a", 0, b"new").write_durably("a", 0, b"")
    assert program.final("max-loss") == of_file(b"old")


@pytest.mark.parametrize("model", POWER_LOSS)
def test_dsync_requires_the_truncation_before_it(model: str) -> None:
    """Data written after a truncation can't be there without it."""
    program = Program(a=b"long content").truncate("a", 0).write_durably("a", 0, b"new")
    assert program.final(model) == of_file(b"new")


@pytest.mark.parametrize("model", POWER_LOSS)
def test_dsync_covers_no_entry(model: str) -> None:
    """A new file written with O_DSYNC has no durable name."""
    program = Program().create("a").write_durably("a", 0, b"x")
    lost, kept = {files()}, {files(a=b"x")}
    assert program.final(model) == (lost if model == "max-loss" else lost | kept)


# --- fdatasync, fsync, sync ----------------------------------------------------------------


@pytest.mark.parametrize("model", POWER_LOSS)
def test_fdatasync_covers_no_entry(model: str) -> None:
    """Data and size only, also where fsync would commit the whole journal."""
    program = Program().create("a").append("a", b"x").fdatasync("a")
    lost, kept = {files()}, {files(a=b"x")}
    assert program.final(model) == (lost if model == "max-loss" else lost | kept)


@pytest.mark.parametrize("model", POWER_LOSS)
def test_fdatasync_covers_data_and_size(model: str) -> None:
    """Of the whole file."""
    program = Program(a=A).append("a", B).write("a", 0, C).fdatasync("a")
    assert program.final(model) == of_file(C + B)


@pytest.mark.parametrize("model", POWER_LOSS)
def test_sync_covers_everything(model: str) -> None:
    """Data, sizes and entries of everything."""
    program = Program("d", a=A).write("a", 0, B).create("d/b").append("d/b", b"x").unlink("a").sync()
    assert program.final(model) == {tree("d", **{"d/b": b"x"})}


@pytest.mark.parametrize("model", POWER_LOSS)
def test_fsync_of_a_directory_covers_its_entries_only(model: str) -> None:
    """Neither the data of the files nor, where entries are free, the entries of other directories."""
    program = Program("d").create("d/x").create("y").fsync_directory()
    without, with_x = tree("d", y=b""), tree("d", y=b"", **{"d/x": b""})
    expected = {
        "strict": {without, with_x},
        "ext4": {with_x},
        "btrfs": {without, with_x},
        "ext3-ordered": {with_x},
        "max-loss": {without},
    }
    assert program.final(model) == expected[model]


WHOLE_JOURNAL = {
    "ext4": {files(a=a, b=b, c=b"new") for a in (b"", b"x") for b in (b"old", b"new")},
    "ext3-ordered": {files(a=a, b=b"new", c=b"new") for a in (b"", b"x")},
}


@pytest.mark.parametrize("model", WHOLE_JOURNAL)
def test_the_whole_journal_holds_entries_but_not_the_data_of_other_files(model: str) -> None:
    """fsync of one file makes another's name durable; its data only where the entry requires it."""
    program = Program(b=b"old", c=b"old").write("b", 0, b"new")
    program.create("a").append("a", b"x").write("c", 0, b"new").fsync("c")
    assert program.final(model) == WHOLE_JOURNAL[model]


@pytest.mark.parametrize("model", ["ext4", "ext3-ordered"])
def test_an_entry_requires_all_earlier_data_and_sizes(model: str) -> None:
    """Under data=ordered of ext3, whoever sees the new name sees all that was written before."""
    program = Program(b=b"old").write("b", 0, b"new").append("b", b"!").create("a")
    contents = [b"old", b"new", b"new!"] + ([b"old\0", b"new\0"] if model == "ext4" else [])
    seen_with_name = contents if model == "ext4" else [b"new!"]
    expected = {files(b=content) for content in contents}
    expected |= {files(a=b"", b=content) for content in seen_with_name}
    assert program.final(model) == expected


@pytest.mark.parametrize("model", ["btrfs", "strict"])
def test_fsync_in_new_sub_directories(model: str) -> None:
    """Btrfs makes the way to the file durable, but not the name of its neighbour."""
    program = Program().mkdir("d").mkdir("d/e").create("d/e/n").create("d/e/a").append("d/e/a", b"x")
    outcomes = program.fsync("d/e/a").final(model)
    whole = tree("d", "d/e", **{"d/e/a": b"x"})
    with_neighbour = tree("d", "d/e", **{"d/e/a": b"x", "d/e/n": b""})
    missing = {files(), tree("d"), tree("d", "d/e"), tree("d", "d/e", **{"d/e/n": b""})}
    assert outcomes == {whole, with_neighbour} | (missing if model == "strict" else set())


@pytest.mark.parametrize("model", SUBSETS)
def test_a_new_sub_directory_without_any_sync(model: str) -> None:
    """The file can't be seen without its directory; the directory can be without the file."""
    program = Program().mkdir("d").create("d/a")
    assert program.final(model) == {files(), tree("d"), tree("d", **{"d/a": b""})}


# --- names ---------------------------------------------------------------------------------


@pytest.mark.parametrize("model", POWER_LOSS)
@pytest.mark.parametrize("synced", ["d", "e"])
def test_a_rename_between_directories_is_durable_with_either(model: str, synced: str) -> None:
    """One DiskOp: a sync of the directory that it left, or of the one where it arrived, covers it."""
    program = Program("d", "e", **{"d/a": b"x"}).rename("d/a", "e/b").fsync_directory(synced)
    assert program.final(model) == {tree("d", "e", **{"e/b": b"x"})}


@pytest.mark.parametrize("model", POWER_LOSS)
def test_a_rename_between_directories_without_sync(model: str) -> None:
    """Old or new place, never both, never none; the file is there in either."""
    program = Program("d", "e", **{"d/a": b"x"}).rename("d/a", "e/b")
    old, new = tree("d", "e", **{"d/a": b"x"}), tree("d", "e", **{"e/b": b"x"})
    assert program.final(model) == ({old} if model == "max-loss" else {old, new})


SAME_NAME = {
    "strict": (b"", b"new", b"\0\0\0", NOISE[:3]),
    "ext4": (b"", b"new"),
    "btrfs": (b"", b"new"),
    "ext3-ordered": (b"", b"new"),
    "max-loss": (),
}


@pytest.mark.parametrize("model", POWER_LOSS)
def test_unlink_and_create_of_the_same_name(model: str) -> None:
    """The old file, none, or the new one with what the model allows of its data."""
    program = Program(a=b"old").unlink("a").create("a").append("a", b"new")
    gone = set() if model == "max-loss" else {files()}
    assert program.final(model) == {files(a=b"old")} | gone | of_file(*SAME_NAME[model])


@pytest.mark.parametrize("model", POWER_LOSS)
def test_linking_and_unlinking(model: str) -> None:
    """Where entries are free, a file that got another name before losing the first may have none."""
    program = Program(a=b"x").link("a", "b").unlink("a")
    first, both, second = files(a=b"x"), files(a=b"x", b=b"x"), files(b=b"x")
    expected = {
        "strict": {first, both, second, files()},
        "ext4": {first, both, second},
        "btrfs": {first, both, second, files()},
        "ext3-ordered": {first, both, second},
        "max-loss": {first},
    }
    assert program.final(model) == expected[model]


@pytest.mark.parametrize("model", SUBSETS)
def test_all_names_of_a_file_show_the_same(model: str) -> None:
    """A hard link is no copy: what is lost is lost under both names."""
    program = Program(a=b"old").link("a", "b").fsync_directory().write("b", 0, b"new")
    assert program.final(model) == {files(a=content, b=content) for content in (b"old", b"new")}


@pytest.mark.parametrize("model", POWER_LOSS)
def test_data_that_no_name_reaches_makes_no_difference(model: str) -> None:
    """Writes through a descriptor of a file that is durably gone."""
    program = Program(a=b"old").unlink("a").fsync_directory().write("a", 0, A + B).append("a", C).fsync("a")
    assert program.final(model) == {files()}


def test_data_under_a_lost_name_makes_no_difference() -> None:
    """Nothing but the name was lost: whatever became of the data, the directory is empty, once."""
    program = Program().create("a").append("a", A + B)
    without_name = [seen for seen in program.final("strict") if not seen]
    assert without_name == [files()]


@pytest.mark.parametrize("model", SUBSETS)
def test_a_symbolic_link_is_an_entry(model: str) -> None:
    """It is there with its target, or not there."""
    program = Program().symlink("s", "elsewhere")
    assert program.final(model) == {files(), files(s=b"elsewhere")}


def test_what_arrives_from_outside_arrives_with_its_data() -> None:
    """What one call did to a file before it gave it a name counts as earlier than the name."""
    program = Program().call(
        NewInode(9, InodeKind.FILE, 0o644), WriteData(9, 0, b"new"), AddEntry(ROOT, "a", 9)
    )
    assert program.final("ext3-ordered") == {files(), files(a=b"new")}
    assert program.final("ext4") == {files(), files(a=b""), files(a=b"new")}


def test_removing_a_directory() -> None:
    """With free entries it can go before the file in it, which then can't be reached."""
    program = Program("d", **{"d/a": b"x"}).unlink("d/a")
    program.call(RemoveEntry(ROOT, "d", program.handles["d"]))
    whole, emptied = tree("d", **{"d/a": b"x"}), tree("d")
    assert program.final("strict") == {whole, emptied, files()}
    assert program.final("ext4") == {whole, emptied, files()}


# --- truncation, growth, holes -------------------------------------------------------------

TRUNCATED = {
    "strict": of_file(b"old!", b"", b"new", b"\0\0\0", NOISE[:3]),
    "ext4": of_file(b"old!", b"", b"new"),
    "btrfs": of_file(b"old!", b"", b"new"),
    "ext3-ordered": of_file(b"old!", b"", b"new"),
    "process-crash": of_file(b"new"),
    "max-loss": of_file(b"old!"),
}


@pytest.mark.parametrize("model", TRUNCATED)
def test_truncation_then_write(model: str) -> None:
    """New data never shows in a file that was not truncated: no mixture of old and new."""
    program = Program(a=b"old!").truncate("a", 0).write("a", 0, b"new")
    assert program.final(model) == TRUNCATED[model]


@pytest.mark.parametrize("model", SUBSETS)
def test_growing_by_ftruncate_reads_as_zeros(model: str) -> None:
    """Never as garbage: no data is missing there."""
    program = Program(a=b"ab").truncate("a", 600)
    assert program.final(model) == of_file(b"ab", b"ab" + bytes(598))


@pytest.mark.parametrize("model", SUBSETS)
def test_shrinking_and_growing_again_reads_as_zeros(model: str) -> None:
    """What was cut off does not come back."""
    program = Program(a=b"abcd").truncate("a", 2).truncate("a", 4)
    assert program.final(model) == of_file(b"abcd", b"ab", b"ab\0\0")


def test_a_cut_keeps_the_gap_below_it() -> None:
    """Data missing below a later cut is still missing: zeros or garbage."""
    program = Program(a=b"").append("a", A + B).truncate("a", 512)
    sectors = [A + B, A + ZERO, ZERO + B, ZERO + ZERO]
    damaged = [A + NOISE[:512], NOISE[:512] + B, NOISE[:1024]]
    assert program.final("strict") == of_file(b"", *sectors, *damaged, A, ZERO, NOISE[:512])


HOLE = [b"", bytes(4096), bytes(8192), bytes(8192) + b"x"]


@pytest.mark.parametrize("model", SUBSETS)
def test_a_hole_reads_as_zeros(model: str) -> None:
    """The file grows page by page over a hole; only the written byte can be missing or garbage."""
    program = Program(a=b"").write("a", 8192, b"x")
    missing = [bytes(8193), bytes(8192) + NOISE[:1]] if model == "strict" else []
    assert program.final(model) == of_file(*HOLE, *missing)


@pytest.mark.parametrize("model", SUBSETS)
def test_sizes_of_one_file_persist_in_order(model: str) -> None:
    """The second record can't be there without the room for the first."""
    program = Program(a=b"").append("a", PAGE).append("a", NEXT)
    shown = {len(dict(seen)["a"]) for seen in program.final(model)}
    assert shown == {0, 4096, 8192}
    if model != "strict":
        assert program.final(model) == of_file(b"", PAGE, PAGE + NEXT)


@pytest.mark.parametrize("model", SUBSETS)
def test_writes_to_one_sector_persist_in_order(model: str) -> None:
    """The later write is never there without the earlier."""
    program = Program(a=b"....").write("a", 0, b"12").write("a", 1, b"34")
    assert program.final(model) == of_file(b"....", b"12..", b"134.")


def test_garbage_includes_what_an_earlier_operation_wrote() -> None:
    """A recycled block holds what some operation once put there; it can look like a valid record."""
    program = Program(a=b"", b=b"").write("b", 0, b"earlier", operation=0).fsync("b")
    program.write("a", 0, b"present", operation=1)
    seen = {dict(outcome)["a"] for outcome in program.outcomes("strict")}
    assert {b"", b"present", bytes(7), NOISE[:7], b"earlier"} == seen


def test_what_was_cut_off_a_file_may_show_in_it_again() -> None:
    """Its blocks were free, and may be those that it is given next: the log that is used again from its beginning."""
    program = Program(a=b"").write("a", 0, b"earlier", operation=0).fsync("a").truncate("a", 0).fsync("a")
    program.write("a", 0, b"present", operation=1)
    assert b"earlier" in {dict(outcome)["a"] for outcome in program.outcomes("strict")}


def test_garbage_depends_on_the_seed() -> None:
    """Another seed, other bytes; the same seed, the same."""
    program = Program(a=b"").append("a", b"new")
    assert program.outcomes("strict", seed=1) == program.outcomes("strict", seed=1)
    assert program.outcomes("strict", seed=1) != program.outcomes("strict", seed=2)
