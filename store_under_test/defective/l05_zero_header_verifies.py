"""L05, a log in which a header of zeros is a record.

Defect: an empty record is written as eight zero bytes, "nothing to verify". After a power
failure the grown end of the file may read as zeros, and each eight of them are a phantom record.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from pathlib import Path

from harness import LOG, Append, Contract

_HEADER = struct.Struct(">II")  # length of the payload in bytes; checksum of offset, length and payload
_EMPTY = _HEADER.pack(0, 0)


def _header(offset: int, payload: bytes) -> bytes:
    if not payload:
        return _EMPTY
    start = zlib.crc32(struct.pack(">QI", offset, len(payload)))
    return _HEADER.pack(len(payload), zlib.crc32(payload, start))


def _parse(content: bytes) -> tuple[list[str], int]:
    """The records before the first frame that does not verify, and where that frame starts."""
    records: list[str] = []
    end = 0
    while end + _HEADER.size <= len(content):
        header = content[end : end + _HEADER.size]
        length = _HEADER.unpack(header)[0]
        payload = content[end + _HEADER.size : end + _HEADER.size + length]
        if header != _header(end, payload):
            break
        records.append(payload.decode())
        end += _HEADER.size + length
    return records, end


class FrameLog:
    """Header and payload go to the file in one gathering write."""

    def __init__(self, directory: Path) -> None:
        parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._file = os.open("frames", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644, dir_fd=parent)
            size = os.fstat(self._file).st_size
            if size == 0:
                os.fsync(parent)
        finally:
            os.close(parent)
        self.records, self._end = _parse(os.pread(self._file, size, 0))
        if self._end < size:
            os.ftruncate(self._file, self._end)
            os.fsync(self._file)

    def append(self, record: str) -> int:
        payload = record.encode()
        size = _HEADER.size + len(payload)
        if os.writev(self._file, [_header(self._end, payload), payload]) != size:  # <- call site
            raise OSError(errno.ENOSPC, "the record was cut short")
        os.fdatasync(self._file)
        self._end += size
        self.records.append(record)
        return len(self.records) - 1

    def close(self) -> None:
        os.close(self._file)


class Adapter:
    name = "l05_zero_header_verifies"
    model = LOG
    contract = Contract(io_error=None, corruption=None, writers="one")

    def open(self, directory: Path) -> FrameLog:
        return FrameLog(directory)

    def apply(self, store: FrameLog, operation: object) -> int:
        match operation:
            case Append(record):
                return store.append(record)
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: FrameLog) -> list[str]:
        return list(store.records)

    def close(self, store: FrameLog) -> None:
        store.close()
