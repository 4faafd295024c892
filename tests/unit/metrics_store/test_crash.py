"""Power cuts between any two calls, and calls that fail: what was acknowledged is always there."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from store_under_test.metrics_store import MetricsStore
from tests.unit.metrics_store.disk import CrashState, Disk, put
from tests.unit.metrics_store.helpers import saved, state_of

PROJECTS = ("", "one", "two", "three")  # "": the fresh state
SAVES = range(1, len(PROJECTS))
FALLIBLE = ("open", "fstat", "read", "write", "fchmod", "fsync", "replace", "close", "unlink", "scandir")


def record(directory: Path, operations: Iterable[Callable[[MetricsStore], object]]) -> list[CrashState]:
    """The states that crashes during an opening and these operations can leave."""
    disk = Disk(directory)
    with pytest.MonkeyPatch.context() as patch:
        disk.watch(patch)
        store = MetricsStore(directory / "m.json")
        for operation in operations:
            disk.run(lambda operation=operation: operation(store))  # type: ignore[misc]
    return list(disk.states)


def save_number(number: int) -> Callable[[MetricsStore], object]:
    return lambda store: store.save(state_of(PROJECTS[number]))


def check_recovery(directory: Path, acknowledged: int, begun: int) -> None:
    """The store opens, shows an admissible state twice, and takes new ones."""
    found = MetricsStore(directory / "m.json").load()["project"]
    assert acknowledged <= PROJECTS.index(found) <= begun
    store = MetricsStore(directory / "m.json")
    assert store.load()["project"] == found
    store.save(state_of("afterwards"))
    assert MetricsStore(directory / "m.json").load()["project"] == "afterwards"


def test_the_model_of_a_disk_sees_a_missing_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the fsync of directories an acknowledged save can be lost: the model must show that."""
    monkeypatch.setattr("store_under_test.metrics_store.files.sync_directory", lambda directory: None)
    directory = put((), tmp_path / "store")
    states = record(directory, [save_number(1)])
    assert any(state.acknowledged == 1 and "m.json" not in dict(state.content) for state in states)


def test_a_power_cut_at_any_call_keeps_every_acknowledged_save(tmp_path: Path) -> None:
    """From the first opening to the third save, with entries and data lost or reordered freely."""
    states = record(put((), tmp_path / "store"), map(save_number, SAVES))
    assert len(states) > 30
    for number, state in enumerate(states):
        check_recovery(put(state.content, tmp_path / str(number)), state.acknowledged, state.begun)


@pytest.mark.parametrize("damage", ["primary", "primary missing", "primary, old crash left files"])
def test_a_power_cut_during_recovery_loses_nothing(tmp_path: Path, damage: str) -> None:
    """The backup, one save behind, is what any later opening finds, whenever the recovery was cut."""
    directory = put((), tmp_path / "store")
    saved(directory / "m.json", *PROJECTS[1:])
    if damage == "primary missing":
        (directory / "m.json").unlink()
    else:
        (directory / "m.json").write_bytes(b"damaged")
    if "left files" in damage:
        (directory / ".m.json.1.0.tmp").write_bytes(b"half a doc")
    states = record(directory, [MetricsStore.load])
    assert len(states) > 5
    for number, state in enumerate(states):
        check_recovery(put(state.content, tmp_path / str(number)), 2, 2)


def test_a_cut_recovery_of_total_loss_never_looks_like_an_empty_store(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Until the fresh state is in place every opening warns again, and the damaged bytes stay somewhere."""
    directory = put((("m.json", b"damaged"), ("m.json.bak", b"damaged too")), tmp_path / "store")
    states = record(directory, [MetricsStore.load])
    for number, state in enumerate(states):
        contents = dict(state.content).values()
        assert b"damaged" in contents
        assert b"damaged too" in contents
        caplog.clear()
        copy = put(state.content, tmp_path / str(number))
        primary = (copy / "m.json").read_bytes()
        assert MetricsStore(copy / "m.json").load()["project"] == ""
        assert primary != b"damaged" or caplog.records


# --- failing calls ---------------------------------------------------------------------------


class FailingCalls:
    """Counts the calls on the file system and makes one of them fail, once."""

    def __init__(self, patch: pytest.MonkeyPatch, fails_at: int | None, error: int = errno.EIO) -> None:
        self.count = 0
        self.failed: str | None = None
        self.fails_at = fails_at
        self.error = error
        for name in FALLIBLE:
            patch.setattr(os, name, self._wrapped(name, getattr(os, name)))
        patch.setattr(fcntl, "flock", self._wrapped("flock", fcntl.flock))

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            self.count += 1
            if self.count == self.fails_at:
                self.failed = name
                if name == "close":  # Linux frees the descriptor all the same
                    real(*arguments)
                raise OSError(self.error, os.strerror(self.error))
            return real(*arguments, **more)

        return call


def run_with_failure(path: Path, fails_at: int | None) -> tuple[FailingCalls, int, bool]:
    """Open, load and save twice while one call fails: the calls, the last save that returned, any error?"""
    done, raised = 1, False
    with pytest.MonkeyPatch.context() as patch:
        calls = FailingCalls(patch, fails_at)
        try:
            store = MetricsStore(path)
            store.load()
            for number in (2, 3):
                store.save(state_of(PROJECTS[number]))
                done = number
        except OSError as error:
            assert error.errno == errno.EIO
            raised = True
    return calls, done, raised


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_any_failing_call_surfaces_and_loses_nothing(tmp_path: Path) -> None:
    """The error is raised, the state is the one before or after, and the store works on."""
    calls, _, raised = run_with_failure(saved_in(tmp_path / "all"), None)
    assert not raised
    before = descriptors()
    for fails_at in range(1, calls.count + 1):
        path = saved_in(tmp_path / str(fails_at))
        failing, done, raised = run_with_failure(path, fails_at)
        assert failing.failed is not None
        assert raised
        store = MetricsStore(path)
        assert PROJECTS.index(store.load()["project"]) in (done, done + 1)
        store.save(state_of("afterwards"))
        assert store.load()["project"] == "afterwards"
        assert not list(path.parent.glob(".*.tmp"))
    assert descriptors() == before


def saved_in(directory: Path) -> Path:
    directory.mkdir()
    saved(directory / "m.json", "one")
    return directory / "m.json"


@pytest.mark.parametrize("call", ["write", "fsync", "close", "replace", "fchmod"])
def test_the_same_handle_works_after_a_failed_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A failed save raises, leaves the old state and no temporary file, and the next save succeeds."""
    store = saved(tmp_path / "m.json", "one", "two")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, raising(getattr(os, call), call == "close"))
        with pytest.raises(OSError, match="No space left"):
            store.save(state_of("three"), timeout=0)
    assert store.load()["project"] == "two"
    assert not list(tmp_path.glob(".*.tmp"))
    store.save(state_of("four"))
    assert store.load()["project"] == "four"


def raising(real: Callable[..., Any], after_effect: bool) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        if after_effect:
            real(*arguments)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return call


def test_a_failed_fsync_of_the_backups_directory_leaves_the_primary_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The primary is replaced only once the backup is durable."""
    store = saved(tmp_path / "m.json", "one", "two")
    with monkeypatch.context() as patch:
        patch.setattr(
            "store_under_test.metrics_store.files.sync_directory", raising(lambda directory: None, False)
        )
        with pytest.raises(OSError, match="No space"):
            store.save(state_of("three"))
    assert store.load()["project"] == "two"


@pytest.mark.parametrize("name", ["m.json", "m.json.bak"])
def test_a_read_error_is_neither_damage_nor_an_empty_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """EIO on reading either file is raised, changes nothing, and is forgotten once it is gone."""
    store = saved(tmp_path / "m.json", "one", "two")
    if name == "m.json.bak":
        (tmp_path / "m.json").write_bytes(b"damaged")
    before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    broken = (tmp_path / name).stat().st_ino
    real = os.read

    def read(descriptor: int, size: int) -> bytes:
        if os.fstat(descriptor).st_ino == broken:
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, size)

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", read)
        for attempt in (store.load, store.get_stats, lambda: store.save(state_of("three"))):
            with pytest.raises(OSError, match="Input/output error"):
                attempt()
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before
    assert not caplog.records
    assert store.load()["project"] == ("two" if name == "m.json" else "one")


def test_clean_up_that_fails_is_no_failure_of_the_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The first error reaches the caller; what could not be removed is removed by the next opening."""
    caplog.set_level(logging.INFO)
    store = saved(tmp_path / "m.json", "one")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", raising(os.fsync, False))
        patch.setattr(os, "unlink", raising(os.unlink, False))
        with pytest.raises(OSError, match="No space"):
            store.save(state_of("two"))
    assert len(list(tmp_path.glob(".*.tmp"))) == 1
    assert "could not remove" in caplog.text
    store.save(state_of("three"))  # the name that is taken is passed over
    assert MetricsStore(tmp_path / "m.json").load()["project"] == "three"
    assert not list(tmp_path.glob(".*.tmp"))
