from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.record import install, uninstall


@pytest.fixture(scope="module", autouse=True)
def patched_process() -> Iterator[None]:
    """The tests of this folder run in a patched process; all others don't, in whatever order modules come."""
    install()
    yield
    uninstall()


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """The tests name the modes of new files."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory that is recorded; `tmp_path` itself is the outside."""
    directory = tmp_path / "store"
    directory.mkdir()
    directory.chmod(0o755)
    return directory


@pytest.fixture
def file(root: Path) -> Path:
    """A file that is there before the recording, as inode 1."""
    path = root / "f"
    path.write_bytes(b"0123456789")
    path.chmod(0o644)
    return path
