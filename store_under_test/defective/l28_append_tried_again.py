"""L28, a log that tries an append again when it fails.

Defect: a write that raised may have taken effect all the same. What was written in part is cut before the next
attempt; a frame that arrived whole is taken for part of the log, and the record is appended once more behind it.

What goes wrong: one append, two records.
"""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from pathlib import Path

from harness import LOG, Append, Contract

HEADER = struct.Struct("<IIQ")  # checksum of all that follows it, bytes of the record, offset of the frame
ATTEMPTS = 3


class LogBroken(Exception):
    """A call failed before; reopen the log."""


def encode(offset: int, record: str) -> bytes:
    """One frame."""
    content = record.encode()
    covered = HEADER.pack(0, len(content), offset)[4:] + content
    return zlib.crc32(covered).to_bytes(4, "little") + covered


def frame_end(data: bytes, start: int) -> int | None:
    """Where the frame at `start` ends, or `None` if there is no sound one."""
    if len(data) < start + HEADER.size:
        return None
    checksum, length, offset = HEADER.unpack_from(data, start)
    end: int = start + HEADER.size + length
    sound = offset == start and end <= len(data) and zlib.crc32(data[start + 4 : end]) == checksum
    return end if sound else None


class StubbornLog:
    """An append-only sequence of text records. What follows the last sound frame is cut."""

    def __init__(self, directory: Path) -> None:
        self.records: list[str] = []
        self._broken, self._end = False, 0
        self._directory = directory
        self._file = os.open(directory / "log", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._recover()
        except BaseException:
            os.close(self._file)
            raise

    def _recover(self) -> None:
        data = (self._directory / "log").read_bytes()
        while (end := frame_end(data, self._end)) is not None:
            self.records.append(data[self._end + HEADER.size : end].decode())
            self._end = end
        if self._end < len(data):
            warnings.warn(f"what follows byte {self._end} of the log is no record, and is cut", stacklevel=3)
        self._pwrite(data[: self._end], 0)  # after an fsync that failed, only the cache may have it
        os.ftruncate(self._file, self._end)
        os.fsync(self._file)
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def append(self, record: str) -> int:
        """Add a record; durable when it returns its position."""
        if self._broken:
            raise LogBroken("an append failed before: reopen the log")
        self._broken = True
        self._end = self._written(record)
        os.fsync(self._file)
        self._broken = False
        self.records.append(record)
        return len(self.records) - 1

    def _written(self, record: str) -> int:
        """Where the log ends after the record."""
        end = self._end
        for attempt in range(ATTEMPTS):
            frame = encode(end, record)
            try:
                self._pwrite(frame, end)
            except OSError:
                if attempt + 1 == ATTEMPTS:
                    raise
                if os.fstat(self._file).st_size < end + len(frame):
                    os.ftruncate(self._file, end)
                else:
                    end += len(frame)
            else:
                break
        return end + len(frame)

    def _pwrite(self, data: bytes, position: int) -> None:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._file, rest, position)  # <- call site
            rest, position = rest[written:], position + written

    def close(self) -> None:
        """Release the file."""
        os.close(self._file)


class Adapter:
    """Claims what it would keep if it cut the file before it tries again."""

    name = "l28-append-tried-again"
    model = LOG
    contract = Contract()

    def open(self, directory: Path) -> StubbornLog:
        return StubbornLog(directory)

    def apply(self, store: StubbornLog, operation: object) -> int:
        match operation:
            case Append(record):
                return store.append(record)
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: StubbornLog) -> list[str]:
        return list(store.records)

    def close(self, store: StubbornLog) -> None:
        store.close()
