"""Appending and reading: order, versions, batches, rotation, retention, and what a handle refuses."""

from __future__ import annotations

import itertools
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from crc32c import crc32c

from store_under_test.event_store import (
    BatchSizeError,
    BatchTooLargeError,
    CursorExpiredError,
    DamagedError,
    EventStore,
    EventTooLargeError,
    ForeignFormatError,
    InvalidEventError,
    LockedError,
    ReadOnlyError,
    StoreClosedError,
    WrongVersionError,
)
from store_under_test.event_store.log import Log
from store_under_test.event_store.recovery import SegmentInfo
from store_under_test.event_store.segment import BLOCK_BYTES, DATA_OFFSET, parsed_name
from tests.unit.event_store.core_helpers import (
    SMALL,
    contents,
    event,
    filled,
    opened,
    payloads,
    reread,
    segment_files,
)


def test_events_get_sequences_and_versions(tmp_path: Path) -> None:
    """Sequences count all events, versions those of an aggregate, over batches and openings."""
    with opened(tmp_path) as store:
        assert store.last_sequence == 0
        first = store.append(event("one", "a"))
        batch = store.append_batch([event("two", "b"), event("three", "a")])
        assert [(e.sequence, e.aggregate, e.version) for e in (first, *batch)] == [
            (1, "a", 1),
            (2, "b", 1),
            (3, "a", 2),
        ]
    with opened(tmp_path) as store:
        assert store.append(event("four", "a")).version == 3
        assert [e.payload for e in store.read()] == ["one", "two", "three", "four"]
        assert list(store.read())[:3] == [first, *batch]
        assert [e.sequence for e in store.read(3)] == [3, 4]
        assert list(store.read(5)) == [] and store.last_sequence == 4


def test_an_expected_version_is_compared_before_anything_is_written(tmp_path: Path) -> None:
    """For one aggregate as a number, for several as a dictionary; nothing is given out by a refusal."""
    with opened(tmp_path) as store:
        store.append(event(aggregate="a"), expected_version=0)
        before = contents(tmp_path)
        with pytest.raises(WrongVersionError, match="'a' is at version 1, not 0") as caught:
            store.append(event(aggregate="a"), expected_version=0)
        assert (caught.value.aggregate, caught.value.expected, caught.value.actual) == ("a", 0, 1)
        with pytest.raises(WrongVersionError):
            store.append_batch([event(aggregate="a"), event(aggregate="b")], expected_version={"a": 1, "b": 3})
        with pytest.raises(InvalidEventError, match="several aggregates"):
            store.append_batch([event(aggregate="a"), event(aggregate="b")], expected_version=1)
        assert contents(tmp_path) == before
        store.append_batch([event(aggregate="a"), event(aggregate="b")], expected_version={"a": 1, "b": 0})
        assert store.append(event(aggregate="a"), expected_version=2).version == 3


@pytest.mark.parametrize(
    ("events", "error"),
    [
        ([event(bytes(1 << 20))], EventTooLargeError),
        ([event()] * 1001, BatchSizeError),
        ([], BatchSizeError),
        ([event(bytes(1 << 19))] * 20, BatchTooLargeError),
        ([event(), event({1, 2})], InvalidEventError),
    ],
    ids=["event", "batch", "empty", "bytes", "form"],
)
def test_beyond_a_limit_nothing_is_written(tmp_path: Path, events: list[Any], error: type[Exception]) -> None:
    """The whole batch is refused, and the store goes on."""
    with opened(tmp_path) as store:
        store.append(event("before"))
        before = contents(tmp_path)
        with pytest.raises(error):
            store.append_batch(events)
        assert contents(tmp_path) == before
        assert store.append(event("after")).sequence == 2


def test_a_full_segment_is_sealed_and_the_next_one_begun(tmp_path: Path) -> None:
    """Segments follow each other without a gap; no file grows beyond its limit; all is read in order."""
    records = [f"{number}-{'x' * 900}" for number in range(60)]
    with opened(tmp_path) as store:
        told: list[SegmentInfo] = []
        store.log.on_sealed(told.append)
        for record in records:
            store.append(event(record))
        segments = store.log.segments()
        assert len(segments) > 2 and list(segments[:-1]) == told
        for older, newer in itertools.pairwise(segments):
            assert newer.first_sequence == older.last_sequence + 1 and older.sealed
        assert segments[-1].last_sequence == 60 and not segments[-1].sealed
        assert max(path.stat().st_size for path in segment_files(tmp_path)) <= SMALL.sizes.segment_bytes
        assert payloads(store) == records
        assert [e.payload for e in store.read(40)] == records[39:]
    with opened(tmp_path) as store:
        assert store.log.segments() == segments
        assert payloads(store) == records


def test_a_batch_larger_than_a_segment_gets_one_of_its_own(tmp_path: Path) -> None:
    """Up to the largest batch."""
    large = [bytes(900_000)] * 11
    with opened(tmp_path) as store:
        store.append(event("small"))
        store.append_batch([event(record) for record in large])
        store.append(event("small again"))
        assert [info.first_sequence for info in store.log.segments()] == [1, 2, 13]
    assert reread(tmp_path) == ["small", *large, "small again"]


def test_appending_changes_no_size_within_the_room(tmp_path: Path) -> None:
    """The room is there before the frames; it grows by steps."""
    with opened(tmp_path) as store:
        (path,) = segment_files(tmp_path)
        sizes = []
        while len(segment_files(tmp_path)) == 1:
            sizes.append(path.stat().st_size)
            store.append(event("x" * 500))
    assert sorted(set(sizes)) == [DATA_OFFSET + 8192, DATA_OFFSET + 2 * 8192, DATA_OFFSET + 3 * 8192]


def test_compacting_seals_what_has_events(tmp_path: Path) -> None:
    """Twice is once."""
    with opened(tmp_path) as store:
        store.compact()
        store.append(event("one"))
        store.compact()
        store.compact()
        assert [(info.first_sequence, info.sealed) for info in store.log.segments()] == [(1, True), (2, False)]
    assert reread(tmp_path) == ["one"]


def test_retention_removes_whole_segments_for_good(tmp_path: Path) -> None:
    """What is gone stays gone over a reopening, also when the files were not removed yet."""
    with opened(tmp_path) as store:
        for number in range(6):
            store.append_batch([event(number), event(-number)])
            store.compact()
        assert store.log.retain_from(1) == ()
        doomed = segment_files(tmp_path)[:2]
        kept = {path: path.read_bytes() for path in doomed}
        removed = store.log.retain_from(6)  # in the middle of the third
        assert [info.first_sequence for info in removed] == [1, 3]
        assert store.log.retained_from == 5
        assert payloads(store) == [2, -2, 3, -3, 4, -4, 5, -5]
        with pytest.raises(CursorExpiredError, match="events before 5 are gone; the cursor points to 4"):
            next(store.read(4))
    for path, data in kept.items():
        path.write_bytes(data)  # as if the removal had been lost in a crash
    with opened(tmp_path) as store:
        assert store.log.retained_from == 5
        assert payloads(store) == [2, -2, 3, -3, 4, -4, 5, -5]
        assert not any(path.exists() for path in doomed)
        store.append(event("more"))
        store.compact()
    with opened(tmp_path) as store:  # now the header of the last segment has to say it
        assert (store.log.retained_from, payloads(store)[-1]) == (5, "more")


def test_a_reader_in_a_removed_segment_is_told(tmp_path: Path) -> None:
    """Not silently moved on, and not told of damage."""
    with opened(tmp_path) as store:
        for number in range(3):
            store.append(event(number))
            store.compact()
        reading = store.read()
        assert next(reading).payload == 0
        store.log.retain_from(3)
        with pytest.raises(CursorExpiredError):
            next(reading)
        with pytest.raises(CursorExpiredError):
            store.log.frame_at(SegmentInfo(2, 2, str(tmp_path / "gone"), 9000, True, b""), DATA_OFFSET)


def test_readers_see_durable_events_only_and_those_that_come(tmp_path: Path) -> None:
    """A view is told of a frame before its append returns, and can read it by its place."""
    with opened(tmp_path) as store:
        seen: list[tuple[list[Any], list[Any]]] = []
        store.log.on_durable(lambda events, segment, offset: seen.append((events, store.log.frame_at(segment, offset))))
        reading = store.read()
        store.append(event("one"))
        assert next(reading).payload == "one"
        batch = store.append_batch([event("two"), event("three")])
        assert [e.payload for e in reading] == ["two", "three"]
        assert seen[1] == (batch, batch) and len(seen) == 2


def test_a_view_that_fails_stops_the_store_but_loses_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its append is acknowledged: the events are durable."""

    def broken(*_: object) -> None:
        raise LookupError("no such index")

    with opened(tmp_path) as store:
        store.log.on_durable(broken)
        assert store.append(event("kept")).sequence == 1
        assert store.state.kind == "failed"
        with pytest.raises(ReadOnlyError, match="no such index"):
            store.append(event("refused"))
    with opened(tmp_path) as store:
        store.log.on_sealed(broken)
        store.compact()
        assert store.state.kind == "failed"
    assert "a view of the log failed" in caplog.text
    assert reread(tmp_path) == ["kept"]


def test_a_closed_store_refuses(tmp_path: Path) -> None:
    """Closing twice is closing once."""
    store = opened(tmp_path)
    store.close()
    store.close()
    assert (store.state.kind, store.state.reason) == ("failed", "closed")
    with pytest.raises(StoreClosedError):
        store.append(event())
    with pytest.raises(StoreClosedError):
        store.compact()


def test_a_second_handle_is_locked_out(tmp_path: Path) -> None:
    """It is told who holds the lock; nothing is written; once the first is closed it may."""
    with opened(tmp_path) as store:
        store.append(event("one"))
        before = contents(tmp_path)
        with pytest.raises(LockedError, match=f"held by process {os.getpid()}") as caught:
            opened(tmp_path)
        assert isinstance(caught.value, TimeoutError)
        assert contents(tmp_path) == before
    assert reread(tmp_path) == ["one"]


@pytest.mark.parametrize("names", [("notes.txt",), ("a.db", "b.db")])
def test_a_directory_of_another_program_is_left_alone(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Not even a lock is put there."""
    for name in names:
        (tmp_path / name).write_text("theirs")
    with pytest.raises(ForeignFormatError, match="files of another program"):
        opened(tmp_path)
    assert sorted(os.listdir(tmp_path)) == list(names)


def test_what_a_file_system_puts_there_is_of_no_other_program(tmp_path: Path) -> None:
    """A new disk has a directory of its own, and some tools leave hidden files."""
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".keep").write_text("")
    filled(tmp_path, "one")
    assert reread(tmp_path) == ["one"]


def test_files_of_others_do_not_disturb_a_store(tmp_path: Path) -> None:
    """Beside the store's own they stay as they are; unfinished files of the store go."""
    filled(tmp_path, "one")
    (tmp_path / "README").write_text("theirs")
    (tmp_path / "events-0.tmp").write_text("unfinished")
    assert reread(tmp_path) == ["one"]
    assert (tmp_path / "README").exists() and not (tmp_path / "events-0.tmp").exists()


def test_a_newer_format_is_not_touched(tmp_path: Path) -> None:
    """The store says which version it found."""
    filled(tmp_path, "one")
    (path,) = segment_files(tmp_path)
    data = bytearray(path.read_bytes())
    data[8] = 9
    data[BLOCK_BYTES - 4 : BLOCK_BYTES] = crc32c(bytes(data[: BLOCK_BYTES - 4])).to_bytes(4, "little")
    path.write_bytes(data)
    before = contents(tmp_path)
    with pytest.raises(ForeignFormatError, match="format version 9"):
        opened(tmp_path)
    assert contents(tmp_path) == before


def test_a_forked_child_cannot_write(tmp_path: Path) -> None:
    """Its handle is refused and frees nothing; the parent goes on."""
    store = opened(tmp_path)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            store.append(event("child"))
        except StoreClosedError:
            store.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with pytest.raises(LockedError):
        opened(tmp_path)
    store.append(event("parent"))
    store.close()
    assert reread(tmp_path) == ["parent"]


def test_a_directory_that_is_not_there_is_made(tmp_path: Path) -> None:
    """But not its parents."""
    with EventStore.open(tmp_path / "new") as store:
        store.append(event("one"))
    with pytest.raises(FileNotFoundError):
        EventStore.open(tmp_path / "no" / "parent")


def test_a_symbolic_link_is_no_segment(tmp_path: Path) -> None:
    """Nobody makes the store read or write elsewhere."""
    filled(tmp_path, "one")
    (path,) = segment_files(tmp_path)
    elsewhere = path.rename(tmp_path / "elsewhere")
    path.symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic"):
        opened(tmp_path)


def test_a_missing_segment_is_damage(tmp_path: Path) -> None:
    """Unless retention said that it may be; and while the store is open, too."""
    with opened(tmp_path) as store:
        for number in range(3):
            store.append(event(number))
            store.log.rotate()
        path = segment_files(tmp_path)[1]
        kept = path.read_bytes()
        path.unlink()
        with pytest.raises(DamagedError, match="segment is missing"):
            payloads(store)
    with pytest.raises(DamagedError, match="segment is missing"):
        opened(tmp_path)
    path.write_bytes(kept)
    assert reread(tmp_path) == [0, 1, 2]


def test_a_segment_that_nothing_explains_is_left_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that someone copied there is no part of the log; one that a newer epoch replaced goes."""
    filled(tmp_path, *"abc")
    (path,) = segment_files(tmp_path)
    assert parsed_name(path.name) == (1, 1)
    stray = path.with_name("events-00000000000000000001-0000000000.log")
    stray.write_bytes(b"")
    with opened(tmp_path) as store:
        store.compact()
    assert not stray.exists()
    odd = path.with_name("events-00000000000000000002-0000000001.log")
    odd.write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert reread(tmp_path) == [*"abc"]
    assert odd.exists() and "is no part of the log" in caplog.text


def test_log_open_closes_what_it_opened_when_it_fails(tmp_path: Path) -> None:
    """After a failure the directory is not locked."""
    filled(tmp_path, "one")
    (path,) = segment_files(tmp_path)
    data = path.read_bytes()
    path.write_bytes(b"not a segment")
    for _ in range(3):
        with pytest.raises(DamagedError):
            Log.open(tmp_path, SMALL)
    path.write_bytes(data)
    assert reread(tmp_path) == ["one"]
