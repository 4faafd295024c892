"""Reading and replacing files: short writes, links, permissions, names."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from store_under_test.metrics_store import files
from store_under_test.metrics_store.files import Paths, read_file, write_atomically


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system may take less than it was given."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    write_atomically(str(tmp_path / "f"), b"0123456789", None)
    assert (tmp_path / "f").read_bytes() == b"0123456789"


def test_a_write_without_progress_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must neither loop for ever nor install a short file."""
    monkeypatch.setattr(os, "write", lambda descriptor, data: 0)
    with pytest.raises(OSError, match="no progress"):
        write_atomically(str(tmp_path / "f"), b"data", None)
    assert list(tmp_path.iterdir()) == []


def test_short_reads_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only an empty read is the end of the file."""
    (tmp_path / "f").write_bytes(b"0123456789")
    real = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: real(descriptor, min(size, 3)))
    image = read_file(str(tmp_path / "f"))
    assert image is not None
    assert image.data == b"0123456789"


def test_an_atomic_write_goes_through_its_steps_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data, mode, fsync and close before the rename, the directory's fsync after it."""
    steps: list[str] = []

    def watch(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: Any, **more: Any) -> Any:
            steps.append(name)
            return real(*arguments, **more)

        monkeypatch.setattr(os, name, call)

    for name in ("open", "write", "fchmod", "fsync", "close", "replace"):
        watch(name)
    write_atomically(str(tmp_path / "f"), b"data", 0o640)
    assert steps == ["open", "write", "fchmod", "fsync", "close", "replace", "open", "fsync", "close"]


def test_new_files_are_private_and_modes_are_kept(tmp_path: Path) -> None:
    """0600 less the umask; a mode that is given holds whatever the umask."""
    old = os.umask(0o277)
    try:
        write_atomically(str(tmp_path / "new"), b"", None)
        write_atomically(str(tmp_path / "kept"), b"", 0o664)
    finally:
        os.umask(old)
    assert mode_of(tmp_path / "new") == 0o400
    assert mode_of(tmp_path / "kept") == 0o664


def test_a_planted_link_is_never_written_through(tmp_path: Path) -> None:
    """Neither at the temporary name, which is passed over, nor at the target, which is replaced."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / f".f.{os.getpid()}.0.tmp").symlink_to(victim)
    (tmp_path / "f").symlink_to(victim)
    write_atomically(str(tmp_path / "f"), b"data", 0o666)
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "f").is_symlink()
    assert (tmp_path / "f").read_bytes() == b"data"


def test_links_and_fifos_are_not_read(tmp_path: Path) -> None:
    """A link might show a file of somebody else, a FIFO would wait for ever."""
    (tmp_path / "f").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "f")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="symbolic links"):
        read_file(str(tmp_path / "link"))
    with pytest.raises(OSError, match="not a regular file"):
        read_file(str(tmp_path / "fifo"))


def test_temporary_names_run_out_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for a free name is bounded."""
    monkeypatch.setattr(files, "MAX_TEMPORARIES", 1)
    (tmp_path / f".f.{os.getpid()}.0.tmp").touch()
    with pytest.raises(FileExistsError, match="1 temporary names are taken"):
        write_atomically(str(tmp_path / "f"), b"data", None)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        (".m.json.1.0.tmp", True),
        (".m.json.bak.12.3.tmp", True),
        (".m.json.damaged-0123456789abcdef.1.0.tmp", True),
        ("m.json", False),
        ("m.json.1.0.tmp", False),
        (".mxjson.1.0.tmp", False),
        (".m.json.old.1.0.tmp", False),
        (".m.json.1.0.tmp.keep", False),
        (".m.json.damaged-0123.1.0.tmp", False),
    ],
)
def test_only_names_of_our_making_count_as_temporary(name: str, ours: bool) -> None:
    """Nothing else beside the store is ever removed."""
    assert Paths.of("/x/m.json").is_temporary(name) is ours


def test_what_write_atomically_creates_counts_as_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each of the files of a store, so that leftovers of all are removed."""
    paths = Paths.of(str(tmp_path / "m.json"))
    seen: list[str] = []
    real = os.replace

    def replace(source: str, target: str) -> None:
        seen.append(os.path.basename(source))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    for path in (paths.primary, paths.backup, paths.quarantine("0123456789abcdef" * 4)):
        write_atomically(path, b"", None)
    assert len(seen) == 3
    assert all(map(paths.is_temporary, seen))
    assert paths.is_quarantine("m.json.damaged-0123456789abcdef")
    assert not paths.is_quarantine("m.json.damaged-0123456789abcdef.txt")


def test_the_size_of_a_missing_file_is_zero(tmp_path: Path) -> None:
    """There may be no backup yet."""
    assert files.file_size(str(tmp_path / "f")) == 0


def test_a_failed_close_on_the_way_out_is_only_noted(caplog: pytest.LogCaptureFixture) -> None:
    """The failure that led there is the one to raise."""
    caplog.set_level("INFO")
    files.close_quietly(-1)
    assert "could not close" in caplog.text
