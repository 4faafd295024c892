"""Two copies of what is being written, parity of what is sealed, at every moment."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from pathlib import Path

import pytest

from store_under_test.event_store import (
    DamagedError,
    NewEvent,
    ReadOnlyError,
    copies,
    files,
    mirror,
    parity,
    sealed,
)
from store_under_test.event_store.aio import AsyncEventStore
from store_under_test.event_store.guard import ParityGuard
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

TEXTS = ["one", "two", "|", "three", LONG, "|", "four", "five"]
EVENTS = [text for text in TEXTS if text != "|"]


def active(directory: Path) -> str:
    """The name of the last segment, without its suffix."""
    return names(directory, ".log")[-1]


def no_space(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, "no space left on device")


def test_what_is_acknowledged_is_in_both_copies(tmp_path: Path) -> None:
    """At every acknowledgement, and through growth and rotation, the mirror is what the segment is."""
    with opened(tmp_path) as store:
        for text in ("one", LONG, "two", LONG, LONG, LONG):
            append(store, text)
            name = active(tmp_path)
            assert (tmp_path / f"{name}.mir").read_bytes() == (tmp_path / f"{name}.log").read_bytes()
            assert text.encode() in (tmp_path / f"{name}.mir").read_bytes()
    name = active(tmp_path)
    assert (tmp_path / f"{name}.mir").read_bytes() == (tmp_path / f"{name}.log").read_bytes()


def test_sealed_segments_have_parity_and_no_mirror(tmp_path: Path) -> None:
    """A mirror for the active segment, parity for the others."""
    write(tmp_path, TEXTS)
    segments = names(tmp_path, ".log")
    assert names(tmp_path, ".mir") == segments[-1:]
    assert names(tmp_path, ".par") == segments[:-1]
    assert len(segments) == 3
    assert read(tmp_path) == EVENTS


def test_a_crash_between_both_writes_leaves_the_event_in_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The segment has the frame, the mirror has not: the next opening shows it, and so do all after it."""
    store = opened(tmp_path)
    append(store, "one")
    monkeypatch.setattr(ParityGuard, "wrote", no_space)
    with pytest.raises(OSError, match="no space"):
        append(store, "two")
    with pytest.raises(ReadOnlyError):
        append(store, "three")
    store.close()
    monkeypatch.undo()
    assert read(tmp_path) == ["one", "two"]
    name = active(tmp_path)
    assert (tmp_path / f"{name}.mir").read_bytes() == (tmp_path / f"{name}.log").read_bytes()


def test_a_frame_torn_in_both_copies_is_cut_in_both(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A loss of power tore what was not acknowledged, at different places: nothing of it stays in either file."""
    write(tmp_path, ["one"])
    name = active(tmp_path)
    before = contents(tmp_path)
    with opened(tmp_path) as store:
        append(store, LONG)
        after = contents(tmp_path)
    torn = {f"{name}.log": 9000, f"{name}.mir": 10000}
    put(tmp_path, {key: after[key][:place] + before[key][place:] for key, place in torn.items()})
    assert read(tmp_path) == ["one"]
    assert any("interrupted write" in record.message for record in caplog.records)
    assert LONG[:50].encode() not in b"".join(contents(tmp_path).values())
    caplog.clear()
    assert read(tmp_path) == ["one"] and not caplog.records


def test_parity_that_cannot_be_made_leaves_the_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk while a segment is sealed: appends go on, two copies stay, the next opening makes the parity."""
    monkeypatch.setattr(sealed, "make", no_space)
    write(tmp_path, ["one", "|", "two"])
    assert names(tmp_path, ".par") == [] and names(tmp_path, ".mir") == names(tmp_path, ".log")
    assert any("no parity" in record.message for record in caplog.records)
    monkeypatch.undo()
    whole = contents(tmp_path)
    put(tmp_path, whole | {f"{names(tmp_path, '.log')[0]}.log": b""})
    assert read(tmp_path) == ["one", "two"]
    assert names(tmp_path, ".par") == names(tmp_path, ".log")[:1]
    assert names(tmp_path, ".mir") == names(tmp_path, ".log")[1:]


def test_a_mirror_left_behind_by_a_crash_is_removed(tmp_path: Path) -> None:
    """Parity is durable, and its segment's mirror is still there."""
    write(tmp_path, TEXTS)
    first = names(tmp_path, ".log")[0]
    whole = contents(tmp_path)
    put(tmp_path, whole | {f"{first}.mir": whole[f"{first}.log"]})
    assert read(tmp_path) == EVENTS
    assert names(tmp_path, ".mir") == names(tmp_path, ".log")[-1:]


def test_a_mirror_without_its_segment(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Empty, it is of a segment that never got its name; with events in it, the segment is made anew."""
    write(tmp_path, ["one", "|"])
    last = active(tmp_path)
    (tmp_path / f"{last}.log").unlink()
    assert read(tmp_path) == ["one"]
    assert not caplog.records
    (tmp_path / f"{active(tmp_path)}.log").unlink()
    assert read(tmp_path) == ["one"]
    assert any("made anew" in record.message for record in caplog.records)


def test_a_damaged_mirror_without_its_segment_is_refused(tmp_path: Path) -> None:
    """There may have been events in it."""
    write(tmp_path, ["one"])
    last = active(tmp_path)
    put(tmp_path, {f"{last}.mir": zeroed(contents(tmp_path)[f"{last}.mir"], 0)})
    with pytest.raises(DamagedError, match="mirror"):
        read(tmp_path)


def test_a_log_with_a_mirror_is_always_guarded(tmp_path: Path) -> None:
    """Opened without asking for parity, the mirror is written to all the same: a stale one would stand in one day."""
    write(tmp_path, ["one"])
    write(tmp_path, ["two"], redundancy=None)
    name = active(tmp_path)
    (tmp_path / f"{name}.log").write_bytes(b"")
    assert read(tmp_path, redundancy=None) == ["one", "two"]


def test_parity_can_be_asked_for_later(tmp_path: Path) -> None:
    """A log without redundancy gets all of it at the next opening."""
    write(tmp_path, TEXTS, redundancy=None)
    assert names(tmp_path, ".par") == names(tmp_path, ".mir") == []
    assert read(tmp_path) == EVENTS
    assert names(tmp_path, ".mir") == names(tmp_path, ".log")[-1:]
    assert names(tmp_path, ".par") == names(tmp_path, ".log")[:-1]


def test_tasks_may_ask_for_parity(tmp_path: Path) -> None:
    """The asyncio face opens the same store."""

    async def appended() -> None:
        async with await AsyncEventStore.open(tmp_path, redundancy="parity") as store:
            await store.append(NewEvent("t", "a", "one"))

    asyncio.run(appended())
    assert names(tmp_path, ".mir") == names(tmp_path, ".log")
    assert read(tmp_path) == ["one"]


def test_another_redundancy_is_refused(tmp_path: Path) -> None:
    """By name, before anything is written."""
    with pytest.raises(ValueError, match="parity"):
        opened(tmp_path, redundancy="raid")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_the_mirror_grows_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mirror grows first: the append fails, the store is degraded, and takes events again when there is room."""
    with opened(tmp_path) as store:
        append(store, "one")
        monkeypatch.setattr(files, "write_zeros", no_space)
        with pytest.raises(OSError, match="no space"):
            append(store, LONG + LONG)
        assert store.state.kind == "degraded"
        monkeypatch.undo()
        append(store, LONG)
        assert store.state.kind == "ok" and texts_of(store) == ["one", LONG]
    assert read(tmp_path) == ["one", LONG]


def test_a_segment_that_could_not_be_started_leaves_the_old_mirror_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new mirror is there, the new segment is not: events go to the old segment, and to the old mirror."""
    with opened(tmp_path) as store:
        append(store, "one")
        first = active(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr("store_under_test.event_store.writer.create", no_space)
            with pytest.raises(OSError, match="no space"):
                store.log.rotate()
        append(store, "two")
        assert b"two" in (tmp_path / f"{first}.mir").read_bytes()
        assert texts_of(store) == ["one", "two"]
    assert read(tmp_path) == ["one", "two"]
    assert names(tmp_path, ".mir") == names(tmp_path, ".log")


def test_retention_removes_what_stands_beside(tmp_path: Path) -> None:
    """Parity goes with its segment; a log that starts later is opened as before."""
    with opened(tmp_path) as store:
        for text in ("one", "two", "three"):
            append(store, text)
            store.log.rotate()
        store.log.retain_from(3)
    assert names(tmp_path, ".par") == names(tmp_path, ".log")[:-1]
    assert read(tmp_path) == ["three"]


def test_what_stands_beside_nothing_is_removed(tmp_path: Path) -> None:
    """Parity of a segment that retention removed just before a crash."""
    write(tmp_path, TEXTS)
    (tmp_path / "events-00000000000000000077-0000000001.par").write_bytes(b"left")
    assert read(tmp_path) == EVENTS
    assert len(names(tmp_path, ".par")) == 2


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_reader_repairs_what_it_meets(tmp_path: Path, number: int, caplog: pytest.LogCaptureFixture) -> None:
    """Damage while the store is open, in a sealed segment and in the active one: read right, and right on the disk."""
    write(tmp_path, TEXTS)
    with opened(tmp_path) as store:
        path = tmp_path / f"{names(tmp_path, '.log')[number]}.log"
        whole = path.read_bytes()
        with path.open("r+b") as file:
            file.seek(8192 + 50)
            file.write(b"damage")
        assert texts_of(store) == EVENTS
        assert path.read_bytes() == whole
        append(store, "six")
    assert read(tmp_path) == [*EVENTS, "six"]
    assert any(record.levelno == logging.WARNING for record in caplog.records)


def test_damage_of_both_copies_at_one_place_is_an_exception(tmp_path: Path) -> None:
    """Nothing stands in for either; nothing is changed, and no event is left out silently."""
    write(tmp_path, ["one", "two", "three"])
    name = active(tmp_path)
    damaged = {key: flipped(content, 8192 + 45) for key, content in contents(tmp_path).items()}
    put(tmp_path, damaged)
    with pytest.raises(DamagedError) as caught:
        read(tmp_path)
    assert os.path.basename(caught.value.path) == f"{name}.log" and caught.value.extent[0] == 8192
    assert contents(tmp_path) == damaged


@pytest.mark.parametrize("bits", [(1, 1), (1, 2)])
def test_damage_of_both_copies_stops_no_append(tmp_path: Path, bits: tuple[int, int]) -> None:
    """Met when the segment is sealed: no parity is made of it, the copies stay, and who reads it is told."""
    with opened(tmp_path) as store:
        append(store, "one")
        append(store, "two")
        name = active(tmp_path)
        for suffix, bit in zip((".log", ".mir"), bits, strict=True):
            path = tmp_path / f"{name}{suffix}"
            path.write_bytes(flipped(path.read_bytes(), 8192 + 45, bit))
        store.log.rotate()
        append(store, "three")
        assert store.state.kind == "ok"
        with pytest.raises(DamagedError):
            texts_of(store)
    assert names(tmp_path, ".par") == [] and names(tmp_path, ".mir") == names(tmp_path, ".log")


def test_a_gap_before_frames_of_the_mirror_alone_is_an_exception(tmp_path: Path) -> None:
    """The segment was cut, the mirror is damaged before its last frame: that frame says that there was one before."""
    write(tmp_path, ["one", "two", "three"])
    name = active(tmp_path)
    whole = contents(tmp_path)[f"{name}.log"]
    put(tmp_path, {f"{name}.log": zeroed(zeroed(whole, 8192), 4096), f"{name}.mir": flipped(whole, 8192 + 45)})
    with pytest.raises(DamagedError, match="in both copies"):
        read(tmp_path)


def test_damage_of_both_headers_is_an_exception(tmp_path: Path) -> None:
    """Without a nonce no frame can be told from garbage."""
    write(tmp_path, ["one"])
    put(tmp_path, {key: zeroed(content, 0) for key, content in contents(tmp_path).items()})
    with pytest.raises(DamagedError, match="header"):
        read(tmp_path)


def test_two_damaged_blocks_of_a_stripe_are_an_exception(tmp_path: Path) -> None:
    """Beyond what parity restores the extent is named; what it can restore elsewhere does not matter."""
    write(tmp_path, ["one", "|", "two"])
    first = names(tmp_path, ".log")[0]
    whole = contents(tmp_path)
    put(tmp_path, whole | {f"{first}.log": flipped(flipped(whole[f"{first}.log"], 8), 8192 + 45)})
    with pytest.raises(DamagedError):
        read(tmp_path)


def test_a_cut_sealed_segment_is_restored(tmp_path: Path) -> None:
    """Its last block, and also where nothing but zeros is missing."""
    write(tmp_path, ["one", "|", "two"])
    first = names(tmp_path, ".log")[0]
    whole = contents(tmp_path)
    for size in (8192, 8192 + 60, 8192 + 119):
        put(tmp_path, whole | {f"{first}.log": whole[f"{first}.log"][:size]})
        assert read(tmp_path) == ["one", "two"]


def test_parity_of_another_segment_restores_nothing(tmp_path: Path) -> None:
    """Its nonce is not that of the segment."""
    write(tmp_path, ["one", "|", "two", "|", "six"])
    first, second, _ = names(tmp_path, ".log")
    whole = contents(tmp_path)
    spoilt = {f"{first}.log": flipped(whole[f"{first}.log"], 8192 + 45), f"{first}.par": whole[f"{second}.par"]}
    put(tmp_path, whole | spoilt)
    with pytest.raises(DamagedError):
        read(tmp_path)


def test_damaged_parity_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Noticed at opening by its table; a segment with a damaged block is restored from it first."""
    write(tmp_path, ["one", "|", "two"])
    first = names(tmp_path, ".log")[0]
    whole = contents(tmp_path)
    for beside in (zeroed(whole[f"{first}.par"], 0), b""):
        put(tmp_path, whole | {f"{first}.par": beside})
        assert read(tmp_path) == ["one", "two"]
        assert contents(tmp_path)[f"{first}.par"] == whole[f"{first}.par"]
    both = {f"{first}.par": zeroed(whole[f"{first}.par"], 0), f"{first}.log": flipped(whole[f"{first}.log"], 8192 + 45)}
    put(tmp_path, whole | both)
    assert read(tmp_path) == ["one", "two"]
    assert {key: value for key, value in contents(tmp_path).items() if "quarantine" not in key} == whole
    assert any("parity" in record.message for record in caplog.records)


def test_a_damaged_segment_without_parity_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No parity is made of damaged bytes."""
    write(tmp_path, ["one", "|", "two"])
    first = names(tmp_path, ".log")[0]
    whole = contents(tmp_path)
    put(tmp_path, whole | {f"{first}.log": flipped(whole[f"{first}.log"], 8192 + 45)})
    (tmp_path / f"{first}.par").unlink()
    with pytest.raises(DamagedError):
        read(tmp_path)
    assert any("is damaged" in record.message for record in caplog.records)
    assert names(tmp_path, ".par") == []


def test_damaged_bytes_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside, under a name that says where they were; kept once."""
    write(tmp_path, ["one", "two"])
    name = active(tmp_path)
    damaged = flipped(contents(tmp_path)[f"{name}.log"], 8192 + 45)
    put(tmp_path, contents(tmp_path) | {f"{name}.log": damaged})
    assert read(tmp_path) == ["one", "two"]
    (kept,) = tmp_path.glob("quarantine-*")
    assert kept.name.startswith(f"quarantine-{name}.log-0000008192-") and kept.read_bytes() in damaged
    copies.quarantine(str(tmp_path / f"{name}.log"), 8192, kept.read_bytes())
    assert len(list(tmp_path.glob("quarantine-*"))) == 1


def test_repair_needs_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On a full disk damaged bytes cannot be kept, which is told; any other error is raised."""
    monkeypatch.setattr(copies, "place", no_space)
    copies.quarantine(str(tmp_path / "file"), 0, b"damaged")
    assert any("no room" in record.message for record in caplog.records)
    copies.quarantine(str(tmp_path / "file"), 0, bytes(9))

    def broken(*arguments: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(copies, "place", broken)
    with pytest.raises(OSError, match="broken"):
        copies.quarantine(str(tmp_path / "file"), 0, b"damaged")


def test_files_of_others_are_not_repaired(tmp_path: Path) -> None:
    """What is no segment, or not there, is nothing that parity knows."""
    guard = ParityGuard(str(tmp_path))
    assert not guard.repair(DamagedError(str(tmp_path / "lease"), (0, 1), "damaged"))
    name = "events-00000000000000000001-0000000001.log"
    assert not guard.repair(DamagedError(str(tmp_path / name), (0, 1), "missing"))
    (tmp_path / name).write_bytes(b"")
    assert not guard.repair(DamagedError(str(tmp_path / name), (0, 1), "damaged"))


def test_a_mirror_that_cannot_be_read_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The descriptor is closed when making the copies equal fails."""
    write(tmp_path, ["one"])
    closed: list[int] = []
    monkeypatch.setattr(copies, "equalize", no_space)
    monkeypatch.setattr(files, "close_quietly", lambda descriptor: (closed.append(descriptor), os.close(descriptor)))
    with pytest.raises(OSError, match="no space"):
        mirror.follow(str(tmp_path / f"{active(tmp_path)}.log"))
    assert len(closed) == 2


def test_a_copy_that_fails_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor the file itself."""
    monkeypatch.setattr(files, "sync", no_space)
    with pytest.raises(OSError, match="no space"):
        copies.place(str(tmp_path / "file"), (b"content",))
    assert list(tmp_path.iterdir()) == []


def test_a_longer_copy_is_made_equal(tmp_path: Path) -> None:
    """Equal means equally long, too."""
    (tmp_path / "a").write_bytes(b"short")
    (tmp_path / "b").write_bytes(b"much longer")
    with copies.opened(str(tmp_path / "a")) as source, copies.opened(str(tmp_path / "b"), os.O_RDWR) as target:
        assert copies.equalize(source, target, str(tmp_path / "b")) > 0
        assert copies.equalize(source, target, str(tmp_path / "b")) == 0
    assert (tmp_path / "b").read_bytes() == b"short"


def test_the_table_is_read_without_the_rest(tmp_path: Path) -> None:
    """Opening looks at the first table of a parity file only; it must be of just this length."""
    content = bytes(range(256)) * 40
    (tmp_path / "events.par").write_bytes(
        parity.make(
            lambda offset, length: content[offset : offset + length], len(content), first_sequence=1, nonce=b"n"
        )
    )
    assert sealed.has_parity(str(tmp_path / "events.log"), len(content))
    assert not sealed.has_parity(str(tmp_path / "events.log"), len(content) - 8)
    assert not sealed.has_parity(str(tmp_path / "other.log"), len(content))
