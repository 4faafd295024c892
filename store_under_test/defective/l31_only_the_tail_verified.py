"""L31, a log that verifies its last record only.

Defect: opening looks for a torn tail, so it verifies the checksum of the last frame and no other.

What goes wrong: a flipped bit anywhere before is served as part of a record.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from pathlib import Path

from harness import LOG, Append, Contract, Read

logger = logging.getLogger(__name__)
FIELDS = struct.Struct(">IQI")  # bytes of the record, position, checksum of the record
HEADER_BYTES = FIELDS.size + 4  # and a checksum of the fields


class LogBroken(Exception):
    """A call failed before; reopen the log."""


def encode(position: int, record: str) -> bytes:
    """One frame."""
    content = record.encode()
    fields = FIELDS.pack(len(content), position, zlib.crc32(content))
    return fields + zlib.crc32(fields).to_bytes(4, "big") + content


def frames(data: bytes) -> list[bytes]:
    """The frames before the first header that does not verify; the last of them may be cut short."""
    found: list[bytes] = []
    start = 0
    while len(data) >= start + HEADER_BYTES:
        fields, checksum = data[start : start + FIELDS.size], data[start + FIELDS.size : start + HEADER_BYTES]
        length, position, _ = FIELDS.unpack(fields)
        if position != len(found) or zlib.crc32(fields).to_bytes(4, "big") != checksum:
            break
        found.append(data[start : start + HEADER_BYTES + length])
        start += HEADER_BYTES + length
    return found


def is_sound(frame: bytes) -> bool:
    """Whether the record of a frame is what its header says."""
    length, _, checksum = FIELDS.unpack_from(frame)
    content = frame[HEADER_BYTES:]
    return bool(len(content) == length and zlib.crc32(content) == checksum)


class TailLog:
    """An append-only sequence of text records."""

    def __init__(self, directory: Path) -> None:
        self._broken = False
        self._parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._file = os.open("log", os.O_RDWR | os.O_CREAT, 0o644, dir_fd=self._parent)
        try:
            self._recover()
            os.fsync(self._parent)
        except BaseException:
            self.close()
            raise

    def _recover(self) -> None:
        size, data = os.fstat(self._file).st_size, b""
        while chunk := os.pread(self._file, size + 1, len(data)):  # <- call site
            data += chunk
        found = frames(data)
        if found and not is_sound(found[-1]):
            found.pop()
        if sum(map(len, found)) < len(data):
            logger.warning("the log does not end with a whole record; the rest is cut")
        self.records = [frame[HEADER_BYTES:].decode(errors="replace") for frame in found]
        self._end = 0
        self._write(b"".join(found))  # after an fsync that failed, only the cache may have it
        os.ftruncate(self._file, self._end)
        os.fsync(self._file)

    def append(self, record: str) -> int:
        """Add a record; durable when it returns its position."""
        if self._broken:
            raise LogBroken("an append failed before: reopen the log")
        self._broken = True
        self._write(encode(len(self.records), record))
        os.fdatasync(self._file)
        self._broken = False
        self.records.append(record)
        return len(self.records) - 1

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._file, rest, self._end)
            rest, self._end = rest[written:], self._end + written

    def close(self) -> None:
        """Release the file and the directory."""
        os.close(self._file)
        os.close(self._parent)


class Adapter:
    """Claims what it would keep if it verified every frame."""

    name = "l31-only-the-tail-verified"
    model = LOG
    contract = Contract()
    operations = (Append, Read)

    def open(self, directory: Path) -> TailLog:
        return TailLog(directory)

    def apply(self, store: TailLog, operation: object) -> int | list[str]:
        match operation:
            case Append(record):
                return store.append(record)
            case Read(start):
                return store.records[start:]
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: TailLog) -> list[str]:
        return list(store.records)

    def close(self, store: TailLog) -> None:
        store.close()
