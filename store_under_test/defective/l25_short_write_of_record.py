"""L25, a log that moves on by what it meant to write.

Defect: what `os.pwrite` returns is ignored. After a short write the next frame begins where the last one should have
ended, behind a gap.

What goes wrong: the record that was written short was acknowledged and does not verify, and the log ends there when
it is opened again, with a warning: everything after it is lost.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from pathlib import Path

from harness import LOG, Append, Contract

logger = logging.getLogger(__name__)
HEADER = struct.Struct(">IIQ")  # checksum of all that follows it, bytes of the record, offset of the frame


class LogBroken(Exception):
    """A call failed before; reopen the log."""


class OffsetLog:
    """An append-only sequence of text records."""

    def __init__(self, directory: Path) -> None:
        self.records: list[str] = []
        self._broken, self._end = False, 0
        self._file = os.open(directory / "log", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._recover((directory / "log").read_bytes())
            self._sync_directory(directory)
        except BaseException:
            os.close(self._file)
            raise

    def _recover(self, data: bytes) -> None:
        while (record := self._record(data)) is not None:
            self.records.append(record.decode())
            self._end += HEADER.size + len(record)
        if self._end < len(data):
            logger.warning("the log ends with %d bytes of no record", len(data) - self._end)
        rest, position = memoryview(data[: self._end]), 0
        while rest:  # after an fsync that failed, only the cache may have it
            written = os.pwrite(self._file, rest, position)
            rest, position = rest[written:], position + written
        os.ftruncate(self._file, self._end)
        os.fsync(self._file)

    def _record(self, data: bytes) -> bytes | None:
        if len(data) < self._end + HEADER.size:
            return None
        checksum, length, offset = HEADER.unpack_from(data, self._end)
        after = self._end + HEADER.size + length
        if offset != self._end or after > len(data) or zlib.crc32(data[self._end + 4 : after]) != checksum:
            return None
        return data[self._end + HEADER.size : after]

    def append(self, record: str) -> int:
        """Add a record; durable when it returns its position."""
        if self._broken:
            raise LogBroken("an append failed before: reopen the log")
        self._broken = True
        content = record.encode()
        covered = HEADER.pack(0, len(content), self._end)[4:] + content
        frame = zlib.crc32(covered).to_bytes(4, "big") + covered
        os.pwrite(self._file, frame, self._end)  # <- call site
        os.fdatasync(self._file)
        self._broken = False
        self._end += len(frame)
        self.records.append(record)
        return len(self.records) - 1

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
    """Claims what it would keep if it wrote until everything is written."""

    name = "l25-short-write-of-record"
    model = LOG
    contract = Contract()

    def open(self, directory: Path) -> OffsetLog:
        return OffsetLog(directory)

    def apply(self, store: OffsetLog, operation: object) -> int:
        match operation:
            case Append(record):
                return store.append(record)
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: OffsetLog) -> list[str]:
        return list(store.records)

    def close(self, store: OffsetLog) -> None:
        store.close()
