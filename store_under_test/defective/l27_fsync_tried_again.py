"""L27, a log that tries fsync again when it fails.

Defect: after an fsync that failed, the next one may succeed without having written anything: the pages that could not
be written count as clean. Here the second success is believed.

What goes wrong: a record is acknowledged that only the cache has. After a power loss there is a hole in its place,
and the log ends before it.
"""

from __future__ import annotations

import json
import os
import warnings
import zlib
from pathlib import Path

from harness import LOG, Append, Contract, Read


class LogBroken(Exception):
    """A call failed before; reopen the log."""


def seal(number: int, record: str) -> bytes:
    """One line: a checksum, and the number and the record as JSON."""
    body = json.dumps([number, record]).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def unseal(line: bytes, number: int) -> str | None:
    """The record of the line with this number, or `None` for any other."""
    checksum, _, body = line[:-1].partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body):
        return None
    recorded, record = json.loads(body)
    return record if recorded == number else None


class PatientLog:
    """An append-only sequence of text records."""

    def __init__(self, directory: Path) -> None:
        self.records: list[str] = []
        self._broken = False
        self._path = directory / "log"
        self._end = self._recover()
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._file = os.open(self._path, os.O_WRONLY)

    def _recover(self) -> int:
        """Read the log and write what verifies once more: after an error, only the cache may have it."""
        self._path.touch()
        data, end = self._path.read_bytes(), 0
        for line in data.splitlines(keepends=True):
            record = unseal(line, len(self.records))
            if record is None:
                break
            self.records.append(record)
            end += len(line)
        if end < len(data):
            warnings.warn(f"{self._path} ends with {len(data) - end} bytes of no record", stacklevel=2)
        with self._path.open("r+b") as file:
            file.write(data[:end])
            file.truncate(end)
            file.flush()
            os.fsync(file.fileno())
        return end

    def append(self, record: str) -> int:
        """Add a record; durable when it returns its position."""
        if self._broken:
            raise LogBroken("an append failed before: reopen the log")
        self._broken = True
        line = seal(len(self.records), record)
        rest, position = memoryview(line), self._end
        while rest:
            written = os.pwrite(self._file, rest, position)
            rest, position = rest[written:], position + written
        self._sync()
        self._broken = False
        self._end += len(line)
        self.records.append(record)
        return len(self.records) - 1

    def _sync(self) -> None:
        try:
            os.fsync(self._file)  # <- call site
        except OSError:
            os.fsync(self._file)  # <- call site

    def close(self) -> None:
        """Release the file."""
        os.close(self._file)


class Adapter:
    """Claims what it would keep if an fsync that failed were the end of it."""

    name = "l27-fsync-tried-again"
    model = LOG
    contract = Contract()
    operations = (Append, Read)

    def open(self, directory: Path) -> PatientLog:
        return PatientLog(directory)

    def apply(self, store: PatientLog, operation: object) -> int | list[str]:
        match operation:
            case Append(record):
                return store.append(record)
            case Read(start):
                return store.records[start:]
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: PatientLog) -> list[str]:
        return list(store.records)

    def close(self, store: PatientLog) -> None:
        store.close()
