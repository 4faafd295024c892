"""The exact effects of `os` functions on names and attributes, and of calls that fail."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from pathlib import Path

import pytest

from harness.core.trace import (
    AddEntry,
    FailedSync,
    InodeKind,
    NewInode,
    RemoveEntry,
    RenameEntry,
    SetMode,
    SetTimes,
    SyncFile,
    WriteData,
)
from harness.record import kernel, session
from tests.unit.record.recording import effects_of, opened, recorded

linux = pytest.mark.skipif(sys.platform != "linux", reason="a call of Linux")
NEW_FILE = [NewInode(1, InodeKind.FILE, 0o644), AddEntry(0, "f", 1)]


@pytest.mark.parametrize("name", ["rename", "replace"])
def test_renames(root, file, name):
    call = getattr(os, name)

    def rename():
        call(file, root / "g")
        opened(root / "h", os.O_CREAT | os.O_WRONLY)
        call(root / "h", root / "g")

    assert effects_of(root, rename) == [
        RenameEntry(0, "f", 0, "g", 1, None),
        NewInode(2, InodeKind.FILE, 0o644),
        AddEntry(0, "h", 2),
        RenameEntry(0, "h", 0, "g", 2, 1),
    ]


def test_rename_between_two_names_of_one_file_does_nothing(root, file):
    os.link(file, root / "g")
    assert effects_of(root, lambda: os.rename(file, root / "g")) == []
    assert file.exists()


def test_failed_rename_and_unlink_have_no_effects(root):
    def fail():
        for call in (lambda: os.rename(root / "no", root / "g"), lambda: os.unlink(root / "no")):
            with pytest.raises(FileNotFoundError):
                call()

    assert effects_of(root, fail) == []


def test_links_unlinks_and_reused_kernel_numbers(root, file):
    def change():
        os.link(file, root / "g")
        os.unlink(file)
        os.remove(root / "g")
        opened(file, os.O_CREAT | os.O_WRONLY)

    assert effects_of(root, change) == [
        AddEntry(0, "g", 1),
        RemoveEntry(0, "f", 1),
        RemoveEntry(0, "g", 1),
        NewInode(2, InodeKind.FILE, 0o644),
        AddEntry(0, "f", 2),
    ]


def test_a_file_unlinked_while_open_keeps_its_number(root, file):
    def change():
        descriptor = os.open(file, os.O_RDWR)
        os.unlink(file)
        opened(root / "g", os.O_CREAT | os.O_WRONLY, b"new")
        os.write(descriptor, b"old")
        os.close(descriptor)

    effects = effects_of(root, change)
    assert effects[0] == RemoveEntry(0, "f", 1)
    assert effects[-1] == WriteData(1, 0, b"old")
    assert WriteData(2, 0, b"new") in effects


def test_directories(root):
    def change():
        os.makedirs(root / "a" / "b")
        os.rmdir(root / "a" / "b")
        os.rename(root / "a", root / "c")

    assert effects_of(root, change) == [
        NewInode(1, InodeKind.DIRECTORY, 0o755),
        AddEntry(0, "a", 1),
        NewInode(2, InodeKind.DIRECTORY, 0o755),
        AddEntry(1, "b", 2),
        RemoveEntry(1, "b", 2),
        RenameEntry(0, "a", 0, "c", 1, None),
    ]


def test_a_slash_at_the_end_of_a_directory_changes_nothing(root):
    def change():
        os.mkdir(root / "d")
        opened(root / "d" / "f", os.O_CREAT | os.O_WRONLY)
        opened(root / "d" / "g", os.O_CREAT | os.O_WRONLY)
        os.rename(f"{root}/d/", f"{root}/e/")

    assert effects_of(root, change)[-1] == RenameEntry(0, "d", 0, "e", 1, None)


def test_a_path_through_a_renamed_directory_means_the_new_one(root):
    def change():
        os.mkdir(root / "a")
        opened(root / "a" / "f", os.O_CREAT | os.O_WRONLY)
        os.rename(root / "a", root / "b")
        os.mkdir(root / "a")
        opened(root / "a" / "f", os.O_CREAT | os.O_WRONLY)

    added = [effect for effect in effects_of(root, change) if isinstance(effect, AddEntry)]
    assert added == [
        AddEntry(0, "a", 1),
        AddEntry(1, "f", 2),
        AddEntry(0, "a", 3),
        AddEntry(3, "f", 4),
    ]


def test_symlinks_and_files_created_through_them(root):
    def change():
        os.symlink("target", root / "s")
        opened(root / "s", os.O_CREAT | os.O_WRONLY, b"x")
        opened(root / "s", os.O_WRONLY, b"y")
        os.unlink(root / "s")

    assert effects_of(root, change) == [
        NewInode(1, InodeKind.SYMLINK, 0o777, "target"),
        AddEntry(0, "s", 1),
        NewInode(2, InodeKind.FILE, 0o644),
        AddEntry(0, "target", 2),
        WriteData(2, 0, b"x"),
        WriteData(2, 0, b"y"),
        RemoveEntry(0, "s", 1),
    ]


@pytest.mark.parametrize("name", ["d/../f", "./f", "link/f", "d/back/f", "f"])
def test_all_paths_to_a_file_are_the_same(root, name, monkeypatch):
    (root / "d").mkdir()
    (root / "link").symlink_to(root)
    (root / "d" / "back").symlink_to("..")
    monkeypatch.chdir(root)
    effects = effects_of(root, lambda: opened(Path(name) if "d" in name else name, os.O_CREAT | os.O_WRONLY))
    assert [effect for effect in effects if isinstance(effect, AddEntry)] == [AddEntry(0, "f", 4)]


@pytest.mark.parametrize("as_bytes", [False, True])
def test_directory_descriptors(root, as_bytes):
    (root / "d").mkdir()

    def name(text):
        return os.fsencode(text) if as_bytes else text

    def change():
        at = os.open(root / "d", os.O_RDONLY)
        os.close(os.open(name("f"), os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=at))
        os.rename(name("f"), name("g"), src_dir_fd=at, dst_dir_fd=at)
        os.link(name("g"), name("h"), src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)
        os.mkdir(name("e"), dir_fd=at)
        os.rmdir(name("e"), dir_fd=at)
        os.symlink(name("x"), name("s"), dir_fd=at)
        os.unlink(name("h"), dir_fd=at)
        os.chmod(name("g"), 0o640, dir_fd=at)
        os.close(at)

    assert effects_of(root, change) == [
        NewInode(2, InodeKind.FILE, 0o600),
        AddEntry(1, "f", 2),
        RenameEntry(1, "f", 1, "g", 2, None),
        AddEntry(1, "h", 2),
        NewInode(3, InodeKind.DIRECTORY, 0o755),
        AddEntry(1, "e", 3),
        RemoveEntry(1, "e", 3),
        NewInode(4, InodeKind.SYMLINK, 0o777, "x"),
        AddEntry(1, "s", 4),
        RemoveEntry(1, "h", 2),
        SetMode(2, 0o640),
    ]


def test_names_that_are_no_text_are_kept(root):
    def change():
        os.mkdir(os.fsencode(root) + b"/\xff")
        os.mkdir(os.fsencode(root) + b"/trailing/")

    added = [effect for effect in effects_of(root, change) if isinstance(effect, AddEntry)]
    assert added == [AddEntry(0, "\udcff", 1), AddEntry(0, "trailing", 2)]


def test_modes_and_times(root, file):
    def change():
        os.chmod(file, 0o600)
        descriptor = os.open(file, os.O_RDWR)
        os.fchmod(descriptor, 0o640)
        os.chmod(descriptor, 0o644)
        os.utime(descriptor, (1, 2))
        os.close(descriptor)
        os.utime(file, ns=(5, 7))
        os.utime(root, ns=(5, 8))

    assert effects_of(root, change) == [
        SetMode(1, 0o600),
        SetMode(1, 0o640),
        SetMode(1, 0o644),
        SetTimes(1, 2_000_000_000),
        SetTimes(1, 7),
        SetTimes(0, 8),
    ]


def test_fifos_are_noted_and_not_recorded(root):
    with recorded(root) as recording:
        os.mkfifo(root / "p")
        descriptor = os.open(root / "p", os.O_RDWR)
        os.write(descriptor, b"abc")
        assert os.read(descriptor, 3) == b"abc"
        with open(descriptor, "wb", buffering=0, closefd=False) as stream:
            stream.write(b"x")
        os.close(descriptor)
        with open(root / "p", "r+b", buffering=0) as stream:
            stream.write(b"y")
        os.rename(root / "p", root / "q")
        os.link(root / "q", root / "p")
        os.unlink(root / "q")
    assert recording.effects == []
    assert recording.calls == ["os.mkfifo"]


def test_a_fifo_that_replaces_a_file_removes_it(root, file):
    os.mkfifo(root / "p")
    assert effects_of(root, lambda: os.rename(root / "p", file)) == [RemoveEntry(0, "f", 1)]


@linux
def test_mknod_makes_regular_files_too(root):
    assert effects_of(root, lambda: os.mknod(root / "f", 0o644 | stat.S_IFREG)) == NEW_FILE


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("os.write", (-1, b"x")),
        ("os.fsync", (-1,)),
        ("os.fsync", ("no descriptor",)),
        ("os.fdatasync", (10**6,)),
        ("os.ftruncate", (-1, 0)),
        ("os.writev", (-1, [b"x"])),
        ("os.close", (-1,)),
        ("os.dup", (-1,)),
        ("os.open", (3.5, os.O_CREAT)),
        ("os.open", ("a\0b", os.O_CREAT)),
        ("os.truncate", ("/no/such/file", 0)),
        ("os.rename", (None, "x")),
        ("os.mkdir", (7,)),
        ("os.chmod", ("/no/such/file", 0)),
        ("os.fchmod", (-1, 0)),
        ("os.utime", ("/no/such/file",)),
        ("os.link", ("/no/such/file", "/no/such/link")),
        ("os.symlink", ("x", "/no/such/link")),
        ("fcntl.fcntl", (-1, fcntl.F_GETFL)),
        ("os.pwrite", ("x", b"", 0)),
    ],
)
def test_errors_are_those_of_the_real_call(root, call, arguments):
    module, name = call.split(".")
    call = getattr({"os": os, "fcntl": fcntl}[module], name)
    with pytest.raises((OSError, TypeError, ValueError)) as real:
        call(*arguments)
    with recorded(root) as recording, pytest.raises((OSError, TypeError, ValueError)) as seen:
        call(*arguments)
    assert type(seen.value) is type(real.value)
    assert str(seen.value) == str(real.value)
    assert recording.effects == []


def test_a_full_sync_by_fcntl_is_a_sync(root, file, monkeypatch):
    monkeypatch.setattr(session, "_FULL_SYNC", fcntl.F_GETFD)  # stands for macOS's F_FULLFSYNC

    def sync():
        descriptor = os.open(file, os.O_RDWR)
        fcntl.fcntl(descriptor, fcntl.F_GETFD)
        os.close(descriptor)

    assert effects_of(root, sync) == [SyncFile(1, True)]


@pytest.mark.parametrize("call", ["write", "fsync", "ftruncate"])
def test_a_call_that_fails_outside_is_no_event(root, call):
    (root.parent / "other").write_bytes(b"x")
    descriptor = os.open(root.parent / "other", os.O_RDONLY)
    arguments = {"write": (descriptor, b"x"), "fsync": (descriptor,), "ftruncate": (descriptor, 0)}[call]
    with recorded(root) as recording:
        try:
            getattr(os, call)(*arguments)
        except OSError:
            pass
    os.close(descriptor)
    assert recording.events == []


def test_a_failed_sync_is_told_because_it_leaves_pages_that_count_as_clean(root, file, monkeypatch):
    def refuse(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(kernel, "fsync", refuse)
    with recorded(root) as recording:
        descriptor = os.open(file, os.O_RDWR)
        with pytest.raises(OSError, match="Input/output"):
            os.fsync(descriptor)
        os.close(descriptor)
    assert [(event.call, event.effects, event.detail) for event in recording.events] == [
        ("os.fsync", (FailedSync(1),), "f: OSError")
    ]


def test_read_only_descriptors_of_special_files_are_left_alone(root):
    os.mkfifo(root / "p")
    with recorded(root) as recording:
        descriptor = os.open(root / "p", os.O_RDWR | os.O_CREAT | os.O_NONBLOCK)
        os.close(descriptor)
    assert recording.events == []


def test_removing_what_is_open_by_its_directory_name(root):
    def change():
        os.mkdir(root / "d")
        os.unlink(b"".join((os.fsencode(root), b"/d/../f")))

    (root / "f").write_bytes(b"")
    assert effects_of(root, change)[-1] == RemoveEntry(0, "f", 1)


def test_details_name_paths_relative_to_the_directory(root, file):
    with recorded(root) as recording:
        os.makedirs(root / "a" / "b")
        opened(root / "a" / "b" / "g", os.O_CREAT | os.O_WRONLY, b"abc")
        os.rename(root / "a", root / "c")
        os.truncate(root / "c" / "b" / "g", 1)
        os.link(file, root / "g")
        descriptor = os.open(root, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    assert [event.detail for event in recording.events] == [
        "a, mode 0755",
        "a/b, mode 0755",
        "a/b/g, mode 0644",
        "a/b/g, 3 bytes at 0",
        "a -> c",
        "c/b/g to 1 bytes",
        "f -> g",
        ".",
    ]
