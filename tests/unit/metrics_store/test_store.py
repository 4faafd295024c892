"""The calls of MetricsStore, one at a time."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from store_under_test.metrics_store import (
    DashboardState,
    InvalidStateError,
    Limits,
    LockAcquisitionError,
    MetricsStore,
    StoreClosedError,
    UnsupportedVersionError,
)
from store_under_test.metrics_store.codec import MAGIC, encode
from tests.unit.metrics_store.helpers import (
    TIME,
    VirtualTime,
    agent,
    event,
    lock_holder,
    raw_state,
    saved,
    session,
    state_of,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.json"


def at(moment: str) -> datetime:
    return datetime.fromisoformat(moment)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_empty_directory_gives_a_fresh_state(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without error or warning, and without writing a document."""
    store = MetricsStore(path, project="p", now=lambda: at(TIME))
    assert store.load() == raw_state("p")
    assert not path.exists()
    assert not caplog.records
    assert store.get_stats().recoveries == 0


def test_what_was_saved_is_loaded_by_anyone(path: Path) -> None:
    """By the same handle and another; the returned state is the stored one."""
    state = state_of("p", agents={"a": agent()}, events=[event(1)], sessions=[session(1)])
    store = MetricsStore(path)
    stored = store.save(state)
    assert stored == {**state, "updated_at": stored["updated_at"]}
    assert store.load() == MetricsStore(path).load() == stored


def test_saving_stamps_the_time_of_the_update_only(path: Path) -> None:
    """The argument is not changed."""
    state = state_of()
    stored = MetricsStore(path, now=lambda: at("2030-01-01T00:00:00+00:00")).save(state)
    assert stored["created_at"] == state["updated_at"] == TIME
    assert stored["updated_at"] == "2030-01-01T00:00:00+00:00"


def test_the_wall_clock_is_in_utc(path: Path) -> None:
    """By default."""
    assert at(MetricsStore(path).load()["created_at"]).tzinfo == UTC


def test_the_backup_is_the_state_one_save_earlier(path: Path) -> None:
    """There is none after the first save."""
    store = saved(path, "one")
    assert not path.with_name("m.json.bak").exists()
    first = path.read_bytes()
    store.save(state_of("two"))
    assert path.with_name("m.json.bak").read_bytes() == first


def test_update_changes_in_place_or_by_return(path: Path) -> None:
    """Either way the state is saved and returned as stored."""
    store = MetricsStore(path)

    def in_place(state: DashboardState) -> None:
        state["project"] = "one"

    def returning(state: DashboardState) -> DashboardState:
        assert state["project"] == "one"
        return state_of("two")

    assert store.update(in_place)["project"] == "one"
    assert store.update(returning)["project"] == "two"
    assert store.load()["project"] == "two"


def test_an_update_that_raises_saves_nothing(path: Path) -> None:
    """Its exception passes through and the lock is free again."""
    store = saved(path, "one")

    def fail(state: DashboardState) -> None:
        state["project"] = "two"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        store.update(fail)
    assert store.load(timeout=0)["project"] == "one"


def test_an_invalid_state_is_refused_before_anything_is_written(path: Path) -> None:
    """By save and update alike, naming the field."""
    store = saved(path, "one", "two")
    before = {entry.name: entry.read_bytes() for entry in path.parent.iterdir()}
    invalid = cast(DashboardState, raw_state(events=[{}]))
    with pytest.raises(InvalidStateError, match=r"^events\[0\].id is missing$"):
        store.save(invalid)
    with pytest.raises(ValueError, match="events"):
        store.update(lambda state: invalid)
    assert {entry.name: entry.read_bytes() for entry in path.parent.iterdir()} == before


def test_a_project_that_is_no_text_is_refused(path: Path) -> None:
    """On opening, not at the first save."""
    with pytest.raises(InvalidStateError, match=r"^project holds a lone surrogate"):
        MetricsStore(path, project="\ud800")


def test_the_newest_500_events_and_50_sessions_are_kept(path: Path) -> None:
    """By insertion, in documents of any size."""
    events = [event(number, "é" * 100) for number in range(501)]
    MetricsStore(path).save(state_of(events=events, sessions=[session(number) for number in range(52)]))
    state = MetricsStore(path).load()
    assert [item["id"] for item in state["events"]] == [str(number) for number in range(1, 501)]
    assert [item["id"] for item in state["sessions"]] == [str(number) for number in range(2, 52)]


def test_limits_are_configurable(path: Path) -> None:
    """Also below what is stored already: the next save cuts."""
    saved(path).save(state_of(events=[event(number) for number in range(4)]))
    store = MetricsStore(path, limits=Limits(events=2, sessions=1))
    assert len(store.load()["events"]) == 4
    assert [item["id"] for item in store.update(lambda state: None)["events"]] == ["2", "3"]


def test_stats_count_what_is_there(path: Path) -> None:
    """Sizes in bytes, and contents."""
    store = MetricsStore(path)
    store.save(state_of(agents={"a": agent()}, events=[event(1), event(2)], sessions=[session(1)]))
    store.save(state_of(agents={"a": agent()}, events=[event(1), event(2)]))
    stats = store.get_stats()
    assert (stats.agents, stats.events, stats.sessions, stats.recoveries) == (1, 2, 0, 0)
    assert stats.primary_bytes == path.stat().st_size
    assert stats.backup_bytes == path.with_name("m.json.bak").stat().st_size
    assert stats.lock.acquisitions == 3
    assert (stats.lock_waits, stats.quarantined_files) == (0, 0)


def test_each_call_takes_its_own_time_limit(path: Path) -> None:
    """Else the store's, 10 s by default, on virtual time; nothing is saved when it is over."""
    time = VirtualTime()
    store = MetricsStore(path, clock=time.clock, sleep=time.sleep)
    impatient = MetricsStore(path, timeout=2.0, clock=time.clock, sleep=time.sleep)
    with lock_holder(path.with_name("m.json.lock")):
        for call, expected_s in (
            (lambda: store.load(timeout=0.5), 0.5),
            (lambda: store.save(state_of(), timeout=1), 1),
            (lambda: store.update(lambda state: None, timeout=0), 0),
            (lambda: store.get_stats(timeout=3), 3),
            (store.load, 10),
            (impatient.load, 2),
        ):
            started_s = time.now_s
            with pytest.raises(LockAcquisitionError):
                call()
            assert time.now_s - started_s == pytest.approx(expected_s)
    assert not path.exists()
    assert store.get_stats().lock.timeouts == 5


def test_the_store_is_a_context_manager(path: Path) -> None:
    """After the block, and after any number of closes, calls are refused and the data stays."""
    with MetricsStore(path) as store:
        store.save(state_of("one"))
    with pytest.raises(StoreClosedError):
        store.load()
    store.close()
    for call in (store.load, store.get_stats, store.__enter__):
        with pytest.raises(StoreClosedError):
            call()
    with pytest.raises(StoreClosedError):
        store.save(state_of())
    with pytest.raises(StoreClosedError):
        store.update(lambda state: None)
    assert MetricsStore(path).load()["project"] == "one"


def test_permissions_are_kept_and_new_files_are_private(path: Path) -> None:
    """The backup is open to nobody who is shut out of the primary, or of the backup itself."""
    backup = path.with_name("m.json.bak")
    store = saved(path, "one")
    assert mode_of(path) == 0o600
    path.chmod(0o644)
    store.save(state_of("two"))
    assert (mode_of(path), mode_of(backup)) == (0o644, 0o644)
    path.chmod(0o640)
    store.save(state_of("three"))
    assert (mode_of(path), mode_of(backup)) == (0o640, 0o640)
    backup.chmod(0o600)
    store.save(state_of("four"))
    assert (mode_of(path), mode_of(backup)) == (0o640, 0o600)


def test_a_symbolic_link_in_place_of_the_document_is_refused(path: Path) -> None:
    """Neither read nor written through: it could lead to somebody else's file."""
    victim = path.with_name("victim")
    victim.write_bytes(encode(state_of("secret")))
    path.symlink_to(victim)
    store = MetricsStore(path)
    calls: tuple[Callable[[], object], ...] = (store.load, lambda: store.save(state_of("p")))
    for call in calls:
        with pytest.raises(OSError, match="symbolic links"):
            call()
    assert victim.read_bytes() == encode(state_of("secret"))


def test_stale_temporary_files_are_removed_on_opening(path: Path) -> None:
    """Ours only."""
    for name in (".m.json.1.0.tmp", ".m.json.bak.99.1.tmp", ".other.json.1.0.tmp", "m.json.tmp"):
        path.with_name(name).write_bytes(b"half")
    MetricsStore(path)
    left = sorted(entry.name for entry in path.parent.iterdir())
    assert left == [".other.json.1.0.tmp", "m.json.lock", "m.json.tmp"]


def test_temporary_files_stay_while_a_writer_lives(path: Path) -> None:
    """One of them may be its own; opening does not wait for it either."""
    leftover = path.with_name(".m.json.1.0.tmp")
    leftover.write_bytes(b"being written")
    with lock_holder(path.with_name("m.json.lock")):
        MetricsStore(path)
    assert leftover.exists()


def test_opening_scans_the_directory_once_and_locks_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the ordinary case opening is cheap, and a load scans nothing at all."""
    scans: list[str] = []
    real: Any = os.scandir

    def scandir(directory: str) -> object:
        scans.append(directory)
        return real(directory)

    monkeypatch.setattr(os, "scandir", scandir)
    store = MetricsStore(path)
    assert not path.with_name("m.json.lock").exists()
    store.load()
    assert len(scans) == 1


def test_reading_writes_nothing(path: Path) -> None:
    """Loading a sound store changes no file."""
    saved(path, "one", "two")
    before = {entry.name: entry.stat().st_mtime_ns for entry in path.parent.iterdir()}
    inode = path.stat().st_ino
    MetricsStore(path).load()
    assert {entry.name: entry.stat().st_mtime_ns for entry in path.parent.iterdir()} == before
    assert path.stat().st_ino == inode


def test_large_states_can_be_compressed(path: Path) -> None:
    """A store with any setting reads both forms."""
    store = MetricsStore(path, compress_above_bytes=2000)
    store.save(state_of("small"))
    assert json.loads(path.read_bytes())["state"]["project"] == "small"
    store.save(state_of(events=[event(number) for number in range(200)]))
    assert path.read_bytes().startswith(MAGIC)
    assert len(MetricsStore(path).load()["events"]) == 200


def test_a_newer_version_is_neither_read_nor_replaced(path: Path) -> None:
    """An old program must not destroy, or put aside, what it cannot know."""
    path.write_bytes(encode(cast(DashboardState, raw_state(version=2))))
    before = path.read_bytes()
    store = MetricsStore(path)
    with pytest.raises(UnsupportedVersionError):
        store.load()
    with pytest.raises(UnsupportedVersionError):
        store.save(state_of())
    assert path.read_bytes() == before


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    """The store does not make directories: their own durability is the caller's."""
    with pytest.raises(FileNotFoundError):
        MetricsStore(tmp_path / "absent" / "m.json")
