"""L10, a log that is cut at the first bad record, wherever that is.

Defect: recovery takes any record that does not verify for a torn tail and cuts the file there, without a word. A torn
tail is at the end; a bad record with sound ones after it is damage.

What goes wrong: one flipped bit in the middle, and all that follows it is gone for good.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

from harness import LOG, Append, Contract, Read

HEADER = struct.Struct("<IIQ")  # checksum of all that follows it, bytes of the record, position


class LogBroken(Exception):
    """A call failed before; reopen the log."""


def encode(position: int, record: str) -> bytes:
    """One frame."""
    content = record.encode()
    covered = HEADER.pack(0, len(content), position)[4:] + content
    return zlib.crc32(covered).to_bytes(4, "little") + covered


def parse(data: bytes) -> tuple[list[str], int]:
    """The records before the first frame that does not verify, and where that frame starts."""
    records: list[str] = []
    end = 0
    while len(data) >= end + HEADER.size:
        checksum, length, position = HEADER.unpack_from(data, end)
        after = end + HEADER.size + length
        if position != len(records) or after > len(data) or zlib.crc32(data[end + 4 : after]) != checksum:
            break
        records.append(data[end + HEADER.size : after].decode())
        end = after
    return records, end


class FrameLog:
    """An append-only sequence of text records."""

    def __init__(self, directory: Path) -> None:
        self._broken = False
        self._file = open(os.open(directory / "log", os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
        try:
            self._recover(directory)
        except BaseException:
            self._file.close()
            raise

    def _recover(self, directory: Path) -> None:
        data = self._file.readall()  # <- call site
        self.records, end = parse(data)
        self._write(0, data[:end])  # after an fsync that failed, only the cache may have it
        self._file.truncate(end)
        os.fsync(self._file.fileno())
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def append(self, record: str) -> int:
        """Add a record; durable when it returns its position."""
        if self._broken:
            raise LogBroken("an append failed before: reopen the log")
        self._broken = True
        self._write(self._file.seek(0, os.SEEK_END), encode(len(self.records), record))
        os.fdatasync(self._file.fileno())
        self._broken = False
        self.records.append(record)
        return len(self.records) - 1

    def _write(self, position: int, data: bytes) -> None:
        self._file.seek(position)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        """Release the file."""
        self._file.close()


class Adapter:
    """Claims what it would keep if it told damage from a torn tail, and warned when it cuts one."""

    name = "l10-cut-at-first-bad-record"
    model = LOG
    contract = Contract()
    operations = (Append, Read)

    def open(self, directory: Path) -> FrameLog:
        return FrameLog(directory)

    def apply(self, store: FrameLog, operation: object) -> int | list[str]:
        match operation:
            case Append(record):
                return store.append(record)
            case Read(start):
                return store.records[start:]
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: FrameLog) -> list[str]:
        return list(store.records)

    def close(self, store: FrameLog) -> None:
        store.close()
