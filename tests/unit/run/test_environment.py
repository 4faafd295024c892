"""The machine, as far as a certificate tells of it."""

from __future__ import annotations

import json
import os
import platform
import socket
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from harness.run.environment import environment, file_system_of, tool


def test_nothing_names_the_machine_or_its_user() -> None:
    """A certificate may be published."""
    text = json.dumps(environment())

    assert socket.gethostname() not in text.split('"') and str(Path.home()) not in text.split('"')


def test_the_versions_are_told() -> None:
    """Of Python, the kernel and the harness."""
    told = environment()

    assert (told["python"], told["kernel"]) == (platform.python_version(), platform.release())
    assert told["cpus"] >= 1 and told["memory_mib"] > 0 and told["harness"]


def test_a_system_without_affinity_has_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS does not tell which ones a process may use."""
    monkeypatch.delattr(os, "sched_getaffinity")
    assert environment()["cpus"] == os.cpu_count()


def test_the_file_system_is_that_of_the_nearest_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest mount point that holds the path; a name that merely begins alike does not."""
    mounts = [("/", "ext4"), ("/data", "xfs"), ("/data/deep", "tmpfs")]
    listed = [SimpleNamespace(mountpoint=place, fstype=kind) for place, kind in mounts]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: listed)

    assert file_system_of(Path("/data/deep/er")) == "tmpfs"
    assert file_system_of(Path("/data/deeper")) == "xfs"
    assert file_system_of(Path("/database")) == "ext4"
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [])
    assert file_system_of(Path("/data")) == "unknown"


def test_a_tool_is_found_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or not."""
    (tmp_path / "hammer").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert tool("hammer") == str(tmp_path / "hammer")
    assert tool("saw") is None
