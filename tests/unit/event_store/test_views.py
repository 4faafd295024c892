"""The views of a real store: retention, degraded modes, health, metrics, tending."""

from __future__ import annotations

import errno
import random
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from store_under_test.event_store import files, log
from store_under_test.event_store.bridge import Command, ValidationBridge, ask_for, forbid, rebuilt
from store_under_test.event_store.errors import DamagedError, ReadOnlyError, WrongVersionError
from store_under_test.event_store.event import NewEvent
from store_under_test.event_store.health import Thresholds
from store_under_test.event_store.retention import Policy
from store_under_test.event_store.store import EventStore
from tests.unit.event_store.views_helpers import (
    drawn,
    filled,
    index_files,
    opened,
    snapshot_files,
    warnings,
)

TWO = Policy(max_segments=2)


# --- retention -------------------------------------------------------------------------------------


def test_retention_leaves_what_the_policy_says(tmp_path: Path) -> None:
    """Events, index files and versions go together, and a reopened store agrees in everything."""
    with opened(tmp_path, policy=TWO) as store:
        store.append_batch([NewEvent("t", "early")] * 3)
        stored = filled(store, drawn(300))
        store.append(NewEvent("t", "late"))
        store.compact()
        left = store.log.retained_from
        assert left > 100
        assert len(store.log.segments()) <= 3
        assert [one.sequence for one in store.read(left)] == list(range(left, 305))
        assert (store.version_of("early"), store.version_of("late")) == (0, 1)
        live = store.views.state
        assert len(index_files(tmp_path)) == len(live.sealed)
        assert sum(live.counts().values()) == 305 - left
    with opened(tmp_path, policy=TWO) as store:
        assert store.views.state.same_as(live)
        assert store.version_of("a") == max(one.version for one in stored if one.aggregate == "a")
    for path in (*snapshot_files(tmp_path), *index_files(tmp_path)):
        path.unlink()
    with opened(tmp_path, policy=TWO) as store:
        assert store.views.state.same_as(live)


def test_an_aggregate_of_which_nothing_is_left_starts_anew(tmp_path: Path) -> None:
    """In the handle that removed it as after reopening; one with a single event left goes on."""
    with opened(tmp_path, policy=TWO) as store:
        store.append_batch([NewEvent("t", "early"), NewEvent("t", "kept")])
        filled(store, drawn(300))
        store.append(NewEvent("t", "kept"))
        store.retain()
        with pytest.raises(WrongVersionError):
            store.append(NewEvent("t", "early"), expected_version=1)
        assert store.append(NewEvent("t", "early"), expected_version=0).version == 1
        assert store.append(NewEvent("t", "kept"), expected_version=2).version == 3
    with opened(tmp_path) as store:
        assert (store.version_of("early"), store.version_of("kept")) == (1, 3)


def test_an_aggregate_that_comes_back_meanwhile_keeps_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who seemed to have no event left is looked at once more, while nothing is written."""
    with opened(tmp_path, policy=TWO) as store:
        store.append_batch([NewEvent("t", "back"), NewEvent("t", "gone")])
        filled(store, drawn(300))
        exclusive = store.log.exclusive

        def late(action: Callable[[], object]) -> object:
            if store.last_sequence == 302 and store.log.retained_from > 1:
                store.append(NewEvent("t", "back"))
                store.log.rotate()
            return exclusive(action)

        monkeypatch.setattr(store.log, "exclusive", late)
        store.retain()
        assert (store.version_of("back"), store.version_of("gone")) == (2, 0)
        assert store.append(NewEvent("t", "back"), expected_version=2).version == 3
        assert store.append(NewEvent("t", "gone"), expected_version=0).version == 1


def test_a_retention_that_a_crash_cut_short_is_finished_at_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The word is durable, no file is gone yet, the snapshots are from before."""
    with opened(tmp_path, policy=TWO) as store:
        store.append(NewEvent("t", "early"))
        filled(store, drawn(300))
        store.snapshot()
        segments = store.log.segments()
        with monkeypatch.context() as patch:
            patch.setattr(files, "remove_quietly", lambda path: None)
            patch.setattr(store.views, "_forget_orphans", lambda: None)
            patch.setattr(store.views, "_snapshot", lambda: False)
            assert store.log.retain_from(segments[-2].first_sequence)
    assert Path(segments[0].path).exists()
    with opened(tmp_path) as store:
        assert not Path(segments[0].path).exists()
        assert store.version_of("early") == 0
        assert min(store.views.state.sealed) == store.log.retained_from
        store.append(NewEvent("t", "early"))
        live = store.views.state
        assert store.snapshot()
    with opened(tmp_path) as store:
        assert store.views.state.same_as(live)
    assert warnings(caplog) == []


def test_age_is_that_of_the_newest_event(tmp_path: Path) -> None:
    now = [0.0]
    with opened(tmp_path, policy=Policy(max_age_s=50.0), now=lambda: now[0]) as store:
        filled(store, drawn(300))  # from about 100 to 400 s
        sealed = {first: one.high for first, one in store.views.state.sealed.items()}
        now[0] = sorted(sealed.values())[0] + 50.0
        assert store.retain() == 0
        now[0] += 1
        assert store.retain() == 1
        now[0] = 10_000.0
        assert store.retain() == len(sealed) - 1
        assert store.retain() == 0


# --- no room ---------------------------------------------------------------------------------------


class FullDisk:
    """A file system that has room for so many segments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path, segments: int) -> None:
        self.segments = segments
        self._directory = directory
        self._write = files.write_zeros
        monkeypatch.setattr(files, "write_zeros", self._write_zeros)

    def _write_zeros(self, descriptor: int, start: int, end: int) -> None:
        if len(list(self._directory.glob("*.log"))) > self.segments:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._write(descriptor, start, end)


def append_until_refused(store: EventStore) -> int:
    for number in range(1000):
        try:
            store.append(NewEvent("t", "a", "x" * 500))
        except OSError:
            return number
    raise AssertionError("the disk never filled")


@pytest.mark.parametrize("maintenance", ["inline", "background"])
def test_a_full_disk_degrades_and_retention_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maintenance: str
) -> None:
    """The append that finds it full raises; nothing is lost but what the policy gives up; the next one works."""
    policy = Policy(emergency_segments=1)
    with opened(tmp_path, policy=policy, maintenance=maintenance) as store:
        disk = FullDisk(monkeypatch, tmp_path, segments=3)
        count = append_until_refused(store)
        assert store.metrics.failures["degraded"] == 1
        assert store.metrics.segments_removed == 1
        disk.segments = 4  # what was removed
        assert store.append(NewEvent("t", "a")).version == count + 1
        assert store.health().status == "ok"
        assert [one.sequence for one in store.read(store.log.retained_from)][-1] == count + 1


def test_without_a_policy_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store waits for room, and reads all the while."""
    with opened(tmp_path, maintenance="inline") as store:
        disk = FullDisk(monkeypatch, tmp_path, segments=2)
        count = append_until_refused(store)
        assert store.health().status == "degraded"
        assert "No space left" in store.health().reasons[0]
        with pytest.raises((ReadOnlyError, OSError)):
            store.append(NewEvent("t", "a", "x" * 9000))
        assert len(store.query(type="t", limit=1000).events) == count
        disk.segments = 99
        assert store.append(NewEvent("t", "a")).sequence == count + 1
        assert store.health().status == "ok"


def test_from_95_percent_on_it_warns_and_cleans_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By policy; one warning until it was better in between."""
    now, used = [0.0], [0.94]
    options = {"clock": lambda: now[0], "disk_used": lambda directory: used[0], "maintenance": "inline"}
    with opened(tmp_path, policy=Policy(emergency_segments=1), **options) as store:
        filled(store, drawn(500))
        assert store.health().status == "ok"
        for ratio, removed in ((0.95, 1), (0.96, 2), (0.5, 2), (0.97, 3)):
            now[0] += 60
            used[0] = ratio
            store.append(NewEvent("t", "a"))
            assert store.metrics.segments_removed == removed
            assert store.health().status == ("ok" if ratio < 0.95 else "degraded")
    assert [message.split(": ")[1] for message in warnings(caplog)] == [
        "the disk is 95.0 % full",
        "the disk is 97.0 % full",
    ]


def test_a_retention_that_fails_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(self: log.Log, sequence: int) -> object:
        raise OSError(errno.ENOSPC, "No space left on device")

    with opened(tmp_path, policy=TWO, maintenance="inline") as store:
        monkeypatch.setattr(log.Log, "retain_from", failing)
        filled(store, drawn(300))
        with pytest.raises(OSError, match="No space left"):
            store.retain()
        assert store.last_sequence == 300
    assert {message.split(": ")[1] for message in warnings(caplog)} == {"retention failed"}


# --- health and metrics ----------------------------------------------------------------------------


def test_counts_equal_what_happened(tmp_path: Path) -> None:
    """With several threads; bytes are those of the frames in the files."""
    with opened(tmp_path, maintenance="background") as store:
        threads = [threading.Thread(target=filled, args=(store, drawn(60, seed), seed)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for version in (7, 8):
            with pytest.raises(WrongVersionError):
                store.append(NewEvent("t", "new"), expected_version=version)
        store.query(type="done")
        frames = list(store.log.frames())
        seen = {
            sample.name.removeprefix("event_store_"): sample.value
            for family in text_string_to_metric_families(store.metrics.text())
            for sample in family.samples
            if not sample.labels
        }
        assert (seen["appended_events_total"], seen["groups_total"]) == (240, len(frames))
        assert (seen["last_sequence"], seen["queries_total"], seen["status"]) == (240, 1, 0)
        assert (seen["group_events_sum"], seen["group_events_count"]) == (240, len(frames))
        assert store.metrics.failures == {"transient": 0, "degraded": 0, "fatal": 0, "refused": 2}
        ends = {frame.segment.path: frame.segment.end_offset for frame in frames}
        assert seen["appended_bytes_total"] == sum(end - 2 * 4096 for end in ends.values())
        assert seen["log_bytes"] == sum(info.end_offset for info in store.log.segments())


def test_slow_appends_degrade_and_fast_ones_mend(tmp_path: Path) -> None:
    now, takes = [0.0], [0.2]

    def clock() -> float:
        now[0] += takes[0]
        return now[0]

    thresholds = Thresholds(slow_append_s=0.1, slow_window=10)
    with opened(tmp_path, clock=clock, thresholds=thresholds) as store:
        for _ in range(10):
            store.append(NewEvent("t", "a"))
        assert (store.health().status, [one.name for one in store.health().alerts]) == ("degraded", ["slow"])
        takes[0] = 0.0
        for _ in range(10):
            store.append(NewEvent("t", "a"))
        assert store.health().status == "ok"


def test_damage_that_a_reader_meets_is_known_from_then_on(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        filled(store, drawn(200))
        store.compact()
    path = sorted(tmp_path.glob("*.log"))[0]
    content = bytearray(path.read_bytes())
    content[9000] ^= 1
    path.write_bytes(content)
    with opened(tmp_path) as store:
        for _ in range(2):
            with pytest.raises(DamagedError):
                store.query(first=1)
        assert store.health().status == "failed"
        assert [path.name in reason for reason in store.health().reasons] == [True]
        assert store.append(NewEvent("t", "a")).sequence == 201


# --- tending ---------------------------------------------------------------------------------------


def test_in_the_background_files_are_made_and_the_thread_ends_with_the_store(tmp_path: Path) -> None:
    with opened(tmp_path, maintenance="background") as store:
        filled(store, drawn(300))
        assert store.views._worker is not None
        thread = store.views._worker._thread
        sealed = len(store.log.segments()) - 1
    assert not thread.is_alive()
    assert len(index_files(tmp_path)) == sealed  # closing finishes what the thread had not come to
    assert snapshot_files(tmp_path)


def test_memory_grows_with_segments_a_little_and_not_with_events(tmp_path: Path) -> None:
    """A log four times as long, opened and asked everything: some kilobytes more for each segment."""
    used: list[tuple[int, int]] = []
    for rounds in (3, 12):
        directory = tmp_path / str(rounds)
        with opened(directory) as store:
            for number in range(rounds):
                store.append_batch(drawn(80, number))
                store.compact()
        tracemalloc.start()
        with opened(directory, cache_bytes=20_000) as store:
            for wanted in ({"type": "done"}, {"actor": "p"}, {"correlation": "s1"}, {"since": 0.0}):
                assert len(store.query(**wanted, limit=10_000).events) > rounds
            assert store.find("nobody") is None
            assert sum(1 for _ in store.subscribe().ready()) == 80 * rounds
            used.append((tracemalloc.get_traced_memory()[0], len(store.log.segments())))
        tracemalloc.stop()
    (few_bytes, few), (many_bytes, many) = used
    assert many_bytes - few_bytes < (many - few) * 12_000


def test_on_request_nothing_is_written_until_then(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        filled(store, drawn(300))
        assert index_files(tmp_path) == snapshot_files(tmp_path) == []
        store.compact()
        assert len(index_files(tmp_path)) == len(store.log.segments()) - 1
        assert len(snapshot_files(tmp_path)) == 1


def test_only_one_thread_tends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another that finds the same goes on."""
    with opened(tmp_path, maintenance="inline") as store:
        calls: list[str] = []

        def nested() -> None:
            calls.append("settle")
            store.views.tend()

        monkeypatch.setattr(store.views, "settle", nested)
        store.views._due = True
        store.views.tend()
        assert calls == ["settle"]


def test_a_failed_store_is_closed_without_a_snapshot(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = opened(tmp_path, snapshot_events=1)
    store.append(NewEvent("t", "a"))
    store.log._state = log.LogState("failed", "an fsync failed")
    store.close()
    assert (snapshot_files(tmp_path), warnings(caplog)) == ([], [])


def test_the_bridge_over_a_real_store(tmp_path: Path) -> None:
    """Two bridges and several threads on one store, and the state after reopening is the same."""
    rules = (forbid("rm"), ask_for("deploy"))
    with opened(tmp_path, maintenance="inline") as store:
        bridges = [ValidationBridge(store, rules) for _ in range(2)]

        def work(number: int) -> None:
            chance = random.Random(number)
            for count in range(30):
                action = chance.choice(("ls", "rm", "deploy"))
                bridges[number % 2].submit(Command(f"{number}.{count}", chance.choice("ab"), action, "x" * 200))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for bridge in bridges:
            bridge.catch_up()
        state = bridges[0].state
        assert bridges[1].state == state == rebuilt(store.read())
        assert sum(one.version for one in state.agents.values()) == 120 == store.last_sequence
    with opened(tmp_path) as store:
        assert ValidationBridge(store, rules).state == state
