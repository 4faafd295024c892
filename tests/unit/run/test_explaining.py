"""The story of a finding, in sentences, a timeline and files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import Put, Sync
from harness.core.evidence import Story
from harness.core.persistence import PROCESS_CRASH, STRICT
from harness.core.trace import Image, InodeKind, Node
from harness.core.workload import Workload
from harness.crash.losses import Losses
from harness.crash.states import Knowledge
from harness.record import uninstall
from harness.run import explaining
from harness.run.exploring import Plan
from harness.run.findings import Case, confirmed, oracle_of
from tests.stores.conduct import small_runs
from tests.stores.honest import InPlace, NoSync
from tests.stores.local import Local

KILL = Plan(PROCESS_CRASH, "process_crash", ("acknowledged",))
POWER = Plan(STRICT, "power_loss", ("acknowledged",))


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    small_runs(monkeypatch)
    yield
    uninstall()


def case_of(adapter: Any, folder: Path, plan: Plan, count: int = 2) -> tuple[Any, Case]:
    local = Local(adapter, folder)
    workload = Workload("short-0", tuple(Put(f"k{number}", f"v{number}") for number in range(count)))
    return local, max(local.cases(workload, plan), key=lambda case: case.found.knowledge.begun)


def story_of(local: Any, case: Case) -> Story:
    [confirmation] = confirmed(local, [case], local.adapter)
    trace = local.trace(case.trace_file)
    return explaining.tell(case, trace, oracle_of(local.adapter, trace), confirmation, None)


def test_a_kill_is_told_in_five_sentences(tmp_path: Path) -> None:
    """What the client was told, what was called, what reached the disk, what was found, what was expected."""
    story = story_of(*case_of(InPlace, tmp_path, KILL, 1))

    assert story.told == "The client had not been told of any success yet; Put('k0', 'v0') had begun."
    assert "in line" in story.called and "honest.py" in story.called
    assert story.reached == "The process was killed there; everything that it had written by then is on the disk."
    assert story.found.startswith("After the restart, reading the store raised JSONDecodeError")
    assert story.expected == "It should have read {} or {'k0': 'v0'}, and gone on working."


def test_a_loss_of_power_names_what_was_lost(tmp_path: Path) -> None:
    """Fates of all calls stand in the timeline, up to the crash and a little further."""
    story = story_of(*case_of(NoSync, tmp_path, POWER))

    assert story.lost and all("honest.py" in line for line in story.lost)
    assert "but for" in story.reached and "had not been synced" in story.reached
    assert {item.fate for item in story.timeline} >= {"lost", "none"}
    assert [item.index for item in story.timeline] == list(range(len(story.timeline)))
    assert story.crash_after < len(story.timeline)


def test_the_files_are_shown_as_they_were(tmp_path: Path) -> None:
    """Before the crash, after it, and after the recovery; an empty one is said to be empty."""
    story = story_of(*case_of(InPlace, tmp_path, KILL, 1))

    [after] = story.files_after_crash
    assert (after.path, after.size, after.note, after.complete) == ("pairs.json", 0, "empty", True)
    assert [view.path for view in story.files_written] == ["pairs.json"]
    assert story.source is not None and story.source.first < story.source.line
    assert "write_text" in story.source.lines[story.source.line - story.source.first]


def test_many_operations_are_told_in_short(tmp_path: Path) -> None:
    """The last three by name; and a sync, if there was one."""
    local, case = case_of(NoSync, tmp_path, POWER, 2)
    trace = local.trace(case.trace_file)
    many = dataclasses.replace(trace, operations=(*[Put(f"k{n}", "v") for n in range(9)], Sync()))
    found = dataclasses.replace(case.found, knowledge=Knowledge(acknowledged=8, begun=9, synced=5))

    told = explaining._told(found, many)

    assert told.startswith("The client had been told that 5 operations and then Put('k5', 'v'), Put('k6'")
    assert "Put('k8', 'v') had begun" in told and "the last completed Sync was operation 5" in told


def test_a_crash_before_any_call_is_told(tmp_path: Path) -> None:
    """There is no call to name, and nothing that could be lost."""
    local, case = case_of(NoSync, tmp_path, POWER)
    found = dataclasses.replace(case.found, event=-1, losses=Losses())
    trace = local.trace(case.trace_file)

    assert explaining._called(found, trace) == "The store had made no file-system call."
    assert explaining._reached(found, trace, STRICT) == "Everything that the store had written was on the disk."


def test_torn_calls_and_wrong_states_are_told(tmp_path: Path) -> None:
    """A call of which only part is there, and a state that was read but is wrong."""
    local, case = case_of(NoSync, tmp_path, POWER)
    event = min(case.found.losses.damaged)
    found = dataclasses.replace(
        case.found,
        losses=Losses(torn=frozenset((event,))),
        recovered={"k0": "x" * 500},
        violation=dataclasses.replace(case.found.violation, kind="torn_operation", sentence="half of it is there"),
    )
    trace = local.trace(case.trace_file)

    assert explaining._lost(found, trace)[0].startswith("only part of ")
    assert "characters); half of it is there." in explaining._found(found)
    assert "torn" in {item.fate for item in explaining._timeline(found, trace)}


def test_views_show_text_links_and_what_is_no_text() -> None:
    """Bytes that are no text are escaped; long files are cut, and said to be."""
    root = Node(InodeKind.DIRECTORY, entries={"a": 1, "b": 2, "c": 3, "d": 4})
    image = Image(
        {
            0: root,
            1: Node(InodeKind.FILE, content=b"\xff" + b"x" * 2000),
            2: Node(InodeKind.SYMLINK, target="a"),
            3: Node(InodeKind.FILE, content=bytes(7)),
            4: Node(InodeKind.DIRECTORY),
        }
    )

    long, link, zeros = explaining.views(image)

    assert long.preview.startswith("\\xffx") and (long.size, long.complete) == (2001, False)
    assert (link.preview, link.note) == ("a", "symbolic link")
    assert zeros.note == "NUL bytes only"


def test_source_that_cannot_be_read_is_left_out() -> None:
    """A file that is gone shows nothing."""
    assert explaining.source_view("/nowhere/at/all.py", 3) is None
