"""Opening after a crash or after damage: a torn end is cut, anything else is reported, nothing is guessed."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from store_under_test.event_store import DamagedError, EventStoreError
from store_under_test.event_store.log import Log
from store_under_test.event_store.segment import BLOCK_BYTES, DATA_OFFSET, MARK_OFFSET
from tests.unit.event_store.core_helpers import (
    SMALL,
    contents,
    event,
    filled,
    opened,
    overwrite,
    payloads,
    reread,
    segment_files,
)


def without_mark(path: Path) -> None:
    """As if the process had died: nobody wrote the mark."""
    overwrite(path, MARK_OFFSET, bytes(BLOCK_BYTES))


def frames(directory: Path) -> list[tuple[int, int]]:
    """Start and end of each frame of the last segment."""
    with opened(directory) as store:
        last = store.log.segments()[-1]
        starts = [frame.offset for frame in store.log.frames(last.first_sequence)]
        return list(zip(starts, [*starts[1:], last.end_offset], strict=True))


def test_a_torn_end_is_cut_with_a_warning_and_stays_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever the last write stopped, and also if only its end arrived; the rest is there, and goes on."""
    store = tmp_path / "store"
    store.mkdir()
    filled(store, "one", "two", "three")
    start, end = frames(store)[-1]
    (path,) = segment_files(store)
    whole = path.read_bytes()
    for position in range(start, end, 5):
        for torn in (whole[start:position].ljust(end - start, b"\0"), whole[position:end].rjust(end - start, b"\0")):
            if torn.rstrip(b"\0") in (b"", whole[start:end].rstrip(b"\0")):
                continue
            path.write_bytes(whole)
            without_mark(path)
            overwrite(path, start, torn)
            with caplog.at_level(logging.WARNING):
                assert reread(store) == ["one", "two"]
            assert "bytes of an interrupted write" in caplog.text
            caplog.clear()
            assert path.read_bytes()[start:].strip(b"\0") == b""
            assert reread(store) == ["one", "two"]
            assert caplog.text == ""
    with opened(store) as handle:
        handle.append(event("another"))
    assert reread(store) == ["one", "two", "another"]


def test_zeros_at_the_end_are_no_event_worth_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A crash before the write leaves zeros, which is how the room looks."""
    filled(tmp_path, "one", "two")
    start, end = frames(tmp_path)[-1]
    (path,) = segment_files(tmp_path)
    without_mark(path)
    overwrite(path, start, bytes(end - start))
    assert reread(tmp_path) == ["one"]
    assert caplog.text == ""


def test_damage_before_other_events_is_reported_with_its_extent(tmp_path: Path) -> None:
    """Any byte of any frame but the last, without a mark; nothing is cut and nothing is changed."""
    filled(tmp_path, "one", "two", "three")
    found = frames(tmp_path)
    (path,) = segment_files(tmp_path)
    without_mark(path)
    whole = path.read_bytes()
    for start, end in found[:-1]:
        for position in range(start, end - 8, 3):
            path.write_bytes(whole)
            overwrite(path, position, bytes([whole[position] ^ 0x40]))
            before = contents(tmp_path)
            with pytest.raises(DamagedError) as caught:
                opened(tmp_path)
            assert caught.value.extent == (start, end) and caught.value.path == str(path)
            assert contents(tmp_path) == before


def test_no_damaged_byte_of_a_closed_store_goes_unnoticed(tmp_path: Path) -> None:
    """Bytes all over a small log with two segments: the right events, or an exception. The harness tries every one."""
    with opened(tmp_path) as store:
        for record in ("one", "two", "three"):
            store.append(event(record))
            if record == "two":
                store.compact()
    images = contents(tmp_path)
    for path in segment_files(tmp_path):
        data = images[path.name]
        used = [position for position in range(len(data)) if data[position]][::2]
        unused = range(0, len(data), 1021)
        for position in (*used, *unused):
            for name, image in images.items():
                (tmp_path / name).write_bytes(image)
            overwrite(path, position, bytes([data[position] ^ 0x21]))
            try:
                assert reread(tmp_path) == ["one", "two", "three"]
            except EventStoreError as error:
                assert str(path) in str(error)


def test_a_cut_file_never_goes_unnoticed(tmp_path: Path) -> None:
    """At any length: the right events, or an exception."""
    filled(tmp_path, "one", "two")
    (path,) = segment_files(tmp_path)
    whole = path.read_bytes()
    end = frames(tmp_path)[-1][1]
    for length in (
        *range(0, DATA_OFFSET, 511),
        *range(MARK_OFFSET, MARK_OFFSET + 24, 5),
        *range(DATA_OFFSET, end + 3, 17),
        len(whole) - 1,
    ):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedError):
            reread(tmp_path)


def test_a_grown_segment_that_was_cut_is_noticed(tmp_path: Path) -> None:
    """The header knows the first size only; for the rest there is the mark, and the next segment's header."""
    with opened(tmp_path) as store:
        while store.log.segments()[-1].end_offset < 20_000:
            store.append(event("x" * 300))
    (path,) = segment_files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:17_000])
    with pytest.raises(DamagedError, match="were durable are missing"):
        opened(tmp_path)
    path.write_bytes(whole)
    with opened(tmp_path) as store:
        store.compact()
    path.write_bytes(whole[:17_000])
    with pytest.raises(DamagedError, match="was cut"):
        opened(tmp_path)


def test_the_last_events_of_a_closed_store_are_not_a_torn_end(tmp_path: Path) -> None:
    """Zeros in their place are noticed by the mark, which stays true when the store goes on."""
    filled(tmp_path, "one", "two")
    start, end = frames(tmp_path)[-1]
    (path,) = segment_files(tmp_path)
    whole = path.read_bytes()
    overwrite(path, start, bytes(end - start))
    with pytest.raises(DamagedError, match="events that were durable are missing"):
        opened(tmp_path)
    path.write_bytes(whole)
    with opened(tmp_path) as store:
        store.append(event("three"))
        assert payloads(store) == ["one", "two", "three"]


def test_damage_in_a_sealed_segment_is_found_by_reading(tmp_path: Path) -> None:
    """Opening looks at headers and sizes; a read gives what is before the damage, then says where it is."""
    with opened(tmp_path) as store:
        for record in ("one", "two", "three"):
            store.append(event(record))
        found = [frame.offset for frame in store.log.frames()]
        path = Path(store.log.segments()[0].path)
        store.log.rotate()
        store.append(event("four"))
    overwrite(path, found[1] + 50, b"\xff")
    log = Log.open(tmp_path, SMALL)
    reading = log.frames()
    assert next(reading).events[0].payload == "one"
    with pytest.raises(DamagedError) as caught:
        next(reading)
    assert caught.value.extent == (found[1], found[2])
    with pytest.raises(DamagedError):
        log.frame_at(log.segments()[0], found[1])
    assert next(log.frames(4)).events[0].payload == "four"
    log.close()
    with pytest.raises(DamagedError):
        opened(tmp_path)


def test_frames_of_another_store_are_not_taken_for_its_own(tmp_path: Path) -> None:
    """Bytes of a log that was as long, in the same place, do not verify."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        filled(tmp_path / name, name, name)
    start, end = frames(tmp_path / "one")[-1]
    (mine,), (other,) = segment_files(tmp_path / "one"), segment_files(tmp_path / "two")
    overwrite(mine, start, other.read_bytes()[start:end])
    with pytest.raises(DamagedError):
        opened(tmp_path / "one")
    shutil.copyfile(other, mine)
    assert reread(tmp_path / "one") == ["two", "two"]  # a whole file of its own kind: nobody could know


def test_a_damaged_lease_file_is_of_no_consequence(tmp_path: Path) -> None:
    """Its content only helps to wait and to count openings."""
    filled(tmp_path, "one")
    for content in (b"", b"garbage" * 100, bytes(44)):
        (tmp_path / "lease").write_bytes(content)
        with opened(tmp_path) as store:
            assert store.append(event("more")).sequence > 1
