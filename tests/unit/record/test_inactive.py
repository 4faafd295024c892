"""While nothing is recorded, a patched function is the original."""

from __future__ import annotations

import fcntl
import io
import os
import sys

import pytest

from harness.record import Recorder


def use_every_call(root) -> None:
    """Each patched function once; what they did is checked by what is left behind."""
    descriptor = os.open(root / "f", os.O_CREAT | os.O_RDWR)
    os.write(descriptor, b"0")
    os.writev(descriptor, [b"1", b"2"])
    os.pwrite(descriptor, b"3", 3)
    os.pwritev(descriptor, [b"4"], 4)
    os.fsync(descriptor)
    os.fdatasync(descriptor)
    os.ftruncate(descriptor, 9)
    os.truncate(root / "f", 8)
    os.fchmod(descriptor, 0o600)
    other = os.dup(descriptor)
    os.dup2(descriptor, other)
    os.close(other)
    third = fcntl.fcntl(descriptor, fcntl.F_DUPFD, 0)
    os.closerange(third, third + 1)
    os.close(descriptor)
    os.link(root / "f", root / "g")
    os.link(root / "f", root / "h", follow_symlinks=False)
    os.rename(root / "g", root / "i")
    os.replace(root / "h", root / "j")
    os.symlink("f", root / "s")
    os.unlink(root / "i")
    os.remove(root / "j")
    os.mkdir(root / "d")
    os.mkdir(root / "e")
    os.rmdir(root / "e")
    os.mkfifo(root / "p")
    os.chmod(root / "d", 0o700)
    os.utime(root / "f", (1, 2))
    os.utime(root / "d", ns=(3, 4))
    with io.FileIO(root / "raw", "w") as raw:
        raw.write(b"abc")
        raw.truncate(2)
    os.sync()


@pytest.mark.parametrize("recording", [False, True])
def test_every_call_does_what_it_does(root, recording):
    recorder = Recorder(root)
    if recording:
        recorder.start()
    use_every_call(root)
    recorder.stop()
    assert sorted(os.listdir(root)) == ["d", "f", "p", "raw", "s"]
    assert (root / "f").read_bytes() == b"01234\0\0\0"
    assert (root / "raw").read_bytes() == b"ab"
    assert (root / "f").stat().st_mtime_ns == 2_000_000_000
    assert (root / "d").stat().st_mtime_ns == 4
    assert (root / "d").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(sys.platform != "linux", reason="calls of Linux")
@pytest.mark.parametrize("recording", [False, True])
def test_every_call_of_linux_does_what_it_does(root, recording):
    (root / "f").write_bytes(b"0123456789")
    recorder = Recorder(root)
    if recording:
        recorder.start()
    one, other = os.open(root / "f", os.O_RDONLY), os.open(root / "g", os.O_CREAT | os.O_RDWR)
    os.sendfile(other, one, 0, 2)
    os.copy_file_range(one, other, 2)
    reader, writer = os.pipe()
    os.write(writer, b"ab")
    os.splice(reader, other, 2)
    os.posix_fallocate(other, 0, 8)
    for each in (one, other, reader, writer):
        os.close(each)
    os.mknod(root / "n")
    recorder.stop()
    assert (root / "g").read_bytes() == b"0101ab\0\0"
    assert (root / "n").exists()
