"""verify names every damaged extent, and exactly the events that are lost; repair restores the rest."""

from __future__ import annotations

import errno
import logging
from contextlib import ExitStack
from pathlib import Path

import pytest

from store_under_test.event_store import DamagedError, LockedError, Patience, copies, files
from store_under_test.event_store.repair import repair, restore
from store_under_test.event_store.reports import Extent, Lost, Report
from store_under_test.event_store.verify import verify
from tests.unit.event_store.small_logs import (
    LONG,
    append,
    contents,
    flipped,
    names,
    opened,
    put,
    read,
    texts_of,
    write,
    zeroed,
)

#: Sequences 1 to 3, 4 and 5, 6 to 8.
TEXTS = ["one", "two", "three", "|", "four", LONG, "|", "six", "seven", "eight"]
EVENTS = [text for text in TEXTS if text != "|"]


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A log without redundancy."""
    write(tmp_path, TEXTS, redundancy=None)
    return tmp_path


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A log with mirror and parity."""
    write(tmp_path, TEXTS)
    return tmp_path


def change(directory: Path, name: str, place: int) -> None:
    """Flip a bit of a file."""
    put(directory, contents(directory) | {name: flipped(contents(directory)[name], place)})


def damaged_everywhere(whole: dict[str, bytes]) -> dict[str, bytes]:
    """Every file with a damaged block; both copies of the last segment, in different events."""
    return {name: flipped(content, 8192 + (130 if name.endswith(".mir") else 9)) for name, content in whole.items()}


def starts(directory: Path, number: int) -> list[int]:
    """Where the frames of a segment start."""
    content = (directory / segment(directory, number)).read_bytes()
    return [place for place in range(8192, len(content), 8) if content[place : place + 4] == b"\xf5EvF"]


def segment(directory: Path, number: int) -> str:
    return f"{names(directory, '.log')[number]}.log"


@pytest.mark.parametrize("redundancy", [None, "parity"])
def test_a_sound_log_has_no_damage(tmp_path: Path, redundancy: str | None) -> None:
    """Empty, new, with several segments, after retention, and while it is open: nothing is found."""
    assert verify(tmp_path) == Report()
    write(tmp_path, [], redundancy)
    assert verify(tmp_path).is_sound
    write(tmp_path, TEXTS, redundancy)
    assert verify(tmp_path) == Report()
    with opened(tmp_path, redundancy) as store:
        assert store.verify() == store.repair() == Report()
        store.log.rotate()
        store.log.retain_from(5)
        append(store, "nine")
        assert store.verify().is_sound and store.verify().is_complete
    assert repair(tmp_path) == (Report(), Report())


def test_verify_changes_nothing(kept: Path) -> None:
    """Not of a damaged log either."""
    change(kept, segment(kept, 0), 8200)
    change(kept, f"{names(kept, '.log')[2]}.mir", 8200)
    before = contents(kept)
    assert len(verify(kept).extents) == 2
    assert contents(kept) == before


@pytest.mark.parametrize(("frame", "lost"), [(0, Lost(1, 1)), (1, Lost(2, 2)), (2, Lost(3, 3))])
def test_a_lost_event_of_a_sealed_segment_is_named(bare: Path, frame: int, lost: Lost) -> None:
    """No more and no fewer, wherever it stands; the last one by where the next segment begins."""
    places = [*starts(bare, 0), 0]
    change(bare, segment(bare, 0), places[frame] + 50)
    report = verify(bare)
    assert report.lost == (lost,) and not report.is_complete
    (extent,) = report.extents
    assert extent.name == segment(bare, 0) and extent.start == places[frame]
    assert extent.end == places[frame + 1] or frame == 2
    assert not extent.restorable
    with pytest.raises(DamagedError):
        read(bare, None)


def test_two_damaged_places_are_two_extents(bare: Path) -> None:
    """And what stands between them is not lost."""
    first, _, third = starts(bare, 0)
    change(bare, segment(bare, 0), first + 50)
    change(bare, segment(bare, 0), third + 50)
    report = verify(bare)
    assert report.lost == (Lost(1, 1), Lost(3, 3))
    assert [extent.start for extent in report.extents] == [first, third]


@pytest.mark.parametrize(("number", "lost"), [(0, Lost(1, 3)), (1, Lost(4, 5)), (2, Lost(6, None))])
def test_without_a_header_all_events_of_a_segment_are_lost(bare: Path, number: int, lost: Lost) -> None:
    """The segments around it are still looked at; how many the last one had, nobody knows."""
    change(bare, segment(bare, number), 20)
    change(bare, segment(bare, (number + 1) % 3), 5000)
    report = verify(bare)
    assert report.lost == (lost,)
    assert [(extent.name, extent.what) for extent in report.extents if extent.what != "mark"] == [
        (segment(bare, number), "header")
    ]


@pytest.mark.parametrize(("number", "lost"), [(0, Lost(1, 3)), (1, Lost(4, 5))])
def test_a_missing_segment_is_lost(bare: Path, number: int, lost: Lost) -> None:
    """By what the one after it says; the one before it is still looked at."""
    name = segment(bare, number)
    (bare / name).unlink()
    report = verify(bare)
    assert lost in report.lost
    assert (name, "the file is missing") in [(extent.name, extent.what) for extent in report.extents]


def test_a_missing_first_segment_whose_neighbour_is_damaged(bare: Path) -> None:
    """Neither a header nor a name tells of it, but the numbers do."""
    (bare / segment(bare, 0)).unlink()
    change(bare, segment(bare, 0), 20)
    assert verify(bare).lost == (Lost(1, 3), Lost(4, 5))


def test_durable_events_missing_at_the_end_are_lost(bare: Path) -> None:
    """The mark says that there were some, and not how many."""
    last = starts(bare, 2)[-1]
    change(bare, segment(bare, 2), last + 50)
    report = verify(bare)
    assert report.lost == (Lost(8, None),)
    assert [(extent.start, extent.what) for extent in report.extents] == [(last, "events that were durable")]


def test_a_cut_file_is_noticed(bare: Path) -> None:
    """Also where only room for events is missing."""
    name = segment(bare, 2)
    whole = (bare / name).read_bytes()
    (bare / name).write_bytes(whole[:-1])
    assert verify(bare) == Report((Extent(name, len(whole) - 1, len(whole), "the file was cut", True),))


def test_bytes_that_carry_no_event_are_noticed(bare: Path) -> None:
    """The mark, what fills a frame up, and what follows the last event: damaged, and nothing is lost."""
    name = segment(bare, 2)
    first, second, third = starts(bare, 2)
    end = third + (second - first)
    assert verify(bare).is_sound
    change(bare, name, 4100)
    assert verify(bare) == Report((Extent(name, 4096, 8192, "mark", True),))
    change(bare, name, 4100)
    change(bare, name, end + 100)
    assert [extent.what for extent in verify(bare).extents] == ["after the last event"]
    assert verify(bare).extents[0].start == end + 100


def test_filling_between_events_is_noticed(tmp_path: Path) -> None:
    """Zeros that fill a frame up to a multiple of 8, in the last frame and in others."""
    write(tmp_path, ["a" * length for length in range(1, 9)], redundancy=None)
    name = segment(tmp_path, 0)
    whole = contents(tmp_path)
    padded = [start for start in [*starts(tmp_path, 0)[1:]] if whole[name][start - 1] == 0]
    assert len(padded) > 4
    for start in padded:
        put(tmp_path, whole | {name: flipped(whole[name], start - 1)})
        report = verify(tmp_path)
        assert report.is_complete and [extent.end for extent in report.extents] == [start]
        assert read(tmp_path, None) == ["a" * length for length in range(1, 9)]


def test_what_retention_removed_is_not_lost(bare: Path) -> None:
    """Whether or not the file is still there."""
    old = contents(bare)
    with opened(bare, None) as store:
        store.log.retain_from(6)
    assert verify(bare).is_sound
    name = min(old)
    put(bare, contents(bare) | {name: zeroed(old[name], 0)})
    assert verify(bare).is_sound


def test_damaged_snapshots_and_indexes_are_noticed_and_made_anew(kept: Path) -> None:
    """They cost no event: reported, removed by a repair, and there again when they are needed."""
    with opened(kept) as store:
        store.compact()
    derived = [path for path in sorted(kept.iterdir()) if path.suffix in (".snap", ".idx")]
    assert {path.suffix for path in derived} == {".snap", ".idx"} and verify(kept).is_sound
    for path in derived:
        whole = path.read_bytes()
        for place in (0, 13, len(whole) - 1):
            path.write_bytes(flipped(whole, place))
            report = verify(kept)
            assert {extent.name for extent in report.extents} == {path.name} and report.is_complete
        path.write_bytes(whole)
    for path in derived:
        path.write_bytes(flipped(path.read_bytes(), 13))
    assert repair(kept)[1] == Report()
    assert not any(path.exists() for path in derived)
    assert read(kept) == EVENTS


def test_other_checks_join_in(bare: Path) -> None:
    """What others know of their files stands in the same report."""
    damage = Extent("snapshot", 0, 1, "snapshot", True)
    assert verify(bare, [lambda directory: [damage]]) == Report((damage,))


# --- repair -------------------------------------------------------------------------------------


def test_everything_restorable_is_restored(kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One damaged block in each file at once: reported, restored, kept beside, and the files are what they were."""
    whole = contents(kept)
    put(kept, damaged_everywhere(whole))
    before, after = repair(kept)
    assert {extent.name for extent in before.extents} == set(whole)
    assert before.is_complete and all(extent.restorable for extent in before.extents)
    assert after == Report()
    assert {name: content for name, content in contents(kept).items() if "quarantine" not in name} == whole
    assert len(list(kept.glob("quarantine-*"))) == 4  # two segments and both copies of the last
    assert read(kept) == EVENTS
    assert any(record.levelno == logging.WARNING for record in caplog.records)


def test_an_open_store_is_repaired(kept: Path) -> None:
    """As a closed one, and it goes on."""
    with opened(kept) as store:
        for name in (segment(kept, 0), segment(kept, 2), f"{names(kept, '.log')[1]}.par"):
            path = kept / name
            path.write_bytes(flipped(path.read_bytes(), 8192 + 9))
        assert len(store.verify().extents) == 3
        assert store.repair() == Report()
        append(store, "nine")
        assert texts_of(store) == [*EVENTS, "nine"]
    assert read(kept) == [*EVENTS, "nine"]


def test_what_cannot_be_restored_stays_and_the_rest_is_restored(kept: Path) -> None:
    """Two blocks of a stripe, and the same place of both copies: the events are named, before and after."""
    first, last = segment(kept, 0), segment(kept, 2)
    for place in (starts(kept, 0)[1] + 50, 4096):
        change(kept, first, place)
    place = starts(kept, 2)[1] + 50
    change(kept, last, place)
    change(kept, f"{names(kept, '.log')[2]}.mir", place)
    change(kept, segment(kept, 1), starts(kept, 1)[0] + 50)
    before, after = repair(kept)
    assert before.lost == after.lost == (Lost(2, 2), Lost(7, 7))
    hopeless = {first, last, last.replace(".log", ".mir")}
    assert {extent.name for extent in before.extents} == hopeless | {segment(kept, 1)}
    assert {extent.name for extent in after.extents} == hopeless
    assert not any(extent.restorable for extent in after.extents)


def test_parity_of_a_damaged_segment_is_not_made(kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a table nor the segment is sound: nothing is written over the parity."""
    beside = f"{names(kept, '.log')[0]}.par"
    change(kept, segment(kept, 0), starts(kept, 0)[1] + 50)
    (kept / beside).write_bytes(b"?" * 12288)
    _, after = repair(kept)
    assert after.lost == (Lost(2, 2),) and (kept / beside).read_bytes() == b"?" * 12288
    assert any("so is the segment" in record.message for record in caplog.records)


def test_damaged_headers_of_both_copies(kept: Path) -> None:
    """Nothing to go by for the last segment; the others are found by their names, and restored."""
    last = names(kept, ".log")[2]
    change(kept, f"{last}.log", 20)
    change(kept, f"{last}.mir", 20)
    change(kept, segment(kept, 1), 20)
    before, after = repair(kept)
    assert before.lost == after.lost == (Lost(6, None),)
    assert {extent.name for extent in before.extents} == {f"{last}.log", f"{last}.mir", segment(kept, 1)}
    assert {extent.name for extent in after.extents} == {f"{last}.log", f"{last}.mir"}


def test_a_missing_segment_is_restored_from_its_mirror(kept: Path) -> None:
    """The last one; of a sealed one there is no copy."""
    (kept / segment(kept, 2)).unlink()
    before, after = repair(kept)
    assert before.is_complete and not before.is_sound and after == Report()
    assert read(kept) == EVENTS
    (kept / segment(kept, 1)).unlink()
    before, after = repair(kept)
    assert before.lost == after.lost == (Lost(4, 5),)


def test_repair_waits_for_the_lock(kept: Path) -> None:
    """Nothing is repaired under the hands of a writer."""
    with opened(kept), pytest.raises(LockedError):
        repair(kept, patience=Patience(timeout_s=0))


class Crash(BaseException):
    """The process dies."""


class Mortal:
    """Dies at the call number `left`; of a write, half is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
        self.left = left
        self.write_at = files.write_at
        monkeypatch.setattr(files, "write_at", self._write_at)
        for module, name in ((files, "sync"), (copies, "sync_directory"), (copies.os, "rename")):
            monkeypatch.setattr(module, name, self._dying(getattr(module, name)))

    def _dying(self, call):  # type: ignore[no-untyped-def]
        def called(*arguments: object) -> object:
            self._count()
            return call(*arguments)

        return called

    def _write_at(self, descriptor: int, data: bytes, offset: int) -> None:
        if self.left == 1:
            self.write_at(descriptor, data[: len(data) // 2], offset)
        self._count()
        self.write_at(descriptor, data, offset)

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Crash
        if self.left < 0:
            raise OSError(errno.EIO, "nothing is written after death")


@pytest.mark.parametrize("how", ["restore", "open"])
def test_repair_can_be_interrupted_anywhere(kept: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """The process dies at each of its calls, in the middle of writes too: done again, everything is restored."""
    whole = contents(kept)
    damaged = damaged_everywhere(whole)
    crashes = 0
    for number in range(1, 200):
        put(kept, damaged)
        with ExitStack() as closing, monkeypatch.context() as patch:
            mortal = Mortal(patch, number)
            try:
                restore(str(kept)) if how == "restore" else closing.enter_context(opened(kept)).read()
            except Crash:
                crashes += 1
            else:
                assert mortal.left > 0
                break
        assert read(kept) == EVENTS
        # Opening looks at the first table of a parity file only.
        assert {extent.what for extent in verify(kept).extents} <= {"parity"}
    assert crashes > 20
    restore(str(kept))
    assert {name: content for name, content in contents(kept).items() if name in whole} == whole
