"""Sound: a log that turns read-only when a call fails, until it is opened again.

An fsync that failed is never repeated: the pages that could not be written count as clean, and the next fsync
succeeds without them (Rebello et al., ATC 2020). The error is raised, reading goes on, writing does not. Opening
writes back all that it reads before it accepts anything, because only the cache may have it.
"""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from pathlib import Path

from harness import LOG, Append, AppendMany, Contract, Read

HEADER = struct.Struct("<IIQ")  # checksum of all that follows it, bytes of the batch, offset of the frame


class ReadOnly(Exception):
    """An append failed; open the log again to write."""


def encode(offset: int, records: tuple[str, ...]) -> bytes:
    """One frame with a batch of records, each after its length."""
    parts = [record.encode() for record in records]
    content = b"".join(len(part).to_bytes(4, "little") + part for part in parts)
    covered = HEADER.pack(0, len(content), offset)[4:] + content
    return zlib.crc32(covered).to_bytes(4, "little") + covered


def decode(content: bytes) -> list[str]:
    """The records of a batch."""
    records, position = [], 0
    while position < len(content):
        length = int.from_bytes(content[position : position + 4], "little")
        position += 4 + length
        records.append(content[position - length : position].decode())
    return records


def content_at(data: bytes, start: int) -> bytes | None:
    """What the frame at `start` holds, or `None` if there is no sound one."""
    if len(data) < start + HEADER.size:
        return None
    checksum, length, offset = HEADER.unpack_from(data, start)
    end = start + HEADER.size + length
    sound = offset == start and end <= len(data) and zlib.crc32(data[start + 4 : end]) == checksum
    return data[start + HEADER.size : end] if sound else None


class CarefulLog:
    """An append-only sequence of text records."""

    def __init__(self, directory: Path) -> None:
        self.records: list[str] = []
        self._read_only, self._end = False, 0
        self._path = directory / "log"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._recover(self._path.read_bytes())
            self._sync_directory(directory)
        except BaseException:
            os.close(self._file)
            raise

    def _recover(self, data: bytes) -> None:
        while (content := content_at(data, self._end)) is not None:
            self.records += decode(content)
            self._end += HEADER.size + len(content)
        if self._end < len(data):
            warnings.warn(f"{self._path} does not verify beyond byte {self._end}; the rest is cut", stacklevel=3)
        self._write(data[: self._end], 0)
        os.ftruncate(self._file, self._end)
        os.fsync(self._file)

    def append(self, records: tuple[str, ...]) -> int:
        """Add records, all or none; durable when it returns the position of the first."""
        if self._read_only:
            raise ReadOnly("an append failed: open the log again to write")
        self._read_only = True
        frame = encode(self._end, records)
        self._write(frame, self._end)
        os.fsync(self._file)
        self._read_only = False
        self._end += len(frame)
        self.records += records
        return len(self.records) - len(records)

    def _write(self, data: bytes, position: int) -> None:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._file, rest, position)
            rest, position = rest[written:], position + written

    def _sync_directory(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Release the file."""
        os.close(self._file)


class Adapter:
    """Claims what it keeps, under every model."""

    name = "n8-read-only-after-failed-fsync"
    model = LOG
    contract = Contract(
        power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
    )
    operations = (Append, AppendMany, Read)

    def open(self, directory: Path) -> CarefulLog:
        return CarefulLog(directory)

    def apply(self, store: CarefulLog, operation: object) -> int | list[str]:
        match operation:
            case Append(record):
                return store.append((record,))
            case AppendMany(records):
                return store.append(records)
            case Read(start):
                return store.records[start:]
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: CarefulLog) -> list[str]:
        return list(store.records)

    def close(self, store: CarefulLog) -> None:
        store.close()
