"""The gate that fails calls: which ones, how many, and what a disk that is getting full still takes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.record import kernel
from harness.run.live.saboteur import SHORT_WRITE, Saboteur


@pytest.fixture
def saboteur(tmp_path: Path) -> Iterator[Saboteur]:
    (tmp_path / "data").mkdir()
    gate = Saboteur(str(tmp_path / "data"))
    with kernel.engage(gate):
        yield gate


def test_the_nth_call_fails_and_no_other(saboteur: Saboteur, tmp_path: Path) -> None:
    """Only calls about the directory count, and only those with the name."""
    saboteur.arm("EIO", 2, "write", times=2)
    with open(tmp_path / "elsewhere", "wb", buffering=0) as other, open(tmp_path / "data/f", "wb", buffering=0) as file:
        other.write(b"1")
        file.write(b"1")
        os.fsync(file.fileno())
        for _ in range(2):
            with pytest.raises(OSError) as caught:
                os.write(file.fileno(), b"2")
            assert caught.value.errno == errno.EIO
        file.write(b"3")
    taken = saboteur.take()
    assert [(item.call, item.fault) for item in taken] == [("write", "EIO")] * 2
    assert taken[0].site is not None and taken[0].site.file == __file__
    assert saboteur.take() == () and (tmp_path / "data/f").read_bytes() == b"13"


def test_a_short_write_is_short(saboteur: Saboteur, tmp_path: Path) -> None:
    """What can't be cut is let through; disarmed, all is."""
    saboteur.arm(SHORT_WRITE, 1)
    with open(tmp_path / "data/f", "wb", buffering=0) as file:
        assert file.write(b"1") == 1
        assert file.write(b"23456") == 2
        saboteur.arm(SHORT_WRITE, 1)
        saboteur.disarm()
        assert file.write(b"789") == 3


def test_only_what_needs_room_fails_for_want_of_it(saboteur: Saboteur, tmp_path: Path) -> None:
    """Creating, appending and reserving need room; overwriting, renaming, removing and reading do not."""
    data = tmp_path / "data"
    (data / "old").write_bytes(b"12345")
    saboteur.fill(0)
    with open(data / "old", "r+b", buffering=0) as file:
        assert file.write(b"abc") == 3
        assert os.pwrite(file.fileno(), b"de", 3) == 2
        with pytest.raises(OSError, match="No space left"):
            os.pwrite(file.fileno(), b"de", 4)
        with pytest.raises(OSError, match="No space left"):
            os.posix_fallocate(file.fileno(), 0, 100)
        file.truncate(2)
    descriptor = os.open(data / "old", os.O_WRONLY | os.O_APPEND)
    with pytest.raises(OSError, match="No space left"):
        os.write(descriptor, b"x")
    os.close(descriptor)
    os.replace(data / "old", data / "new")
    for make in (lambda: open(data / "more", "w"), lambda: os.mkdir(data / "sub"), lambda: os.symlink("a", data / "b")):
        with pytest.raises(OSError, match="No space left"):
            make()
    os.unlink(data / "new")
    saboteur.fill(None)
    (data / "more").write_bytes(b"x" * 100)
    assert len(saboteur.take()) == 6


def test_the_last_room_is_used_up(saboteur: Saboteur, tmp_path: Path) -> None:
    """A write that fits in part is cut short, as on a real disk; an armed error needs room as well."""
    saboteur.fill(4)
    with open(tmp_path / "data/f", "wb", buffering=0) as file:
        assert file.write(b"123") == 3
        assert file.write(b"456") == 1
        with pytest.raises(OSError, match="No space left"):
            file.write(b"7")
        saboteur.fill(None)
        saboteur.arm("EDQUOT", 1)
        os.pwrite(file.fileno(), b"xyz", 0)
        with pytest.raises(OSError, match="quota"):
            file.write(b"7")


def test_a_watch_sees_what_is_let_through(saboteur: Saboteur, tmp_path: Path) -> None:
    seen = []
    saboteur.watch = lambda call, make: seen.append(call.name) or make()
    (tmp_path / "data/f").write_text("x")
    assert "file_open" in seen and "file_write" in seen
