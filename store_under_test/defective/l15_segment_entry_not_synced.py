"""L15, a segmented log that never makes the names of new segments durable.

Defect: a new segment is created and its records are synced, but its directory is not. After a
power failure the segment has no name, and the acknowledged records in it have vanished.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from pathlib import Path

from harness import LOG, Append, Contract

_RECORDS_PER_SEGMENT = 3
_HEADER = struct.Struct(">QI")  # position of the record in the whole log; length of the payload in bytes
_CHECKSUM_BYTES = 4


def _frame(position: int, payload: bytes) -> bytes:
    body = _HEADER.pack(position, len(payload)) + payload
    return body + zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "big")


def _parse(content: bytes, position: int) -> tuple[list[str], int]:
    """The records, the first of them at `position`, before the first bad frame, and where that starts."""
    records: list[str] = []
    end = 0
    while end + _HEADER.size <= len(content):
        start = end + _HEADER.size
        payload = content[start : start + _HEADER.unpack_from(content, end)[1]]
        frame = _frame(position + len(records), payload)
        if content[end : end + len(frame)] != frame:
            break
        records.append(payload.decode())
        end += len(frame)
    return records, end


def _name(segment: int) -> str:
    return f"{segment:08d}.segment"


class SegmentedLog:
    """Three records a segment; only the last segment may have a torn tail."""

    def __init__(self, directory: Path) -> None:
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self.records: list[str] = []
        self._segment = 0
        names = set(os.listdir(self._directory))
        self._open_segment()
        while self._load_segment() == _RECORDS_PER_SEGMENT and _name(self._segment + 1) in names:
            self._next_segment()
        self._remove_unreachable(names)
        if os.fstat(self._file).st_size == 0:
            os.fsync(self._directory)

    def _open_segment(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        self._file = os.open(_name(self._segment), flags, 0o644, dir_fd=self._directory)  # <- call site

    def _next_segment(self) -> None:
        os.close(self._file)
        self._segment += 1
        self._open_segment()

    def _load_segment(self) -> int:
        """Read the open segment, cut its torn tail, and tell how many records it holds."""
        size = os.fstat(self._file).st_size
        records, end = _parse(os.pread(self._file, size, 0), len(self.records))
        if end < size:
            os.ftruncate(self._file, end)
            os.fsync(self._file)
        self.records += records
        return len(records)

    def _remove_unreachable(self, names: set[str]) -> None:
        """Remove segments behind a gap: nothing there was acknowledged, and their names are used again."""
        unreachable = sorted(name for name in names if name > _name(self._segment))
        for name in unreachable:
            os.unlink(name, dir_fd=self._directory)
        if unreachable:
            os.fsync(self._directory)

    def append(self, record: str) -> int:
        position = len(self.records)
        if position == (self._segment + 1) * _RECORDS_PER_SEGMENT:
            os.fdatasync(self._file)  # recovery may have found a last record that was never synced
            self._next_segment()
        frame = _frame(position, record.encode())
        if os.write(self._file, frame) != len(frame):
            raise OSError(errno.ENOSPC, "the record was cut short")
        os.fdatasync(self._file)
        self.records.append(record)
        return position

    def close(self) -> None:
        os.close(self._file)
        os.close(self._directory)


class Adapter:
    name = "l15_segment_entry_not_synced"
    model = LOG
    contract = Contract(io_error=None, corruption=None, writers="one")

    def open(self, directory: Path) -> SegmentedLog:
        return SegmentedLog(directory)

    def apply(self, store: SegmentedLog, operation: object) -> int:
        match operation:
            case Append(record):
                return store.append(record)
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: SegmentedLog) -> list[str]:
        return list(store.records)

    def close(self, store: SegmentedLog) -> None:
        store.close()
