"""What a state lost, in terms of the calls of its trace."""

from __future__ import annotations

from harness.core.operations import Append
from harness.core.persistence import EXT4, STRICT
from harness.core.trace import CallSite, IoEvent, MarkerKind, Trace
from harness.crash.bounded import Wish, atoms, everything, nothing, shrink, without
from harness.crash.losses import Losses, last_begun, last_call, losses, site_of
from harness.crash.pending import Choice
from harness.crash.states import Enumerator
from tests.litmus.programs import Program, files, outcome
from tests.unit.crash.disks import disk_after


def lost(*events: int) -> Losses:
    return Losses(lost=frozenset(events))


def test_a_lost_call_is_named() -> None:
    """The write whose data is missing under the new name, and not the rename that shows it."""
    program = Program(f=b"old").create("t").append("t", b"new").rename("t", "f")
    found = [
        state.losses()
        for state in Enumerator(program.trace(), EXT4)
        if state.event == 2 and outcome(state) == files(f=b"")
    ]
    assert [(set(loss.damaged), set(loss.kept)) for loss in found] == [({1}, {0, 2})]


def test_a_complete_state_lost_nothing() -> None:
    """All that is pending was kept; nothing is lost or torn."""
    disk = disk_after(Program(a=b"").append("a", b"x").create("b"), STRICT)
    assert losses(disk, everything(disk)) == Losses(kept=frozenset({0, 1}))
    assert losses(disk, nothing(disk)) == lost(0, 1)


def test_what_is_durable_was_neither_lost_nor_kept() -> None:
    """It is not up to the crash."""
    program = Program("d", a=b"").append("a", b"x").fsync("a").create("x").create("d/y").fsync_directory("d")
    disk = disk_after(program, STRICT)
    assert losses(disk, everything(disk)) == Losses(kept=frozenset({2}))
    assert losses(disk, nothing(disk)) == lost(2)


def test_a_part_of_a_write_is_a_tear() -> None:
    """Some sectors of it are there."""
    disk = disk_after(Program(a=b"A" * 1024).write("a", 0, b"B" * 1024), STRICT)
    torn = losses(disk, Wish(0, ((1, Choice((0b01,), 0)),)))
    assert torn == Losses(torn=frozenset({0}))
    assert torn.damaged == {0}


def test_a_size_without_its_data_is_a_tear() -> None:
    """The call is there in part."""
    disk = disk_after(Program(a=b"").append("a", b"x"), STRICT)
    assert losses(disk, Wish(0, ((1, Choice((0,), 1)),))) == Losses(torn=frozenset({0}))


def test_an_append_of_several_pages_is_torn_between_them() -> None:
    """One step of its size is there, with its data, and the other is not."""
    disk = disk_after(Program(a=b"").append("a", b"x" * 8192), EXT4)
    last_step = atoms(disk)[-1]
    assert losses(disk, shrink(disk, without(everything(disk), (last_step,)))).torn == {0}


def test_files_that_no_name_reaches_do_not_count() -> None:
    """A state without the name says that the name was lost, not the data."""
    program = Program().create("a").append("a", b"x")
    states = [state for state in Enumerator(program.trace(), STRICT) if not outcome(state) and state.event == 1]
    assert [state.losses() for state in states] == []
    everywhere = [state.losses() for state in Enumerator(program.trace(), STRICT) if not outcome(state)]
    assert everywhere == [Losses()]


def test_damage_is_loss_and_tears() -> None:
    """Both are calls that the disk does not hold whole."""
    assert Losses(lost=frozenset({1}), torn=frozenset({2}), kept=frozenset({3})).damaged == {1, 2}


SITE = CallSite("store.py", 7, "put")


def test_the_last_call_before_a_marker() -> None:
    """Markers are no calls."""
    program = Program(a=b"").mark(MarkerKind.OPEN_BEGIN, -1).append("a", b"x").mark(MarkerKind.ACKNOWLEDGE, 0)
    trace = program.trace(Append("x"))
    assert [last_call(trace, event) for event in (-1, 0, 1, 2)] == [-1, -1, 1, 1]


def test_the_site_of_a_call() -> None:
    """Where there is none, none."""
    event = IoEvent("write", SITE, 0, -1)
    trace = Trace(Program().base, (event,), (), "/")
    assert [site_of(trace, number) for number in (-1, 0, 1)] == [None, SITE, None]
    assert str(SITE) == "store.py:7 in put"


def test_a_read_is_answered_while_the_next_call_has_begun() -> None:
    """The call that makes data durable is held until the reader has its answer; without one there is none."""
    program = Program(a=b"").append("a", b"x").mark(MarkerKind.OBSERVE, 0).fsync("a")
    trace = program.trace()

    assert [last_call(trace, event) for event in range(3)] == [0, 2, 2]
    assert last_call(Program(a=b"").append("a", b"x").mark(MarkerKind.OBSERVE, 0).trace(), 1) == 0


def test_a_sync_is_not_blamed_for_what_it_kept() -> None:
    """But for the call before it that changed something; a sync of nothing is all there is to name."""
    trace = Program(a=b"").append("a", b"x").fsync("a").mark(MarkerKind.ACKNOWLEDGE, 0).trace(Append("x"))

    assert [last_begun(trace, event) for event in range(3)] == [0, 0, 1]
    assert last_begun(Program(a=b"").fsync("a").trace(), 0) == 0
