"""Enumeration: each state once, told apart by content and knowledge; counts, limits, order, determinism."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from harness.core.operations import Append, Sync
from harness.core.persistence import EXT4, MAX_LOSS, PROCESS_CRASH, STRICT, PersistenceModel
from harness.core.trace import IoEvent, Marker, MarkerKind, SetMode, SyncAll, Trace, WriteData
from harness.crash import choices, namespace
from harness.crash.states import Counts, CrashState, Enumerator, Knowledge, Limits, learn, pieces
from tests.litmus.generated import Call, build, calls
from tests.litmus.programs import Outcome, Program, files, outcome, tree

PROJECT = Path(__file__).parents[3]


def explore(
    program: Program, model: PersistenceModel, limits: Limits | None = None
) -> tuple[list[Outcome], Counts]:
    enumerator = Enumerator(program.trace(), model, limits=limits)
    return [outcome(state) for state in enumerator], enumerator.counts


def append_and_sync() -> Trace:
    """Two operations: one appends, the other, a sync, only syncs."""
    program = Program(a=b"").mark(MarkerKind.BEGIN, 0).append("a", b"x").mark(MarkerKind.ACKNOWLEDGE, 0)
    program.mark(MarkerKind.BEGIN, 1).fsync("a").mark(MarkerKind.ACKNOWLEDGE, 1)
    return program.trace(Append("x"), Sync())


def times_of(state: CrashState) -> dict[str, int]:
    image = state.image()
    return {path: image.nodes[inode].mtime_ns for path, inode in image.paths().items()}


def test_crashes_in_other_operations_are_left_out_if_only_some_are_wanted() -> None:
    """The rest of the trace happens all the same; and nobody says that everything was tried."""
    whole = Enumerator(append_and_sync(), EXT4)
    everything = [(outcome(state), state.knowledge) for state in whole]
    some = Enumerator(append_and_sync(), EXT4, within=frozenset((1,)))
    found = [(outcome(state), state.knowledge) for state in some]

    assert set(found) < set(everything) and whole.counts.exhausted and not some.counts.exhausted
    assert (files(a=b"x"), Knowledge(2, 2, 2)) in found
    assert 0 < some.counts.crash_points < whole.counts.crash_points


# --- what is one state, and what are two ---------------------------------------------------


def test_equal_content_with_other_knowledge_is_another_state() -> None:
    """The oracle admits less after an acknowledgement, so the same directory is judged again."""
    seen = [(outcome(state), state.knowledge) for state in Enumerator(append_and_sync(), EXT4)]
    empty, written = files(a=b""), files(a=b"x")
    assert set(seen) == {
        (empty, Knowledge(0, 0, 0)),
        (empty, Knowledge(0, 1, 0)),
        (written, Knowledge(0, 1, 0)),
        (empty, Knowledge(1, 1, 0)),
        (written, Knowledge(1, 1, 0)),
        (written, Knowledge(1, 2, 0)),
        (written, Knowledge(2, 2, 2)),
    }
    assert len(seen) == len(set(seen))


def test_equal_content_is_one_state() -> None:
    """Two ways to lose the same are one state."""
    program = Program(a=b"old").create("t").unlink("t").create("t").unlink("t")
    contents, counts = explore(program, STRICT)
    assert contents == [files(a=b"old"), files(a=b"old", t=b"")]
    assert counts.generated > counts.distinct == 2


@given(program_calls=calls(5))
@settings(max_examples=40, deadline=None)
def test_no_state_comes_twice(program_calls: list[Call]) -> None:
    """Different keys, different content or order of times; each yielded state is counted."""
    enumerator = Enumerator(build(program_calls).trace(), EXT4)
    seen = []
    for state in enumerator:
        image, order = state.image(), sorted(times_of(state).items(), key=lambda item: (item[1], item[0]))
        names = tuple(sorted(image.paths().items()))
        seen.append((outcome(state), names, tuple(path for path, _ in order), state.knowledge))
    assert len(seen) == enumerator.counts.distinct <= enumerator.counts.generated
    assert len(seen) == len(set(seen))


def test_the_order_of_modification_times_tells_states_apart() -> None:
    """Recovery can look for the newest file: the same bytes, written in another order, are another state."""
    program = Program(a=b"1", b=b"2").fsync("a").write("a", 0, b"1")
    states = [(outcome(state), times_of(state)) for state in Enumerator(program.trace(), PROCESS_CRASH)]
    content = files(a=b"1", b=b"2")
    assert states == [(content, {"a": 0, "b": 0}), (content, {"a": 1, "b": 0})]


def test_times_of_many_files_do_not_tell_states_apart() -> None:
    """With many files their order would multiply the states for little."""
    program = Program(**{f"f{number}": b"x" for number in range(12)}).fsync("f0").write("f0", 0, b"x")
    assert len(explore(program, PROCESS_CRASH)[0]) == 1


def test_utime_has_the_last_word() -> None:
    """A time that was set holds until the next write."""
    program = Program(a=b"1").write("a", 0, b"2").set_time("a", 77).write("a", 0, b"3")
    final = [times_of(state)["a"] for state in Enumerator(program.trace(), PROCESS_CRASH)]
    assert final == [0, 0, 2]  # SetTimes is no crash point of its own
    durable = Program(a=b"1", b=b"").set_time("a", 77).append("b", b"x")
    assert [times_of(state)["a"] for state in Enumerator(durable.trace(), PROCESS_CRASH)] == [0, 77]


def test_hard_links_are_told_apart_from_copies() -> None:
    """Two names of one file and two files with the same content are two states."""
    program = Program(a=b"x").link("a", "b").unlink("b").create("b").append("b", b"x")
    contents, _ = explore(program, PROCESS_CRASH)
    both = files(a=b"x", b=b"x")
    assert contents == [files(a=b"x"), both, files(a=b"x", b=b""), both]


def test_symbolic_links_are_told_apart_by_target() -> None:
    """The same name, another target."""
    program = Program().symlink("s", "one").unlink("s").symlink("s", "two")
    assert explore(program, PROCESS_CRASH)[0] == [files(), files(s=b"one"), files(s=b"two")]


def test_a_directory_has_one_name() -> None:
    """Where of two renames only the second persisted, the first name that is found holds."""
    program = Program("a", "b", **{"a/x": b"1"}).rename("a", "c").rename("c", "b/a")
    seen = program.final("strict")
    assert tree("a", "b", **{"a/x": b"1"}) in seen
    assert tree("b", "b/a", **{"b/a/x": b"1"}) in seen
    assert all(sum(path.endswith("a/x") for path, _ in outcome) <= 1 for outcome in seen)


def test_directories_that_can_reach_each_other_come_to_an_end() -> None:
    """Lost renames can leave a directory in a descendant of itself; enumeration must not follow it for ever."""
    program = Program("a", "b").rename("a", "c").rename("c", "b/a").rename("b/a", "d").rename("b", "d/b")
    assert tree("a", "a/b") in program.final("strict")


def test_states_that_were_seen_before_are_not_yielded() -> None:
    """A crash during recovery leads to states that the first crash led to as well."""
    trace, seen = append_and_sync(), set[tuple[int, int, int, int]]()
    first = Enumerator(trace, EXT4, seen=seen)
    assert len(list(first)) == len(seen) == 7
    assert list(Enumerator(trace, EXT4, seen=seen)) == []


def test_a_recovery_starts_with_what_the_client_knew() -> None:
    """Nothing is learned in a trace without operations."""
    start = Knowledge(3, 4, 2)
    enumerator = Enumerator(Program(a=b"").append("a", b"x").trace(), EXT4, start=start)
    assert [state.knowledge for state in enumerator] == [start] * 2


# --- what the client knows -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("marker", "after"),
    [
        (Marker(MarkerKind.OPEN_BEGIN), Knowledge(1, 2, 1)),
        (Marker(MarkerKind.BEGIN, 2), Knowledge(1, 3, 1)),
        (Marker(MarkerKind.ACKNOWLEDGE, 1), Knowledge(2, 2, 1)),
        (Marker(MarkerKind.FAIL, 1), Knowledge(2, 2, 1)),
        (Marker(MarkerKind.OBSERVE, 1), Knowledge(2, 2, 1)),
        (Marker(MarkerKind.OBSERVE, 0), Knowledge(1, 2, 1)),
        (Marker(MarkerKind.CLOSE_END), Knowledge(1, 2, 1)),
    ],
)
def test_what_a_marker_teaches(marker: Marker, after: Knowledge) -> None:
    """Beginning, acknowledgement and failure count; opening and closing say nothing."""
    trace = Program().trace(Append("0"), Append("1"), Append("2"))
    event = IoEvent("mark", None, 0, -1, marker=marker)
    assert learn(Knowledge(1, 2, 1), event, trace) == after


def test_an_acknowledged_sync_is_a_durability_point() -> None:
    """All operations up to it are synced; a failed one is none."""
    trace = Program().trace(Append("0"), Sync())
    acknowledged = IoEvent("mark", None, 0, -1, marker=Marker(MarkerKind.ACKNOWLEDGE, 1))
    failed = IoEvent("mark", None, 0, -1, marker=Marker(MarkerKind.FAIL, 1))
    assert learn(Knowledge(1, 2, 0), acknowledged, trace).synced == 2
    assert learn(Knowledge(1, 2, 0), failed, trace).synced == 0


# --- order, counts and limits --------------------------------------------------------------


def test_the_order_of_the_phases() -> None:
    """Every prefix, then maximum loss at every crash point, then the rest."""
    program = Program(a=b"old").write("a", 0, b"new").create("b").fsync_directory().create("c")
    old, new = b"old", b"new"
    assert explore(program, STRICT)[0] == [
        files(a=old),
        files(a=new),
        files(a=new, b=b""),
        files(a=new, b=b"", c=b""),
        files(a=old, b=b""),
        files(a=old, b=b"", c=b""),
    ]


def test_counts() -> None:
    """Crash points are the calls that change something and what the client learned; syncs add none."""
    enumerator = Enumerator(append_and_sync(), EXT4)
    states = list(enumerator)
    counts = enumerator.counts
    assert (counts.distinct, counts.crash_points, counts.exhausted) == (len(states), 5, True)
    assert counts.pending_most == 2  # the data and the size


def test_syncs_are_crash_points_of_maximum_loss() -> None:
    """A sync only forbids states, but what is lost at most is less after it."""
    program = Program(a=b"old").write("a", 0, b"new").sync()
    assert explore(program, MAX_LOSS)[0] == [files(a=b"old"), files(a=b"new")]


def test_the_limit_of_states() -> None:
    """No more states than allowed, and it says so."""
    program = Program().create("a").create("b").create("c")
    contents, counts = explore(program, STRICT, Limits(states=3))
    assert (len(contents), counts.exhausted) == (3, False)
    contents, counts = explore(program, STRICT)
    assert (len(contents), counts.exhausted) == (8, True)


def test_the_limit_of_states_at_one_point() -> None:
    """Beyond it a point is explored in bounded mode, and no longer counts as exhausted."""
    program = Program().create("a").create("b").create("c")
    contents, counts = explore(program, STRICT, Limits(states_per_point=4, bounded_per_point=1))
    assert not counts.exhausted
    assert len(contents) == 4 + 1  # the prefixes, those of the first two points among them; one more


MANY_FILES = [f"f{number}" for number in range(13)]


def test_too_many_names_to_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """More name maps than the limit: bounded."""
    program = Program().create("a").create("b").create("c")
    assert explore(program, STRICT)[1].exhausted
    monkeypatch.setattr(namespace, "MAP_LIMIT", 7)
    assert not explore(program, STRICT)[1].exhausted


@pytest.mark.parametrize(
    "program",
    [
        Program(a=b"A" * 40_000).write("a", 0, b"B" * 40_000),
        Program(a=b"").truncate("a", 70 * 4096).write("a", 70 * 4096, b"x" * 4096 * 66),
    ],
    ids=["units", "items"],
)
def test_too_much_pending_in_one_file(program: Program) -> None:
    """More units or items of one file than the limit: bounded."""
    model = replace(STRICT, torn=EXT4.torn)
    assert not explore(program, model, Limits(bounded_per_point=5))[1].exhausted


def test_too_many_choices_for_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few items, but too many ways to combine their tears: bounded."""
    program = Program(a=b"A" * 2048).write("a", 0, b"B" * 1024).write("a", 1024, b"B" * 1024)
    assert explore(program, EXT4)[1].exhausted
    monkeypatch.setattr(choices, "CHOICE_LIMIT", 15)
    assert explore(program, EXT4)[1].exhausted
    monkeypatch.setattr(choices, "CHOICE_LIMIT", 14)
    assert not explore(program, EXT4)[1].exhausted


def test_too_many_combinations_of_files() -> None:
    """Each file alone has few variants, all together too many: bounded."""
    program = Program(**dict.fromkeys(MANY_FILES, b"old"))
    for name in MANY_FILES:
        program.write(name, 0, b"new")
    limits = Limits(states_per_point=1000, bounded_per_point=5)
    assert not explore(program, EXT4, limits)[1].exhausted


def test_the_maximum_loss_is_looked_at_again_after_a_write_that_ends_what_utime_set() -> None:
    """Nothing was synced meanwhile, but the file shows its old time again."""
    program = Program(a=b"x").set_time("a", 5).mark(MarkerKind.ACKNOWLEDGE, 0).append("a", b"y")
    images = [state.image() for state in Enumerator(program.trace(Append("x")), MAX_LOSS)]
    inode = program.names["a"]
    assert [image.nodes[inode].mtime_ns for image in images] == [0, 5, 0]
    assert {image.nodes[inode].content for image in images} == {b"x"}


# --- determinism ---------------------------------------------------------------------------

SEQUENCE = """
import hashlib
from harness.crash.states import Enumerator, Limits
from tests.litmus.programs import PRESETS, Program, outcome
program = Program("d", a=b"old", b=b"A" * 4000).create("t").append("t", b"new" * 300).rename("t", "a")
program.mkdir("e").create("e/x").link("e/x", "d/y").symlink("s", "a").append("b", b"B" * 600)
program.create("d/z").unlink("b").fsync("a").append("a", b"C" * 9000)
digest = hashlib.sha256()
for name, model in PRESETS.items():
    for limits in (Limits(states=400), Limits(states_per_point=50, bounded_per_point=20)):
        for state in Enumerator(program.trace(), model, seed=7, limits=limits):
            digest.update(repr((name, state.event, state.knowledge, sorted(outcome(state)))).encode())
print(digest.hexdigest())
"""


def sequence(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", SEQUENCE]
    run = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=True)
    return run.stdout


def test_the_sequence_does_not_depend_on_the_hash_seed() -> None:
    """Same seed, same states in the same order, in every process."""
    first = sequence("1")
    assert len(first) == 65
    assert first == sequence("2")


def test_the_same_seed_gives_the_same_states_in_the_same_order() -> None:
    """Also in bounded mode, which draws at random; another seed draws others."""
    program, limits = Program(), Limits(states_per_point=50, bounded_per_point=200)
    for name in MANY_FILES[:9]:
        program.create(name)

    def drawn(seed: int) -> list[Outcome]:
        return [outcome(state) for state in Enumerator(program.trace(), STRICT, seed=seed, limits=limits)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


# --- one state -----------------------------------------------------------------------------


def test_pieces_of_a_write() -> None:
    """Cut at page boundaries of the file."""
    cut = list(pieces(WriteData(1, 4000, b"x" * 4300)))
    assert [(piece.offset, len(piece.data)) for piece in cut] == [(4000, 96), (4096, 4096), (8192, 108)]
    assert list(pieces(WriteData(1, 0, b""))) == []


def test_modes_are_those_of_the_last_call() -> None:
    """Permissions are no subject of the models: taken as done at once, for files and directories."""
    program = Program("d", a=b"x")
    program.call(SetMode(program.names["a"], 0o600), SetMode(program.names["d"], 0o700), SetMode(99, 0o600))
    program.append("a", b"y")
    *_, last = Enumerator(program.trace(), PROCESS_CRASH)
    image = last.image()
    assert {path: image.nodes[inode].mode for path, inode in image.paths().items()} == {"a": 0o600, "d": 0o700}


def test_names_of_files() -> None:
    """Paths with their inodes; nothing where a file can be reached in two ways."""
    linked = Program("d", **{"d/a": b"x"}).link("d/a", "b")
    names = [state.file_names() for state in Enumerator(linked.trace(), PROCESS_CRASH)]
    assert names == [{"d/a": 2}, None]
    with_link = Program(a=b"x").symlink("s", "a")
    assert [state.file_names() for state in Enumerator(with_link.trace(), PROCESS_CRASH)][-1] is None


def test_keys_without_the_content_of_some_files() -> None:
    """States that differ only in bytes of `a` are one without it; in its size, or in `b`, they are not."""
    program = Program(a=b"1", b=b"1").write("a", 0, b"2").append("a", b"3").write("b", 0, b"2")
    keys = [state.key_without(frozenset(["a"])) for state in Enumerator(program.trace(), PROCESS_CRASH)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == len(keys) - 1 == 3
    states = [(state.key, state.key_without(frozenset())) for state in Enumerator(program.trace(), EXT4)]
    assert all(key == without for key, without in states)


def test_no_key_without_a_file_that_is_absent() -> None:
    """Then two states can't be compared without it."""
    state = next(iter(Enumerator(Program(a=b"1").trace(), EXT4)))
    assert state.key_without(frozenset(["absent"])) is None


def test_keys_without_pending_content() -> None:
    """The same for files with something pending."""
    program = Program(a=b"1", b=b"1").write("a", 0, b"2")
    for name, distinct in (("a", 1), ("b", 2)):
        keys = [state.key_without(frozenset([name])) for state in Enumerator(program.trace(), EXT4)]
        assert (len(keys), len(set(keys))) == (2, distinct)


def test_a_sync_of_what_is_gone_is_no_matter() -> None:
    """Writes, sizes, times and syncs of a file that no name can show again change nothing."""
    program = Program(a=b"x").unlink("a").fsync_directory().write("a", 0, b"y").truncate("a", 0)
    program.set_time("a", 5).write_durably("a", 0, b"z").fdatasync("a").call(SyncAll())
    assert explore(program, EXT4)[0] == [files(a=b"x"), files()]
