"""L11, a log of lines in which bad lines are passed over.

Defect: a line that does not verify is skipped without a word, wherever it is. Each line stands for itself, so nothing
else looks wrong.

What goes wrong: one flipped bit, and one acknowledged record in the middle is no longer there: a hole.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

from harness import LOG, Append, AppendMany, Contract


class LogBroken(Exception):
    """A call failed before; reopen the log."""


def encode(offset: int, records: tuple[str, ...]) -> bytes:
    """A batch as a line of JSON, which has no line breaks of its own, after a checksum of it and its offset."""
    body = json.dumps(records).encode()
    return b"%08x %s\n" % (zlib.crc32(body, offset & 0xFFFFFFFF), body)


def decode(offset: int, line: bytes) -> list[str]:
    """The batch of a line; nothing for one that does not verify."""
    checksum, _, body = line[:-1].partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body, offset & 0xFFFFFFFF):
        return []
    records: list[str] = json.loads(body)
    return records


class LineLog:
    """An append-only sequence of text records."""

    def __init__(self, directory: Path) -> None:
        self.records: list[str] = []
        self._broken = False
        self._file = os.open(directory / "log.txt", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._end = self._recover(directory / "log.txt")
            self._sync_directory(directory)
        except BaseException:
            os.close(self._file)
            raise

    def _recover(self, path: Path) -> int:
        data, end, sound = path.read_bytes(), 0, 0  # <- call site
        for line in data.splitlines(keepends=True):
            records = decode(end, line)
            self.records += records
            end += len(line)
            sound = end if records else sound
        self._write(0, data[:sound])  # after an fsync that failed, only the cache may have it
        os.ftruncate(self._file, sound)
        os.fsync(self._file)
        return sound

    def append(self, records: tuple[str, ...]) -> int:
        """Add records, all or none; durable when it returns the position of the first."""
        if self._broken:
            raise LogBroken("an append failed before: reopen the log")
        self._broken = True
        line = encode(self._end, records)
        self._write(self._end, line)
        os.fdatasync(self._file)
        self._broken = False
        self._end += len(line)
        self.records += records
        return len(self.records) - len(records)

    def _write(self, position: int, data: bytes) -> None:
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
    """Claims what it would keep if a line that does not verify were an error, or cut with a warning at the end."""

    name = "l11-bad-records-skipped"
    model = LOG
    contract = Contract()
    operations = (Append, AppendMany)

    def open(self, directory: Path) -> LineLog:
        return LineLog(directory)

    def apply(self, store: LineLog, operation: object) -> int:
        match operation:
            case Append(record):
                return store.append((record,))
            case AppendMany(records):
                return store.append(records)
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: LineLog) -> list[str]:
        return list(store.records)

    def close(self, store: LineLog) -> None:
        store.close()
