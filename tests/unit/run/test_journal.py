"""The journal gives back what was appended, and nothing else, however the last run ended."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.run.journal import Journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def write(path: Path, fingerprint: str = "f", **values: object) -> None:
    with Journal(path, fingerprint) as journal:
        for key, value in values.items():
            journal.append(key, value)


def read(path: Path, fingerprint: str = "f") -> dict[str, object]:
    with Journal(path, fingerprint) as journal:
        return journal.load()


def test_a_value_that_was_damaged_is_not_loaded(path: Path) -> None:
    """A line whose content no longer agrees with its checksum is skipped; the others are not."""
    write(path, first=1111, second=2)
    path.write_bytes(path.read_bytes().replace(b"1111", b"1112"))
    assert read(path) == {"second": 2}


def test_what_was_appended_is_loaded(path: Path) -> None:
    """Values come back as they were, text of any script included, over several runs."""
    write(path, first={"states": [1, 2.5, None]}, second="žluť\n\x00")
    write(path, third=[])
    assert read(path) == {"first": {"states": [1, 2.5, None]}, "second": "žluť\n\x00", "third": []}


def test_every_cut_loads_a_prefix(path: Path) -> None:
    """Wherever the file is cut off, the lines before the cut are loaded."""
    write(path, a=1, b=2)
    content = path.read_bytes()
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        assert read(path) in ({}, {"a": 1}, {"a": 1, "b": 2})
    assert read(path) == {"a": 1, "b": 2}


def test_appending_after_a_torn_line_loses_only_that_line(path: Path) -> None:
    """A new run does not write its first line onto the torn last line of the one before."""
    write(path, a=1, b=2)
    path.write_bytes(path.read_bytes()[:-4])
    write(path, c=3)
    assert read(path) == {"a": 1, "c": 3}


def test_another_fingerprint_loads_nothing_and_starts_anew(path: Path) -> None:
    """Results of another version or seed are worth nothing."""
    write(path, a=1)
    assert read(path, "other") == {}
    assert read(path) == {"a": 1}
    write(path, "other", b=2)
    assert read(path, "other") == {"b": 2}
    assert read(path) == {}


def test_the_last_of_equal_keys_counts(path: Path) -> None:
    """Work that was done again replaces what it gave before."""
    write(path, a=1)
    write(path, a=2)
    assert read(path) == {"a": 2}


CHECKED = [b"%08x %s" % (zlib.crc32(text), text) for text in (b"7", b"[1,2]", b'["a"]', b"nonsense")]


@pytest.mark.parametrize("line", [b"", b"\xff\xfe", b"zz {}", b"00000000 []", *CHECKED])
def test_foreign_lines_are_skipped(path: Path, line: bytes) -> None:
    """Whatever else stands in the file, even with a right checksum, is no result."""
    write(path, a=1)
    with path.open("ab") as file:
        file.write(line + b"\n")
    write(path, b=2)
    assert read(path) == {"a": 1, "b": 2}


def test_a_run_sees_its_own_appends(path: Path) -> None:
    """Loading in the middle of a run includes what this run has appended."""
    with Journal(path, "f") as journal:
        journal.append("a", 1)
        assert journal.load() == {"a": 1}


def test_two_runs_do_not_mix(path: Path) -> None:
    """A second run on the same journal is told so, until the first has closed it."""
    first = Journal(path, "f")
    with pytest.raises(UsageError, match="in use by another run"):
        Journal(path, "f")
    first.close()
    first.close()
    assert read(path) == {}


def test_a_long_run_is_synced_now_and_then(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synced a few times in many appends, and at the end."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with Journal(path, "f") as journal:
        for number in range(600):
            journal.append(str(number), number)
        assert 1 <= len(synced) <= 6
    assert len(read(path)) == 600
    assert len(synced) >= 3
