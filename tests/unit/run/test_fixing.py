"""The cheapest change of a trace after which a finding is gone, found by trying."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import LOG, Append, Delete, Put
from harness.core.persistence import PROCESS_CRASH, STRICT
from harness.core.trace import (
    AddEntry,
    CallSite,
    InodeKind,
    IoEvent,
    Marker,
    MarkerKind,
    NewInode,
    RemoveEntry,
    RenameEntry,
    SetSize,
    SyncFile,
    Trace,
    WriteData,
    empty_image,
)
from harness.core.workload import Workload
from harness.record import uninstall
from harness.record.replay import replay
from harness.run import fixing
from harness.run.exploring import Plan
from harness.run.findings import Case
from harness.run.fixing import find_fixes
from tests.stores.conduct import small_runs
from tests.stores.honest import InPlace, NoSync, Sound, sync_directory
from tests.stores.local import Local

KILL = Plan(PROCESS_CRASH, "process_crash", ("acknowledged",))
POWER = Plan(STRICT, "power_loss", ("acknowledged",))
WORKLOAD = Workload("short-0", (Put("a", "1"), Put("b", "2"), Delete("a")))


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    small_runs(monkeypatch)
    yield
    uninstall()


class NoDirectorySync(Sound):
    def write(self, path: Path, pairs: dict[str, str]) -> None:
        beside = path.with_name("pairs.new")
        beside.write_text(str(pairs).replace("'", '"'))
        descriptor = os.open(beside, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        os.replace(beside, path)


class Overwrites(Sound):
    """Keeps its one file and writes it anew in place, as TinyDB does; an empty file is an empty store."""

    def open(self, directory: Path) -> Path:
        path = super().open(directory)
        path.touch()
        sync_directory(directory)
        return path

    def read(self, path: Path) -> dict[str, str]:
        return super().read(path) if path.stat().st_size else {}

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        with open(path, "r+") as stream:
            stream.write(str(pairs).replace("'", '"'))
            stream.truncate()
            os.fsync(stream.fileno())


class Lines:
    """A log of lines without any checksum."""

    name = "lines"
    model = LOG
    contract = Sound.contract

    def open(self, directory: Path) -> Path:
        path = directory / "log"
        path.touch()
        sync_directory(directory)
        return path

    def apply(self, path: Path, operation: Append) -> None:
        with open(path, "ab", buffering=0) as stream:
            stream.write(operation.record.encode().hex().encode() + b"\n")
            os.fsync(stream.fileno())

    def snapshot(self, path: Path) -> list[str]:
        return [bytes.fromhex(line).decode() for line in path.read_text().splitlines()]

    def close(self, path: Path) -> None:
        pass


def fixes(adapter: Any, folder: Path, plan: Plan, workload: Workload = WORKLOAD) -> dict[str, Any]:
    local: Any = Local(adapter, folder)
    found = local.cases(workload, plan)
    assert found
    names = [f"{case.found.violation.kind} {case.found.site.line}" for case in found]
    return dict(zip(names, find_fixes(local, found), strict=True))


# --- found ------------------------------------------------------------------------------------


def test_a_missing_sync_of_the_file_is_the_fix(tmp_path: Path) -> None:
    """After the write, in the line that wrote."""
    found = fixes(NoSync, tmp_path, POWER)

    assert all(fix.works and "fsync on the file after the write in line" in fix.sentence for fix in found.values())
    assert all(site.function == "Sound.write" for fix in found.values() for site in fix.sites)


def test_a_missing_sync_of_the_directory_is_the_fix(tmp_path: Path) -> None:
    """After the rename."""
    found = fixes(NoDirectorySync, tmp_path, POWER)

    assert any(fix.works and "fsync on the directory after the os.replace" in fix.sentence for fix in found.values())


def test_what_no_change_mends_is_said_to_need_another_step(tmp_path: Path) -> None:
    """With the number of changes that were tried."""
    [fix] = fixes(InPlace, tmp_path, KILL).values()

    assert (fix.works, fix.tried) == (False, 1)
    assert fix.sentence.startswith("Nothing that was written is lost, so no sync helps")
    assert fix.sentence.endswith("1 change was tried on the trace; none is enough.")


def test_a_torn_append_needs_records_that_can_be_checked(tmp_path: Path) -> None:
    """No sync helps, and nobody writes a log anew for each record."""
    for plan in (KILL, POWER):
        folder = tmp_path / plan.claim
        folder.mkdir()
        found = fixes(Lines, folder, plan, Workload("short-0", (Append("a"), Append("b" * 5_000))))
        assert found and not any(fix.works for fix in found.values())
        assert all("its length and a checksum, and cut the damaged tail off" in fix.sentence for fix in found.values())


def test_a_file_that_is_overwritten_is_better_written_beside(tmp_path: Path) -> None:
    """Syncing alone does not help: the old content is gone before the new one is whole."""
    for plan in (KILL, POWER):
        folder = tmp_path / plan.claim
        folder.mkdir()
        found = fixes(Overwrites, folder, plan)
        assert all(fix.works and "Write the new content to a temporary file" in fix.sentence for fix in found.values())


def test_a_change_that_only_moves_a_hang_is_no_fix(tmp_path: Path) -> None:
    """Another call is blamed for the same hang; a violation of another kind must be at the same call to count."""
    local: Any = Local(NoSync, tmp_path)
    case: Case = local.cases(WORKLOAD, POWER)[0]
    elsewhere = dataclasses.replace(case.found, site=CallSite("other.py", 1, "write"))
    hang = dataclasses.replace(elsewhere, violation=dataclasses.replace(case.found.violation, kind="hang"))

    assert fixing._shows(case, [elsewhere, case.found]) and not fixing._shows(case, [elsewhere, hang])
    assert fixing._shows(dataclasses.replace(case, found=dataclasses.replace(hang, site=None)), [hang])


def test_a_finding_without_a_call_has_no_fix(tmp_path: Path) -> None:
    """There is no line where a change would help."""
    local: Any = Local(NoSync, tmp_path)
    case: Case = local.cases(WORKLOAD, POWER)[0]
    bare = dataclasses.replace(case.found, site=None, losses=type(case.found.losses)())

    [fix] = find_fixes(local, [dataclasses.replace(case, found=bare)])

    assert (fix.works, fix.tried) == (False, 0)


# --- changes of a trace -----------------------------------------------------------------------

WRITE, MOVE = CallSite("s.py", 1, "write"), CallSite("s.py", 2, "move")


def event(*effects: Any, site: CallSite | None = WRITE, call: str = "write", marker: Marker | None = None) -> IoEvent:
    return IoEvent(call, site, 0, 0, effects, marker=marker)


def trace_of(*events: IoEvent) -> Trace:
    return Trace(empty_image(), events, (), "")


NEW = event(NewInode(1, InodeKind.FILE, 0o644), AddEntry(0, "f", 1), site=CallSite("s.py", 3, "new"), call="open")
END = event(site=None, marker=Marker(MarkerKind.ACKNOWLEDGE, 0))


def test_a_change_keeps_every_name_for_its_file() -> None:
    """A program that does something else after a change can't be told from the recorded trace."""
    data, rename = event(WriteData(1, 0, b"x")), event(RenameEntry(0, "f", 0, "g", 1, None), site=MOVE)
    agree = fixing._names_agree

    assert agree(trace_of(NEW, data, rename))
    assert not agree(trace_of(data, NEW, rename)), "written before it was made"
    assert not agree(trace_of(NEW, rename, rename)), "moved twice"
    assert not agree(trace_of(NEW, event(RenameEntry(0, "f", 0, "g", 1, 7)))), "replaces what is not there"
    assert not agree(trace_of(NEW, NEW)), "made twice"
    assert not agree(trace_of(event(RemoveEntry(0, "f", 1)))), "removed before it was made"
    assert agree(trace_of(NEW, event(RemoveEntry(0, "f", 1))))


def test_a_file_written_beside_has_the_same_content_at_every_moment() -> None:
    """The changed trace leaves what the recorded one leaves, with a rename where it wrote in place."""
    trace = trace_of(
        NEW,
        event(WriteData(1, 0, b"first version")),
        END,
        event(SetSize(1, 0)),
        event(WriteData(1, 0, b"second")),
        event(SyncFile(1, entries=True)),
        END,
        event(SetSize(1, 8)),
        END,
        event(WriteData(1, 8, b"!")),
        event(WriteData(1, 12, b"?")),
        event(WriteData(1, 0, b"S")),
    )

    [change] = fixing._beside(trace, WRITE)

    files = [replay(some).nodes for some in (trace, change.trace)]
    contents = [nodes[nodes[0].entries["f"]].content for nodes in files]
    assert contents[0] == contents[1]
    assert sum(isinstance(e, RenameEntry) for item in change.trace.events for e in item.effects) == 3


def test_a_file_that_only_grows_is_not_written_beside() -> None:
    """There is nothing to protect, and nothing without a call site."""
    trace = trace_of(NEW, event(WriteData(1, 0, b"a")), event(WriteData(1, 1, b"b")))

    assert not list(fixing._beside(trace, WRITE))
    assert not list(fixing._beside(trace, None))
