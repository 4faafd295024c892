"""The floor: which syncs a store makes, and the same ones bare."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from harness import Append, Read
from harness.core.trace import (
    ROOT,
    AddEntry,
    Blindness,
    InodeKind,
    IoEvent,
    Marker,
    MarkerKind,
    NewInode,
    RemoveEntry,
    RenameEntry,
    SetSize,
    SyncAll,
    SyncDirectory,
    SyncFile,
    SyncRange,
    Trace,
    Unseen,
    WriteData,
    empty_image,
)
from harness.measure.floor import BareDisk, Durable, SyncCall, in_turn, syncing

B, G, C, N, NOTHING = Durable.BYTES, Durable.GROWTH, Durable.CREATION, Durable.NAMES, Durable.NOTHING


def event(*effects: Any) -> IoEvent:
    return IoEvent("call", None, 0, -1, effects)


def moment(kind: MarkerKind, operation: int = -1) -> IoEvent:
    return IoEvent("", None, 0, operation, marker=Marker(kind, operation))


def traced(*events: IoEvent, operations: tuple[Any, ...] = (), unseen: tuple[Unseen, ...] = ()) -> Trace:
    return Trace(empty_image(), events, operations, "/d", unseen=unseen)


BEGIN, OPEN, OPENED, CLOSE = MarkerKind.BEGIN, MarkerKind.OPEN_BEGIN, MarkerKind.OPEN_END, MarkerKind.CLOSE_BEGIN


def test_syncs_are_told_apart_by_their_work() -> None:
    """A new file, one that grew, bytes in place, names, and nothing at all; with the bytes since the last one."""
    trace = traced(
        moment(OPEN),
        event(NewInode(1, InodeKind.FILE, 0o644), AddEntry(ROOT, "a", 1)),
        event(SyncDirectory(ROOT)),
        moment(OPENED),
        moment(BEGIN, 0),
        event(WriteData(1, 0, b"12345")),
        event(SyncFile(1, True)),
        moment(BEGIN, 1),
        event(WriteData(1, 5, b"67")),
        event(WriteData(1, 0, b"1")),
        event(SyncFile(1, False)),
        moment(BEGIN, 2),
        event(WriteData(1, 0, b"123"), SyncRange(1, 0, 3)),
        event(RenameEntry(ROOT, "a", ROOT, "b", 1, None)),
        event(SyncDirectory(ROOT)),
        event(SyncFile(1, True)),
        moment(BEGIN, 3),
        event(SetSize(1, 100), RemoveEntry(ROOT, "b", 1)),
        event(SyncAll()),
        moment(CLOSE),
        event(SyncFile(1, True)),
        operations=(Append("a"),) * 4,
    )
    found = syncing(trace)

    assert found.operations == (
        (SyncCall(C, 5),),
        (SyncCall(G, 3),),
        (SyncCall(B, 3), SyncCall(N), SyncCall(NOTHING)),
        (SyncCall(N), SyncCall(G)),
    )
    assert found.per_operation == 7 / 4 and found.openings == () and not found.blind


def test_reads_do_not_count_and_openings_do() -> None:
    """All but the first opening, which makes the store."""
    trace = traced(
        *(moment(OPEN), event(SyncDirectory(ROOT)), moment(OPENED)),
        *(moment(BEGIN, 0), event(SyncFile(1, True)), moment(BEGIN, 1)),
        *(moment(CLOSE), moment(OPEN), event(SyncDirectory(ROOT)), moment(OPENED)),
        operations=(Append("a"), Read(0)),
    )
    found = syncing(trace)

    assert found.operations == ((SyncCall(NOTHING),),)
    assert found.openings == ((SyncCall(NOTHING),),) and found.per_opening == 1


def test_a_recorder_that_misses_something_makes_no_floor() -> None:
    """It might be the sync."""
    assert "native; use strace" in syncing(traced(unseen=(Unseen(Blindness.FOREIGN_IO, "native", "use strace"),))).blind
    assert syncing(traced()).per_operation == 0


def test_the_bare_disk_makes_the_same_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One real sync for each, with as many bytes before it."""
    synced: list[int] = []
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    with BareDisk(tmp_path / "bare") as disk:
        del synced[:]
        disk.make((SyncCall(B, 10), SyncCall(G, 20), SyncCall(C, 30), SyncCall(N), SyncCall(NOTHING)))
        disk.make((SyncCall(G, 5),))

        assert [synced[0], synced[1], synced[2], synced[4], synced[5]] == [1 << 20, 20, 30, 1 << 20, 25]
        assert len(synced) == 6


def test_the_bare_disk_does_not_fill_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were made are removed again, and what grows is begun anew."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr("harness.measure.floor._BEGIN_ANEW_BYTES", 100)
    with BareDisk(tmp_path) as disk:
        for _ in range(50):
            disk.make((SyncCall(C, 3), SyncCall(N), SyncCall(G, 60)))

        assert len(list(tmp_path.iterdir())) < 10 and (tmp_path / "growing").stat().st_size <= 160


def test_patterns_come_in_turn() -> None:
    """Operations without a sync count too; where none has one there is nothing to make."""
    one, none = (SyncCall(B, 1),), ()

    assert list(islice(in_turn((one, none)), 5)) == [one, none, one, none, one]
    assert list(in_turn((none, none))) == []
