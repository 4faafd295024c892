"""Snapshots spare reading the log at opening, and never say anything else than the log."""

from __future__ import annotations

import errno
import itertools
import shutil
from pathlib import Path

import pytest

from store_under_test.event_store import codec, files, snapshots
from store_under_test.event_store.event import NewEvent
from store_under_test.event_store.snapshots import FULL_EVERY, DamagedSnapshotError, StoreState, decode
from store_under_test.event_store.store import EventStore
from tests.unit.event_store.views_helpers import drawn, filled, opened, snapshot_files, warnings


def state_of(directory: Path) -> StoreState:
    with opened(directory) as store:
        return store.views.state


def replayed(directory: Path, scratch: Path) -> StoreState:
    """The state by the log alone."""
    shutil.copytree(directory, scratch)
    for path in (*snapshot_files(scratch), *scratch.glob("*.idx")):
        path.unlink()
    return state_of(scratch)


def chained(directory: Path, rounds: int, *, seed: int = 0) -> None:
    """A store with a snapshot after each of `rounds` appends, to one of several aggregates."""
    with opened(directory) as store:
        store.append_batch([NewEvent("t", f"quiet {number}") for number in range(40)])
        for number in range(rounds):
            store.append_batch(drawn(30, seed + number))
            store.append(NewEvent("opened", f"once {number}"))
            if number % 2:
                store.log.rotate()
            assert store.snapshot()


def test_a_state_from_snapshots_is_that_of_the_log(tmp_path: Path) -> None:
    """Full or incremental, made in a segment or between two, with events after it or not."""
    for rounds in (1, 2, 3, 5):
        directory = tmp_path / str(rounds)
        chained(directory, rounds)
        names = [path.name[-9:-5] for path in snapshot_files(directory)]
        assert names == ["full", *["incr"] * (rounds - 1)]
        for extra in (0, 40):
            with opened(directory) as store:
                filled(store, drawn(extra, seed=rounds))
                live = store.views.state
            assert state_of(directory).same_as(live)
            assert replayed(directory, tmp_path / f"{rounds} {extra}").same_as(live)
            assert live.counts()["opened"] == rounds
            assert sum(live.counts().values()) == live.sequence


def test_versions_go_on_after_a_snapshot(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.append_batch([NewEvent("t", "a")] * 3)
        store.snapshot()
        store.append(NewEvent("t", "b"))
    with opened(tmp_path) as store:
        assert store.append(NewEvent("t", "a"), expected_version=3).version == 4
        assert store.append(NewEvent("t", "b"), expected_version=1).version == 2


def test_nothing_new_nothing_written(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert not store.snapshot()
        store.append(NewEvent("t", "a"))
        assert store.snapshot()
        assert not store.snapshot()
    with opened(tmp_path) as store:
        assert not store.snapshot()
    assert len(snapshot_files(tmp_path)) == 1


def test_the_number_of_files_is_bounded(tmp_path: Path) -> None:
    """Every eighth is full, and two generations are kept. Many aggregates changing at once make a full one too."""
    with opened(tmp_path) as store:
        store.append_batch([NewEvent("t", f"a{number}") for number in range(20)])
        for _ in range(3 * FULL_EVERY):
            store.append(NewEvent("t", "a1"))
            store.snapshot()
            assert len(snapshot_files(tmp_path)) <= 2 * FULL_EVERY
        full = [path for path in snapshot_files(tmp_path) if path.name.endswith("full.snap")]
        assert len(full) == 2
        store.append_batch([NewEvent("t", f"a{number}") for number in range(15)])
        store.snapshot()
        assert snapshot_files(tmp_path)[-1].name.endswith("full.snap")


class Counted:
    """How many bytes are read, and how many frames decoded, while a store is opened and asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read_bytes = 0
        self.frames = 0
        read_at, decode_frame = files.read_at, codec.decode_frame

        def counted_read(descriptor: int, length: int, offset: int) -> bytes:
            data = read_at(descriptor, length, offset)
            self.read_bytes += len(data)
            return data

        def counted_decode(*given: object) -> object:
            self.frames += 1
            return decode_frame(*given)  # type: ignore[arg-type]  # passed on as they are

        for name in ("files", "derived", "scan"):
            monkeypatch.setattr(f"store_under_test.event_store.{name}.read_at", counted_read)
        monkeypatch.setattr(codec, "decode_frame", counted_decode)


def test_opening_reads_the_snapshot_and_what_came_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log four times as long costs a header and an index entry more for each segment, and no event."""
    costs = []
    for rounds in (4, 16):
        directory = tmp_path / str(rounds)
        with opened(directory) as store:
            for number in range(rounds):
                store.append_batch(drawn(100, number))
                store.compact()
            stored = store.append_batch(drawn(3, 99))
        with monkeypatch.context() as patch:
            counted = Counted(patch)
            with opened(directory) as store:
                assert store.version_of("a") > rounds
                assert store.query(first=stored[0].sequence).events == stored
            log_bytes = sum(path.stat().st_size for path in directory.glob("*.log"))
            costs.append((counted.frames, counted.read_bytes, log_bytes, len(store.log.segments())))
    (few_frames, few_bytes, _, few), (many_frames, many_bytes, log_bytes, many) = costs
    assert few_frames == many_frames <= 3
    assert many_bytes - few_bytes <= (many - few) * (4096 + 200)
    assert many_bytes < log_bytes / 4


def test_closing_makes_a_snapshot_after_many_events(tmp_path: Path) -> None:
    with opened(tmp_path, snapshot_events=50) as store:
        filled(store, drawn(49))
    assert snapshot_files(tmp_path) == []
    with opened(tmp_path, snapshot_events=50) as store:
        store.append(NewEvent("t", "a"))
    assert len(snapshot_files(tmp_path)) == 1


# --- damage ----------------------------------------------------------------------------------------


def test_damage_anywhere_is_one_warning_and_a_right_state(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In every file of a chain: what builds on it is of no use either."""
    origin = tmp_path / "origin"
    chained(origin, 3)
    right = replayed(origin, tmp_path / "replayed")
    numbers = itertools.count()
    for path in snapshot_files(origin):
        size = path.stat().st_size
        for place in (0, 8, 11, 12, size // 2, size - 1):
            directory = tmp_path / f"damaged {next(numbers)}"
            shutil.copytree(origin, directory)
            damaged = bytearray(path.read_bytes())
            damaged[place] ^= 1
            (directory / path.name).write_bytes(damaged)
            caplog.clear()
            with opened(directory) as store:
                assert store.views.state.same_as(right)
                assert store.metrics.rebuilt["snapshot"] == 1
                store.append(NewEvent("t", "more"))
                assert store.snapshot()
            assert [path.name in message for message in warnings(caplog)] == [True]
            caplog.clear()
            assert state_of(directory).versions["more"] == 1
            assert warnings(caplog) == []


def test_a_file_cut_to_any_length_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also behind the first mark, where a checksum that is missing, and of nothing, is zero."""
    chained(tmp_path, 1)
    [path] = snapshot_files(tmp_path)
    content = path.read_bytes()
    for length in range(len(content)):
        with pytest.raises(DamagedSnapshotError):
            decode(content[:length])
    path.write_bytes(content[:8])
    with opened(tmp_path) as store:
        assert store.metrics.rebuilt["snapshot"] == 1
    assert [path.name in message for message in warnings(caplog)] == [True]


def test_a_chain_with_a_missing_link_is_of_no_use(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chained(tmp_path / "a", 3)
    right = replayed(tmp_path / "a", tmp_path / "b")
    snapshot_files(tmp_path / "a")[0].unlink()
    assert state_of(tmp_path / "a").same_as(right)
    assert len(warnings(caplog)) == 1


def test_a_file_under_another_name_or_of_another_chain_is_not_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A base is meant by its checksum, not by its number."""
    chained(tmp_path / "a", 2)
    chained(tmp_path / "b", 2, seed=50)
    right = replayed(tmp_path / "a", tmp_path / "c")
    base, newest = snapshot_files(tmp_path / "a")
    base.write_bytes(snapshot_files(tmp_path / "b")[0].read_bytes())
    (tmp_path / "a" / newest.name.replace("0", "9", 1)).write_bytes(newest.read_bytes())
    assert state_of(tmp_path / "a").same_as(right)
    assert len(warnings(caplog)) == 1


def test_a_snapshot_of_another_log_is_not_believed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chained(tmp_path / "a", 1)
    chained(tmp_path / "b", 1, seed=50)
    right = replayed(tmp_path / "a", tmp_path / "c")
    for path in snapshot_files(tmp_path / "a"):
        path.write_bytes((tmp_path / "b" / path.name).read_bytes())
    assert state_of(tmp_path / "a").same_as(right)
    assert [message.count("not of this log") for message in warnings(caplog)] == [1]


def test_a_snapshot_ahead_of_its_log_is_not_believed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As when somebody has set the log back: new events get the numbers and versions that the log says."""
    shutil.copytree(_log_of_one(tmp_path), tmp_path / "back")
    with opened(tmp_path / "log") as store:
        store.append_batch([NewEvent("t", "a")] * 5)
        store.snapshot()
    shutil.copy(snapshot_files(tmp_path / "log")[-1], tmp_path / "back")
    with opened(tmp_path / "back") as store:
        assert (store.last_sequence, store.version_of("a")) == (1, 1)
        assert store.append(NewEvent("t", "a")).version == 2
    assert [message.count("not of this log") for message in warnings(caplog)] == [1]


def _log_of_one(tmp_path: Path) -> Path:
    with opened(tmp_path / "log") as store:
        store.append(NewEvent("t", "a"))
    return tmp_path / "log"


# --- failures --------------------------------------------------------------------------------------


def test_a_snapshot_that_cannot_be_written_is_made_up_for_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The call raises; tending goes on; what changed meanwhile is in the next one, an incremental one too."""

    def no_room(path: str, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", path)

    def append(store: EventStore, name: str) -> None:
        store.append(NewEvent("t", name))

    with opened(tmp_path) as store:
        store.append_batch([NewEvent("t", f"a{number}") for number in range(20)])
        store.snapshot()
        append(store, "a1")
        with monkeypatch.context() as patch:
            patch.setattr(snapshots, "write_atomically", no_room)
            with pytest.raises(OSError, match="No space left"):
                store.snapshot()
            store.views.settle()
        assert ["a snapshot failed" in message for message in warnings(caplog)] == [True]
        append(store, "a2")
        assert store.snapshot()
        assert store.health().status == "ok"
    assert snapshot_files(tmp_path)[-1].name.endswith("incr.snap")
    with opened(tmp_path) as store:
        assert (store.version_of("a1"), store.version_of("a2"), store.version_of("a3")) == (2, 2, 1)


def test_nothing_half_written_is_left_under_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing fsync leaves no file at all, neither whole nor temporary."""

    def failing(descriptor: int, path: str) -> None:
        raise files.SyncFailedError(path, OSError(errno.EIO, "Input/output error"))

    with opened(tmp_path) as store:
        store.append(NewEvent("t", "a"))
        before = sorted(path.name for path in tmp_path.iterdir())
        with monkeypatch.context() as patch:
            patch.setattr("store_under_test.event_store.derived.sync", failing)
            with pytest.raises(files.SyncFailedError):
                store.snapshot()
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        assert store.append(NewEvent("t", "a")).version == 2  # no fsync of the log has failed
