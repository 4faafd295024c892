"""The exact effects of `os` functions on data and descriptors."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

import pytest

from harness.core.trace import (
    AddEntry,
    InodeKind,
    NewInode,
    SetSize,
    SyncAll,
    SyncDirectory,
    SyncFile,
    SyncRange,
    WriteData,
)
from tests.unit.record.recording import effects_of, opened, recorded

linux = pytest.mark.skipif(sys.platform != "linux", reason="a call of Linux")
NEW_FILE = [NewInode(1, InodeKind.FILE, 0o644), AddEntry(0, "f", 1)]


def test_creating_open_makes_an_inode_and_an_entry_in_one_event(root):
    with recorded(root) as recording:
        opened(root / "f", os.O_CREAT | os.O_WRONLY)
    assert [list(event.effects) for event in recording.events] == [NEW_FILE]
    assert recording.calls == ["os.open"]


def test_opening_to_read_is_no_event(root, file):
    assert effects_of(root, lambda: opened(file, os.O_RDONLY)) == []
    with recorded(root) as recording:
        file.read_bytes()
    assert recording.events == []


def test_creating_open_of_an_existing_file_has_no_effect(root, file):
    assert effects_of(root, lambda: opened(file, os.O_CREAT | os.O_RDWR)) == []


def test_truncating_open_sets_the_size(root, file):
    assert effects_of(root, lambda: opened(file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)) == [SetSize(1, 0)]


def test_exclusive_open_creates_and_a_failed_one_has_no_effects(root):
    def twice():
        opened(root / "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        with pytest.raises(FileExistsError):
            opened(root / "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)

    with recorded(root) as recording:
        twice()
    assert recording.effects == NEW_FILE
    assert [(event.call, event.detail) for event in recording.events][1] == ("os.open", "f: FileExistsError")


def test_writes_have_offset_and_data(root, file):
    assert effects_of(root, lambda: opened(file, os.O_WRONLY, b"ab", b"cd")) == [
        WriteData(1, 0, b"ab"),
        WriteData(1, 2, b"cd"),
    ]


def test_appended_writes_have_the_offset_where_they_landed(root, file):
    def twice():
        one = os.open(file, os.O_WRONLY | os.O_APPEND)
        other = os.open(file, os.O_WRONLY | os.O_APPEND)
        os.write(one, b"a")
        os.write(other, b"b")
        os.write(one, b"c")
        os.close(one)
        os.close(other)

    assert effects_of(root, twice) == [WriteData(1, 10, b"a"), WriteData(1, 11, b"b"), WriteData(1, 12, b"c")]


@pytest.mark.parametrize("data", [bytearray(b"abc"), memoryview(b"xabcx")[1:4], memoryview(b"abc")])
def test_any_buffer_can_be_written(root, file, data):
    assert effects_of(root, lambda: opened(file, os.O_WRONLY, data)) == [WriteData(1, 0, b"abc")]


def test_buffers_of_wide_items_are_recorded_by_their_bytes(root, file):
    wide = memoryview(b"12345678").cast("I")
    assert effects_of(root, lambda: opened(file, os.O_WRONLY, wide)) == [WriteData(1, 0, b"12345678")]


def test_empty_write_has_no_effect(root, file):
    assert effects_of(root, lambda: opened(file, os.O_WRONLY, b"")) == []


def test_short_write_records_what_was_written(root, file):
    import resource
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with recorded(root) as recording:
        descriptor = os.open(file, os.O_WRONLY)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4, limits[1]))
        try:
            assert os.write(descriptor, b"abcdefgh") == 4
            with pytest.raises(OSError, match="File too large"):
                os.write(descriptor, b"x")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, before)
            os.close(descriptor)
    assert recording.effects == [WriteData(1, 0, b"abcd")]
    assert recording.events[-1].detail == "f: OSError"


def test_vector_write_is_one_write_of_all_buffers(root, file):
    def write():
        descriptor = os.open(file, os.O_WRONLY)
        os.writev(descriptor, [b"ab", bytearray(b"cd")])
        os.close(descriptor)

    assert effects_of(root, write) == [WriteData(1, 0, b"abcd")]


def test_positioned_writes_have_their_own_offset(root, file):
    def write():
        descriptor = os.open(file, os.O_RDWR)
        os.pwrite(descriptor, b"ab", 3)
        os.pwritev(descriptor, [b"c", b"d"], 7)
        os.write(descriptor, b"e")
        os.close(descriptor)

    assert effects_of(root, write) == [
        WriteData(1, 3, b"ab"),
        WriteData(1, 7, b"cd"),
        WriteData(1, 0, b"e"),
    ]


@linux
def test_positioned_write_to_an_appending_descriptor_appends(root, file):
    def write():
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND)
        os.pwrite(descriptor, b"ab", 3)
        os.close(descriptor)

    assert effects_of(root, write) == [WriteData(1, 10, b"ab")]


@linux
def test_flags_of_pwritev_append_and_sync(root, file):
    def write():
        descriptor = os.open(file, os.O_RDWR)
        os.pwritev(descriptor, [b"ab"], 3, os.RWF_DSYNC)
        os.pwritev(descriptor, [b"c"], -1)
        os.close(descriptor)

    assert effects_of(root, write) == [WriteData(1, 3, b"ab"), SyncRange(1, 3, 2), WriteData(1, 0, b"c")]


@pytest.mark.parametrize("flag", [os.O_DSYNC, os.O_SYNC])
def test_synchronous_descriptors_sync_what_they_write(root, file, flag):
    assert effects_of(root, lambda: opened(file, os.O_WRONLY | flag, b"ab")) == [
        WriteData(1, 0, b"ab"),
        SyncRange(1, 0, 2),
    ]


def copied(call, source: bytes, file: Path, root: Path, *arguments) -> list:
    (root.parent / "source").write_bytes(source)

    def copy():
        one = os.open(root.parent / "source", os.O_RDONLY)
        other = os.open(file, os.O_WRONLY)
        os.lseek(other, 2, os.SEEK_SET)
        call(one, other)
        os.close(one)
        os.close(other)

    return effects_of(root, copy)


@linux
def test_copies_inside_the_kernel_are_read_back(root, file):
    assert copied(lambda one, other: os.sendfile(other, one, 1, 3), b"abcdef", file, root) == [
        WriteData(1, 2, b"bcd")
    ]
    assert copied(lambda one, other: os.copy_file_range(one, other, 3), b"abcdef", file, root) == [
        WriteData(1, 2, b"abc")
    ]
    assert copied(lambda one, other: os.copy_file_range(one, other, 2, 1, 5), b"abcdef", file, root) == [
        WriteData(1, 5, b"bc")
    ]


@linux
def test_splice_from_a_pipe_is_read_back(root, file):
    def splice():
        reader, writer = os.pipe()
        os.write(writer, b"abc")
        descriptor = os.open(file, os.O_WRONLY)
        os.splice(reader, descriptor, 3, offset_dst=4)
        for each in (reader, writer, descriptor):
            os.close(each)

    assert effects_of(root, splice) == [WriteData(1, 4, b"abc")]


@linux
def test_copies_to_pipes_are_no_events(root, file):
    def send():
        reader, writer = os.pipe()
        descriptor = os.open(file, os.O_RDONLY)
        os.sendfile(writer, descriptor, 0, 3)
        os.writev(writer, [b"x"])
        assert os.read(reader, 9) == b"012x"
        for each in (reader, writer, descriptor):
            os.close(each)

    with recorded(root) as recording:
        send()
    assert recording.events == []


def test_truncations_set_the_size(root, file):
    def truncate():
        os.truncate(file, 4)
        descriptor = os.open(file, os.O_RDWR)
        os.ftruncate(descriptor, 8)
        os.truncate(descriptor, 2)
        os.close(descriptor)

    assert effects_of(root, truncate) == [SetSize(1, 4), SetSize(1, 8), SetSize(1, 2)]


@linux
def test_allocation_sets_the_size_only_if_the_file_grows(root, file):
    def allocate():
        descriptor = os.open(file, os.O_RDWR)
        os.posix_fallocate(descriptor, 0, 5)
        os.posix_fallocate(descriptor, 8, 8)
        os.close(descriptor)

    assert effects_of(root, allocate) == [SetSize(1, 16)]


def test_syncs_of_files(root, file):
    def sync():
        descriptor = os.open(file, os.O_RDWR)
        os.fsync(descriptor)
        os.fdatasync(descriptor)
        with file.open("rb") as stream:
            os.fsync(stream)
        os.sync()
        os.close(descriptor)

    assert effects_of(root, sync) == [
        SyncFile(1, True),
        SyncFile(1, False),
        SyncFile(1, True),
        SyncAll(),
    ]


def test_syncs_of_directories(root):
    (root / "d").mkdir()

    def sync():
        for path in (root, root / "d"):
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    assert effects_of(root, sync) == [SyncDirectory(0), SyncDirectory(1)]


def test_a_descriptor_from_before_the_recording_is_known(root, file):
    descriptor = os.open(file, os.O_RDWR | os.O_DSYNC)
    assert effects_of(root, lambda: os.write(descriptor, b"a")) == [WriteData(1, 0, b"a"), SyncRange(1, 0, 1)]
    os.close(descriptor)


@linux
def test_a_file_without_a_name_gets_one_by_a_link(root):
    def change():
        descriptor = os.open(root, os.O_TMPFILE | os.O_RDWR, 0o600)
        os.write(descriptor, b"abc")
        os.fsync(descriptor)
        at = os.open("/proc/self/fd", os.O_RDONLY)
        os.link(str(descriptor), root / "f", src_dir_fd=at, follow_symlinks=True)
        os.close(at)
        os.close(descriptor)

    assert effects_of(root, change) == [
        NewInode(1, InodeKind.FILE, 0o600),
        WriteData(1, 0, b"abc"),
        SyncFile(1, True),
        AddEntry(0, "f", 1),
    ]


def test_duplicated_descriptors_mean_the_same_file(root, file):
    def change():
        one = os.open(file, os.O_RDWR | os.O_DSYNC)
        two = os.dup(one)
        three = fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 0)
        four = os.dup2(one, os.open(root, os.O_RDONLY))
        for descriptor, data in ((one, b"a"), (two, b"b"), (three, b"c"), (four, b"d")):
            os.write(descriptor, data)
            os.close(descriptor)

    written = [effect for effect in effects_of(root, change) if isinstance(effect, WriteData)]
    assert written == [WriteData(1, at, data) for at, data in enumerate((b"a", b"b", b"c", b"d"))]


def test_descriptors_copied_from_unrecorded_ones_are_looked_up(root, file):
    descriptor = os.open(file, os.O_RDWR)

    def change():
        other = os.dup(descriptor)
        os.write(other, b"a")
        os.closerange(other, other + 1)

    assert effects_of(root, change) == [WriteData(1, 0, b"a")]
    os.close(descriptor)


def test_append_mode_that_is_switched_on_later(root, file):
    def change():
        descriptor = os.open(file, os.O_RDWR)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
        os.write(descriptor, b"a")
        os.pwrite(descriptor, b"b", 0)
        os.close(descriptor)

    assert effects_of(root, change) == [WriteData(1, 10, b"a"), WriteData(1, 11, b"b")]


def test_a_reused_descriptor_number_means_the_new_file(root, file):
    def change():
        first = os.open(file, os.O_RDWR)
        os.write(first, b"a")
        os.closerange(first, first + 1)
        second = os.open(root / "g", os.O_CREAT | os.O_RDWR)
        assert second == first
        os.write(second, b"b")
        os.close(second)

    written = [effect for effect in effects_of(root, change) if isinstance(effect, WriteData)]
    assert written == [WriteData(1, 0, b"a"), WriteData(2, 0, b"b")]
