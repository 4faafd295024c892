"""Sound: a log in segments that is durable up to the last sync, and promises no more.

An append reaches the system, not the disk. A segment is fsynced before the next one is created, and
the name of that one before it is used, so only the last segment can have lost anything; it is
cut, with a warning, at the first frame that does not verify. After an error the log is not written to until it is
opened again, and opening writes the last segment back: where an fsync failed, only the cache may have it.
"""

from __future__ import annotations

import json
import os
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

from harness import LOG, Append, AppendMany, Compact, Contract, Read, Sync

HEADER = struct.Struct("<IIQ")  # checksum of all that follows it, bytes of the batch, position
SEGMENT_BYTES = 8192


class LogBroken(Exception):
    """A call failed before; open the log again."""


class SegmentedLog:
    """An append-only sequence of text records."""

    def __init__(self, directory: Path) -> None:
        self.records: list[str] = []
        self._broken = False
        self._directory = directory
        self._segments = sorted(name for name in os.listdir(directory) if name.startswith("segment-"))
        for name in self._segments[:-1]:
            data = (directory / name).read_bytes()
            if self._replay(data) < len(data):
                raise ValueError(f"{name} is damaged")
        if not self._segments:
            self._segments.append("segment-000000")
        self._file = self._open_last()

    def _open_last(self) -> int:
        path = self._directory / self._segments[-1]
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._sync_directory()
            data = path.read_bytes()
            self._bytes = self._replay(data)
            if self._bytes < len(data):
                warnings.warn(f"{path} has no whole frame at byte {self._bytes}; the rest is cut", stacklevel=4)
            self._write_back(path, data[: self._bytes])
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _write_back(self, path: Path, data: bytes) -> None:
        with path.open("r+b") as file:
            file.write(data)
            file.truncate(len(data))
            file.flush()
            os.fsync(file.fileno())

    def _replay(self, data: bytes) -> int:
        end = 0
        while (batch := self._batch(data, end)) is not None:
            self.records += json.loads(batch)
            end += HEADER.size + len(batch)
        return end

    def _batch(self, data: bytes, start: int) -> bytes | None:
        if len(data) < start + HEADER.size:
            return None
        checksum, length, position = HEADER.unpack_from(data, start)
        end = start + HEADER.size + length
        if position != len(self.records) or end > len(data) or zlib.crc32(data[start + 4 : end]) != checksum:
            return None
        return data[start + HEADER.size : end]

    def append(self, records: Sequence[str]) -> int:
        """Add records, all or none; durable after the next `sync`. Returns the position of the first."""
        self._require_sound()
        self._broken = True
        batch = json.dumps(list(records)).encode()
        covered = HEADER.pack(0, len(batch), len(self.records))[4:] + batch
        frame = zlib.crc32(covered).to_bytes(4, "little") + covered
        rest = memoryview(frame)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self._broken = False
        self._bytes += len(frame)
        self.records += records
        if self._bytes > SEGMENT_BYTES:
            self.rotate()
        return len(self.records) - len(records)

    def sync(self) -> None:
        """Make every append before it durable."""
        self._require_sound()
        self._broken = True
        os.fdatasync(self._file)
        self._broken = False

    def rotate(self) -> None:
        """Start a new segment; the old one is durable by then."""
        self.sync()
        self._broken = True
        self._segments.append(f"segment-{len(self._segments):06d}")
        before, self._file = self._file, self._open_last()
        os.close(before)
        self._broken = False

    def _require_sound(self) -> None:
        if self._broken:
            raise LogBroken("a call failed before: open the log again")

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Release the segment; no sync."""
        os.close(self._file)


class Adapter:
    """Claims what it keeps, under every model."""

    name = "s1-segmented-log-with-sync"
    model = LOG
    contract = Contract(
        power_loss="synced",
        power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
    )
    operations = (Append, AppendMany, Read, Sync, Compact)

    def open(self, directory: Path) -> SegmentedLog:
        return SegmentedLog(directory)

    def apply(self, store: SegmentedLog, operation: object) -> int | list[str] | None:
        match operation:
            case Append(record):
                return store.append((record,))
            case AppendMany(records):
                return store.append(records)
            case Read(start):
                return store.records[start:]
            case Sync():
                store.sync()
            case Compact():
                store.rotate()
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: SegmentedLog) -> list[str]:
        return list(store.records)

    def close(self, store: SegmentedLog) -> None:
        store.close()
