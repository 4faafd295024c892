"""The floor: what the disk takes for the syncs of an operation, by itself.

A recording of some operations tells which syncs each of them made, after how many bytes, and what they had to make
durable. Between the operations of a measurement the same syncs are made by bare calls, on the same file system, in
files of their own. So a disk that is slow today is slow here too, and a store is blamed only for what it takes beyond.

The floor knows the calls, not the file system: journals that other files fill, fragmented files and the like are the
store's, though the same for all. Where the recording has missed I/O there is no floor.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from harness.core.operations import READS
from harness.core.trace import (
    AddEntry,
    IoEvent,
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
    WriteData,
)

#: The most bytes that are written before one bare sync, and the size at which a file that grows is begun anew.
_MOST_BYTES = 8 << 20
_BEGIN_ANEW_BYTES = 64 << 20


class Durable(Enum):
    """What a sync had to make durable, by how much work that is for a file system."""

    BYTES = "bytes of a file that had its size"
    GROWTH = "a file that had grown"
    CREATION = "a new file"
    NAMES = "entries of a directory"
    NOTHING = "nothing new"


@dataclass(frozen=True, slots=True)
class SyncCall:
    """One sync, and how many bytes had been written to its file since the last one."""

    durable: Durable
    size_bytes: int = 0


Syncs = tuple[SyncCall, ...]


@dataclass(frozen=True, slots=True)
class Syncing:
    """The syncs of each recorded operation that is no read, and of each opening but the first.

    `blind` says why they are not known, where I/O was missed.
    """

    operations: tuple[Syncs, ...] = ()
    openings: tuple[Syncs, ...] = ()
    blind: str = ""

    @property
    def per_operation(self) -> float:
        return _mean(self.operations)

    @property
    def per_opening(self) -> float:
        return _mean(self.openings)


def _mean(made: tuple[Syncs, ...]) -> float:
    return sum(map(len, made)) / len(made) if made else 0.0


def syncing(trace: Trace) -> Syncing:
    """The syncs in a recording. What a thread of the store does between two operations counts with the one before."""
    counting = _Counting()
    for event in trace.events:
        counting.see(event)
    kept = [syncs for number, syncs in sorted(counting.operations.items()) if not _reads(trace, number)]
    blind = next((f"{unseen.detail}; {unseen.remedy}" for unseen in trace.unseen), "")
    return Syncing(tuple(map(tuple, kept)), tuple(map(tuple, counting.openings[1:])), blind)


def _reads(trace: Trace, number: int) -> bool:
    return isinstance(trace.operations[number], READS)


@dataclass(slots=True)
class _Counting:
    operations: dict[int, list[SyncCall]] = field(default_factory=dict)
    openings: list[list[SyncCall]] = field(default_factory=list)
    current: list[SyncCall] = field(default_factory=list)
    sizes: dict[int, int] = field(default_factory=dict)
    pending: dict[int, int] = field(default_factory=dict)
    work: dict[int, Durable] = field(default_factory=dict)

    def see(self, event: IoEvent) -> None:
        if event.marker is not None:
            self._moment(event.marker.kind, event.marker.operation)
        for effect in event.effects:
            self._effect(effect)

    def _moment(self, kind: MarkerKind, operation: int) -> None:
        if kind is MarkerKind.BEGIN:
            self.current = self.operations.setdefault(operation, [])
        elif kind is MarkerKind.OPEN_BEGIN:
            self.current = []
            self.openings.append(self.current)
        elif kind in (MarkerKind.OPEN_END, MarkerKind.CLOSE_BEGIN):
            self.current = []

    def _effect(self, effect: Any) -> None:
        match effect:
            case NewInode(inode):
                self.work[inode] = Durable.CREATION
            case WriteData(inode, offset, data):
                self._written(inode, offset + len(data), len(data))
            case SetSize(inode, size):
                self._written(inode, size, 0)
                self.sizes[inode] = size
            case AddEntry(directory) | RemoveEntry(directory):
                self.work[directory] = Durable.NAMES
            case RenameEntry():
                self.work[effect.source_directory] = self.work[effect.directory] = Durable.NAMES
            case SyncFile(inode) | SyncDirectory(inode) | SyncRange(inode):
                self._synced(inode)
            case SyncAll():
                for inode in sorted(self.work):
                    self._synced(inode)

    def _written(self, inode: int, end: int, size_bytes: int) -> None:
        grown = end > self.sizes.get(inode, 0)
        self.sizes[inode] = max(end, self.sizes.get(inode, 0))
        self.pending[inode] = self.pending.get(inode, 0) + size_bytes
        self.work[inode] = _more(self.work.get(inode), Durable.GROWTH if grown else Durable.BYTES)

    def _synced(self, inode: int) -> None:
        self.current.append(SyncCall(self.work.pop(inode, Durable.NOTHING), self.pending.pop(inode, 0)))


_ORDER = (Durable.NOTHING, Durable.BYTES, Durable.GROWTH, Durable.CREATION, Durable.NAMES)


def _more(one: Durable | None, other: Durable) -> Durable:
    return other if one is None else max(one, other, key=_ORDER.index)


class BareDisk:
    """Makes the same syncs with bare calls. A context manager.

    `directory` is its own, and on the file system of the store.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._files = contextlib.ExitStack()
        self._number = 0
        self._overwritten = self._growing = self._folder = -1

    def __enter__(self) -> BareDisk:
        self.directory.mkdir(exist_ok=True)
        self._overwritten = self._open(self.directory / "overwritten", os.O_RDWR | os.O_CREAT)
        self._growing = self._open(self.directory / "growing", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self._folder = self._open(self.directory, os.O_RDONLY)
        os.pwrite(self._overwritten, bytes(1 << 20), 0)
        os.fsync(self._overwritten)
        os.fsync(self._folder)
        return self

    def __exit__(self, *details: object) -> None:
        self._files.close()

    def _open(self, path: Path, flags: int) -> int:
        descriptor = os.open(path, flags, 0o600)
        self._files.callback(os.close, descriptor)
        return descriptor

    def make(self, syncs: Syncs) -> None:
        """Make these syncs, one after another, each with as many bytes before it."""
        for sync in syncs:
            _MAKE[sync.durable](self, bytes(min(sync.size_bytes, _MOST_BYTES)))

    def _overwrite(self, data: bytes) -> None:
        os.pwrite(self._overwritten, data, 0)
        os.fdatasync(self._overwritten)

    def _grow(self, data: bytes) -> None:
        if os.fstat(self._growing).st_size > _BEGIN_ANEW_BYTES:
            os.ftruncate(self._growing, 0)
        os.write(self._growing, data or b"\0")
        os.fsync(self._growing)

    def _create(self, data: bytes) -> None:
        descriptor = os.open(self._next(), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _name(self, data: bytes) -> None:
        path = self._next()
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        os.replace(path, self.directory / "named")
        os.fsync(self._folder)

    def _nothing(self, data: bytes) -> None:
        os.fsync(self._overwritten)

    def _next(self) -> Path:
        """A name that is free: files before the last few are removed."""
        self._number += 1
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.directory / f"{self._number - 4}.new")
        return self.directory / f"{self._number}.new"


_MAKE: dict[Durable, Callable[[BareDisk, bytes], None]] = {
    Durable.BYTES: BareDisk._overwrite,
    Durable.GROWTH: BareDisk._grow,
    Durable.CREATION: BareDisk._create,
    Durable.NAMES: BareDisk._name,
    Durable.NOTHING: BareDisk._nothing,
}


def in_turn(patterns: tuple[Syncs, ...]) -> Iterator[Syncs]:
    """The patterns over and over, so that each counts as often as the store makes it; nothing where none has a sync."""
    while any(patterns):
        yield from patterns
