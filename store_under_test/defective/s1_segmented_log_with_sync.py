"""Sound: a log in segments that is durable up to the last sync, and promises no more.

An append reaches the system, not the disk. A segment is fsynced before the next one is created, and
the name of that one before it is used, so only the last segment can have lost anything; it is
cut at the first frame that does not verify.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

from harness import LOG, Append, AppendMany, Compact, Contract, Read, Sync

HEADER = struct.Struct("<IIQ")  # checksum of all that follows it, bytes of the batch, position
SEGMENT_BYTES = 8192


class SegmentedLog:
    """An append-only sequence of text records."""

    def __init__(self, directory: Path) -> None:
        self.records: list[str] = []
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
        self._sync_directory()
        data = path.read_bytes()
        end = self._replay(data)
        if end < len(data):
            os.ftruncate(descriptor, end)
            os.fsync(descriptor)
        self._bytes = end
        return descriptor

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
        if self._bytes > SEGMENT_BYTES:
            self.rotate()
        batch = json.dumps(list(records)).encode()
        covered = HEADER.pack(0, len(batch), len(self.records))[4:] + batch
        frame = zlib.crc32(covered).to_bytes(4, "little") + covered
        rest = memoryview(frame)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self._bytes += len(frame)
        self.records += records
        return len(self.records) - len(records)

    def sync(self) -> None:
        """Make every append before it durable."""
        os.fdatasync(self._file)

    def rotate(self) -> None:
        """Start a new segment; the old one is durable by then."""
        self.sync()
        os.close(self._file)
        self._segments.append(f"segment-{len(self._segments):06d}")
        self._file = self._open_last()

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
        io_error=None,
        corruption=None,
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
