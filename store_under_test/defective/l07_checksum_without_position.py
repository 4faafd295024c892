"""L07, a log of whole sectors whose checksums do not say where a record belongs.

Defect: the checksum covers length and payload, but neither offset nor sequence number. After a
power failure the grown end of the file may hold bytes of earlier writes: they verify, and an
old record is replayed at the end of the log.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from pathlib import Path

from harness import LOG, Append, Contract

_SECTOR_BYTES = 512
_HEADER = struct.Struct("<II")  # checksum of length and payload; length of the payload in bytes


def _frame(payload: bytes) -> bytes:
    """The record, filled up with zeros to whole sectors."""
    checksum = zlib.crc32(payload, zlib.crc32(len(payload).to_bytes(4, "little")))
    frame = _HEADER.pack(checksum, len(payload)) + payload
    return frame + bytes(-len(frame) % _SECTOR_BYTES)


def _parse(content: bytes) -> tuple[list[str], int]:
    """The records before the first sector that starts none, and where that sector starts."""
    records: list[str] = []
    end = 0
    while end + _SECTOR_BYTES <= len(content):
        length = _HEADER.unpack_from(content, end)[1]
        payload = content[end + _HEADER.size : end + _HEADER.size + length]
        frame = _frame(payload)
        if content[end : end + len(frame)] != frame:
            break
        records.append(payload.decode())
        end += len(frame)
    return records, end


class SectorLog:
    """Every record starts at a sector of its own, so that a tear never damages its neighbour."""

    def __init__(self, directory: Path) -> None:
        self._file = os.open(directory / "sectors.log", os.O_RDWR | os.O_CREAT, 0o644)
        size = os.fstat(self._file).st_size
        self.records, self._end = _parse(os.pread(self._file, size, 0))
        if self._end < size:
            os.ftruncate(self._file, self._end)
            os.fsync(self._file)
        if size == 0:
            self._sync_directory(directory)

    def append(self, record: str) -> int:
        frame = _frame(record.encode())
        if os.pwrite(self._file, frame, self._end) != len(frame):  # <- call site
            raise OSError(errno.ENOSPC, "the record was cut short")
        os.fdatasync(self._file)
        self._end += len(frame)
        self.records.append(record)
        return len(self.records) - 1

    def close(self) -> None:
        os.close(self._file)

    def _sync_directory(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    name = "l07_checksum_without_position"
    model = LOG
    contract = Contract(io_error=None, corruption=None, writers="one")

    def open(self, directory: Path) -> SectorLog:
        return SectorLog(directory)

    def apply(self, store: SectorLog, operation: object) -> int:
        match operation:
            case Append(record):
                return store.append(record)
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: SectorLog) -> list[str]:
        return list(store.records)

    def close(self, store: SectorLog) -> None:
        store.close()
