"""Index files are derived: whatever happens to them, answers are right."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from store_under_test.event_store import index
from store_under_test.event_store.event import Event
from store_under_test.event_store.indexfile import IndexFile
from store_under_test.event_store.postings import FIELDS
from tests.unit.event_store.views_helpers import drawn, filled, index_files, opened, warnings

QUESTION: dict[str, Any] = {"type": "done", "actor": "p", "since": 120.0}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """A closed store with an index file for each of its sealed segments."""
    directory = tmp_path_factory.mktemp("indexed")
    with opened(directory) as store:
        stored = filled(store, drawn(250))
        store.compact()
    assert len(index_files(directory)) >= 3
    return directory, stored


@pytest.fixture
def copy(indexed: tuple[Path, list[Event]], tmp_path: Path) -> tuple[Path, list[Event]]:
    shutil.copytree(indexed[0], tmp_path / "copy")
    return tmp_path / "copy", indexed[1]


def answer(directory: Path) -> list[Event]:
    """Everything that an index is used for, once."""
    with opened(directory) as store:
        assert [one.id for one in store.causation_chain("e60")][-1] == "e60"
        assert store.find("nobody") is None
        assert store.effects("nobody") == []
        streams = [one for name in "abc" for one in store.read_stream(name)]
        assert len(streams) == sum(one.aggregate in "abc" for one in store.read())
        assert len(store.query(correlation="s1").events) > 0
        return store.query(**QUESTION).events


def right(stored: list[Event]) -> list[Event]:
    return [one for one in stored if one.type == "done" and one.actor == "p" and one.timestamp >= 120]


def test_sound_files_are_used_without_a_word(
    copy: tuple[Path, list[Event]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is written, nor read from segments but the matches."""
    monkeypatch.setattr(index, "write_index", lambda *given: pytest.fail("an index was made again"))
    assert answer(copy[0]) == right(copy[1])
    assert warnings(caplog) == []


def test_a_missing_file_is_made_again_without_a_word(
    copy: tuple[Path, list[Event]], caplog: pytest.LogCaptureFixture
) -> None:
    directory, stored = copy
    lost = index_files(directory)[1]
    before = lost.read_bytes()
    lost.unlink()
    assert answer(directory) == right(stored)
    assert lost.read_bytes() == before
    assert warnings(caplog) == []


def places(directory: Path, number: int) -> list[int]:
    """Bytes in the start and in the header, and one in each of the arrays."""
    with opened(directory) as store:
        segment = store.log.segments()[number]
        file = IndexFile.open(segment)
    assert file is not None
    parts = [offset + length // 2 for offset, length, _ in file.header.parts.values()]
    assert len(parts) == 3 + 3 * len(FIELDS)
    return [0, 8, 12, 40, *parts]


def test_damage_anywhere_is_one_warning_and_a_right_answer(
    copy: tuple[Path, list[Event]], caplog: pytest.LogCaptureFixture
) -> None:
    """Each part of the file has its checksum. Afterwards the file is whole again."""
    directory, stored = copy
    path = index_files(directory)[1]
    sound = path.read_bytes()
    for place in places(directory, 1):
        damaged = bytearray(sound)
        damaged[place] ^= 0x40
        path.write_bytes(damaged)
        caplog.clear()
        assert answer(directory) == right(stored)
        said = warnings(caplog)
        assert len(said) == 1 and path.name in said[0] and "made again" in said[0]
        assert path.read_bytes() == sound


@pytest.mark.parametrize("left_bytes", [0, 5, 16, 200, -1])
def test_a_file_that_was_cut_is_made_again(
    copy: tuple[Path, list[Event]], left_bytes: int, caplog: pytest.LogCaptureFixture
) -> None:
    directory, stored = copy
    path = index_files(directory)[0]
    sound = path.read_bytes()
    path.write_bytes(sound[:left_bytes])
    with opened(directory) as store:
        assert store.query(**QUESTION).events == right(stored)
        store.find("e9"), store.effects("e9"), store.query(correlation="s1"), store.query(aggregate="a")
        assert store.metrics.rebuilt == {"index": 1, "snapshot": 0}
        assert [alert.name for alert in store.health().alerts] == ["views_rebuilt"]
    assert path.read_bytes() == sound
    assert len(warnings(caplog)) == 1


def test_the_index_of_another_segment_is_not_believed(
    copy: tuple[Path, list[Event]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither that of a neighbour nor that of the same events in another log."""
    directory, stored = copy
    with opened(tmp_path / "other") as other:
        filled(other, drawn(250))
        other.compact()
    first, second, *_ = index_files(directory)
    sound = first.read_bytes(), second.read_bytes()
    first.write_bytes(index_files(tmp_path / "other")[0].read_bytes())
    second.write_bytes(sound[0])
    assert answer(directory) == right(stored)
    assert (first.read_bytes(), second.read_bytes()) == sound
    assert [message.count("another segment") for message in warnings(caplog)] == [1, 1]


def test_a_disk_without_room_for_an_index_costs_time_only(
    copy: tuple[Path, list[Event]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    directory, stored = copy
    index_files(directory)[0].unlink()

    def no_room(path: str, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", path)

    monkeypatch.setattr("store_under_test.event_store.indexfile.write_atomically", no_room)
    with opened(directory) as store:
        assert store.query(**QUESTION).events == right(stored)
        assert store.query(**QUESTION).events == right(stored)
    assert len(warnings(caplog)) == 1
    assert "could not write the index" in warnings(caplog)[0]


def test_a_file_that_vanishes_while_the_store_is_open_is_made_again(copy: tuple[Path, list[Event]]) -> None:
    directory, stored = copy
    with opened(directory, cache_bytes=0) as store:
        assert store.query(**QUESTION).events == right(stored)
        for path in index_files(directory):
            path.unlink()
        assert store.query(**QUESTION).events == right(stored)
        assert store.query(aggregate="a").events == [one for one in stored if one.aggregate == "a"]


def test_what_is_kept_of_index_files_is_bounded(copy: tuple[Path, list[Event]]) -> None:
    """By bytes, whatever is asked; with hardly any room left, answers are the same."""
    directory, stored = copy
    for limit in (3000, 0):
        with opened(directory, cache_bytes=limit) as store:
            cache = store.views._indexes.cache
            for _ in range(2):
                for field in ("type", "actor", "aggregate", "correlation"):
                    store.query(**{field: "a"})
                assert store.query(**QUESTION).events == right(stored)
                store.find("e7")
            largest = max(len(stored) * 16, limit)
            assert cache.used_bytes <= largest
            assert len(cache._parts) < len(FIELDS) * len(index_files(directory))


def test_index_files_of_removed_segments_go_too(copy: tuple[Path, list[Event]]) -> None:
    directory, _ = copy
    stray = directory / "events-00000000000000000900-0000000001.idx"
    stray.write_bytes(b"")
    opened(directory).close()
    assert not stray.exists()
