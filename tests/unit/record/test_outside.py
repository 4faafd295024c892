"""Files that come in from outside, leave, or stay there."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from harness.core.trace import (
    AddEntry,
    InodeKind,
    NewInode,
    RemoveEntry,
    RenameEntry,
    SetMode,
    SetSize,
    SyncFile,
    SyncRange,
    WriteData,
)
from harness.record.identity import neutral_path
from tests.unit.record.recording import effects_of, recorded


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    directory = tmp_path / "outside"
    directory.mkdir()
    return directory


def written(path: Path, *parts: bytes, sync_after: int = -1, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | flags, 0o600)
    for index, part in enumerate(parts):
        os.write(descriptor, part)
        if index == sync_after:
            os.fsync(descriptor)
    os.close(descriptor)


@pytest.mark.parametrize("bring", [os.rename, os.link])
def test_a_synced_file_from_outside_arrives_synced(root, outside, bring):
    def change():
        written(outside / "t", b"ab", sync_after=0)
        getattr(os, bring.__name__)(outside / "t", root / "f")

    with recorded(root) as recording:
        change()
    assert [list(event.effects) for event in recording.events] == [
        [NewInode(1, InodeKind.FILE, 0o600), WriteData(1, 0, b"ab"), SyncFile(1, True), AddEntry(0, "f", 1)]
    ]
    assert recording.trace.outside == ("../outside/t",)


def test_what_was_written_after_the_sync_arrives_unsynced(root, outside):
    def change():
        written(outside / "t", b"ab", b"cd", sync_after=0)
        os.chmod(outside / "t", 0o644)
        os.truncate(outside / "t", 3)
        os.replace(outside / "t", root / "f")

    assert effects_of(root, change) == [
        NewInode(1, InodeKind.FILE, 0o600),
        WriteData(1, 0, b"ab"),
        SyncFile(1, True),
        WriteData(1, 2, b"cd"),
        SetMode(1, 0o644),
        SetSize(1, 3),
        AddEntry(0, "f", 1),
    ]


def test_synchronous_writes_outside_arrive_as_such(root, outside):
    def change():
        written(outside / "t", b"ab", flags=os.O_DSYNC)
        os.replace(outside / "t", root / "f")

    assert SyncRange(1, 0, 2) in effects_of(root, change)


def test_sync_of_everything_covers_files_outside(root, outside):
    def change():
        written(outside / "t", b"ab")
        os.sync()
        os.replace(outside / "t", root / "f")

    assert effects_of(root, change)[-2:] == [SyncFile(1, True), AddEntry(0, "f", 1)]


def test_an_old_file_arrives_durable(root, outside):
    (outside / "t").write_bytes(b"old")
    assert effects_of(root, lambda: os.rename(outside / "t", root / "f")) == [
        NewInode(1, InodeKind.FILE, 0o644),
        WriteData(1, 0, b"old"),
        SyncFile(1, True),
        AddEntry(0, "f", 1),
    ]


@pytest.mark.parametrize("synced", [True, False])
def test_an_old_file_that_was_changed_is_durable_only_if_synced(root, outside, synced):
    (outside / "t").write_bytes(b"old")

    def change():
        written(outside / "t", b"new", sync_after=0 if synced else -1)
        os.rename(outside / "t", root / "f")

    effects = effects_of(root, change)
    assert effects[1] == WriteData(1, 0, b"new")
    assert (SyncFile(1, True) in effects) is synced


def test_an_arrival_replaces_what_was_there(root, outside):
    (root / "f").write_bytes(b"x")

    def change():
        written(outside / "t", b"ab")
        os.rename(outside / "t", root / "f")
        written(root / "f", b"c")

    effects = effects_of(root, change)
    assert effects[-2:] == [AddEntry(0, "f", 2), WriteData(2, 0, b"c")]


def test_leaving_is_a_removal_and_coming_back_an_entry(root, outside):
    (root / "f").write_bytes(b"x")

    def change():
        os.rename(root / "f", outside / "t")
        os.rename(outside / "t", outside / "u")
        written(outside / "u", b"y")
        os.rename(outside / "u", root / "g")

    with recorded(root) as recording:
        change()
    assert recording.effects == [RemoveEntry(0, "f", 1), WriteData(1, 0, b"y"), AddEntry(0, "g", 1)]


def test_a_tree_arrives_whole(root, outside):
    (outside / "d" / "e").mkdir(parents=True)
    (outside / "d" / "old").write_bytes(b"old")
    (outside / "d" / "s").symlink_to("old")
    os.link(outside / "d" / "old", outside / "d" / "e" / "twin")
    os.mkfifo(outside / "d" / "p")

    def change():
        written(outside / "d" / "new", b"new")
        os.rename(outside / "d", root / "d")
        os.rename(root / "d", root / "g")
        written(root / "g" / "e" / "h", b"h")

    with recorded(root) as recording:
        change()
    arrival = recording.events[0].effects
    assert arrival[-1] == AddEntry(0, "d", arrival[0].inode)
    assert len([effect for effect in arrival if isinstance(effect, NewInode)]) == 5
    assert recording.events[2].detail.startswith("g/e/h")


def test_a_known_file_in_an_unknown_directory_comes_back(root, outside):
    (root / "f").write_bytes(b"x")
    (outside / "d").mkdir()

    def change():
        os.rename(root / "f", outside / "d" / "f")
        os.rename(outside / "d", root / "d")

    assert effects_of(root, change) == [
        RemoveEntry(0, "f", 1),
        NewInode(2, InodeKind.DIRECTORY, 0o755),
        AddEntry(2, "f", 1),
        AddEntry(0, "d", 2),
    ]


def test_a_tree_that_left_goes_on_being_recorded(root, outside):
    (root / "d").mkdir()

    def change():
        os.rename(root / "d", outside / "d")
        written(outside / "d" / "f", b"x")
        os.rename(outside / "d" / "f", outside / "d" / "g")
        os.rename(outside / "d", root / "e")

    effects = effects_of(root, change)
    assert effects[0] == RemoveEntry(0, "d", 1)
    assert effects[-2:] == [RenameEntry(1, "f", 1, "g", 2, None), AddEntry(0, "e", 1)]


def test_a_nameless_file_made_outside_arrives(root, outside):
    if not hasattr(os, "O_TMPFILE"):
        return

    def change():
        descriptor = os.open(outside, os.O_TMPFILE | os.O_RDWR, 0o600)
        os.write(descriptor, b"ab")
        at = os.open("/", os.O_RDONLY)
        os.link(f"/proc/self/fd/{descriptor}", root / "f", src_dir_fd=at)
        os.close(at)
        os.close(descriptor)

    assert effects_of(root, change) == [
        NewInode(1, InodeKind.FILE, 0o600),
        WriteData(1, 0, b"ab"),
        AddEntry(0, "f", 1),
    ]


def test_work_outside_is_no_event_but_noted(root, outside):
    (outside / "old").write_bytes(b"x" * 100)

    def change():
        written(outside / "a", b"x")
        os.rename(outside / "a", outside / "b")
        os.unlink(outside / "b")
        os.mkdir(outside / "d")
        os.symlink("x", outside / "s")
        os.link(outside / "old", outside / "hard")
        (outside / "old").read_bytes()
        os.truncate(outside / "old", 3)
        with open(outside / "text", "a") as stream:
            stream.write("x")
        os.chmod(outside / "text", 0o600)
        os.utime(outside / "text")
        if hasattr(os, "mknod"):
            os.mknod(outside / "node")

    with recorded(root) as recording:
        change()
    assert recording.events == []
    assert recording.trace.outside == tuple(
        f"../outside/{name}" for name in ("a", *(["node"] if hasattr(os, "mknod") else []), "old", "text")
    )


def test_a_descriptor_opened_outside_before_is_noted_when_written(root, outside):
    descriptor = os.open(outside / "log", os.O_CREAT | os.O_RDWR)
    with recorded(root) as recording:
        os.write(descriptor, b"x")
        os.ftruncate(descriptor, 0)
    os.close(descriptor)
    assert recording.trace.outside == ("../outside/log",)


def test_files_on_other_devices_are_noted_without_their_data(root):
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == root.stat().st_dev:
        return
    with recorded(root) as recording, tempfile.NamedTemporaryFile(dir=other) as stream:
        stream.write(b"x" * 100_000)
        stream.truncate(5)
        shutil.copyfile(stream.name, root / "copy")
    assert recording.trace.outside == ("/dev/shm/tmp*",)
    assert recording.calls == ["open", "os.sendfile"]


def test_temporary_files_elsewhere_have_neutral_names(root, tmp_path):
    assert neutral_path(str(tmp_path / "x" / "tmpabcd_123.json"), str(root)) == "../x/tmp*.json"
    assert neutral_path(str(tmp_path / "x" / "tmpABCD_123"), str(root)) == "../x/tmpABCD_123"
    assert neutral_path(tempfile.gettempdir() + "/tmpabcd1234/f", "/elsewhere/root") == "$TMPDIR/tmp*/f"
    assert neutral_path(os.path.expanduser("~") + "/f", "/elsewhere/root") == "~/f"
    assert neutral_path("/var/lib/f", "/elsewhere/root") == "/var/lib/f"


def test_importing_a_module_writes_byte_code_that_is_not_the_stores(root, tmp_path, monkeypatch):
    (tmp_path / "fresh_module_for_the_recorder.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    with recorded(root) as recording:
        __import__("fresh_module_for_the_recorder")
    assert list((tmp_path / "__pycache__").iterdir()) != []
    assert recording.trace.outside == ()
