"""L36, a log that makes room durable and takes what is written into the room to be durable too.

Defect: the file is grown by `ftruncate` and synced, a page or more at a time; records are written
into the zeros later, and no sync follows. When power fails, any of those acknowledged records may
read as zeros, also one in the middle, with sound records behind it that can't be reached.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from pathlib import Path

from harness import LOG, Append, Contract

_ROOM_BYTES = 4096
_HEADER = struct.Struct("<II")  # checksum of offset, length and payload; length of the payload in bytes


def _frame(offset: int, payload: bytes) -> bytes:
    start = zlib.crc32(struct.pack("<QI", offset, len(payload)))
    return _HEADER.pack(zlib.crc32(payload, start), len(payload)) + payload


def _parse(content: bytes) -> tuple[list[str], int]:
    """The records before the first frame that does not verify, and where that frame starts."""
    records: list[str] = []
    end = 0
    while end + _HEADER.size <= len(content):
        start = end + _HEADER.size
        payload = content[start : start + _HEADER.unpack_from(content, end)[1]]
        frame = _frame(end, payload)
        if content[end : end + len(frame)] != frame:
            break
        records.append(payload.decode())
        end += len(frame)
    return records, end


class RoomyLog:
    """Grows in whole pages. Opening gives back the room that is left, with whatever it holds."""

    def __init__(self, directory: Path) -> None:
        self._file = os.open(directory / "log", os.O_RDWR | os.O_CREAT, 0o644)
        self._size = os.fstat(self._file).st_size
        if self._size == 0:
            self._sync_directory(directory)
        self.records, self._end = _parse(os.pread(self._file, self._size, 0))
        if self._end < self._size:
            self._resize(self._end)

    def _resize(self, size: int) -> None:
        os.ftruncate(self._file, size)
        os.fsync(self._file)
        self._size = size

    def append(self, record: str) -> int:
        frame = _frame(self._end, record.encode())
        end = self._end + len(frame)
        if end > self._size:
            self._resize(-(-end // _ROOM_BYTES) * _ROOM_BYTES)
        if os.pwrite(self._file, frame, self._end) != len(frame):  # <- call site
            raise OSError(errno.ENOSPC, "the record was cut short")
        self._end = end
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
    name = "l36_grown_before_written"
    model = LOG
    contract = Contract(io_error=None, corruption=None, writers="one")

    def open(self, directory: Path) -> RoomyLog:
        return RoomyLog(directory)

    def apply(self, store: RoomyLog, operation: object) -> int:
        match operation:
            case Append(record):
                return store.append(record)
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: RoomyLog) -> list[str]:
        return list(store.records)

    def close(self, store: RoomyLog) -> None:
        store.close()
