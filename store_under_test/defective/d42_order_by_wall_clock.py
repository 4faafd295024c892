"""A log whose records are put in the order of their time stamps when it is opened.

Defect: the stamps are taken from the wall clock. Where it was set back between two appends, the later record bears
the earlier stamp.

What goes wrong: reading gives the records in another order than they were appended in, though all of them are there.
"""

from __future__ import annotations

import json
import os
import time
import warnings
import zlib
from pathlib import Path

from harness import LOG, Append, Contract, Read


class LogBroken(Exception):
    """A call failed before; reopen the log."""


def seal(number: int, stamp_ns: int, record: str) -> bytes:
    """One line: a checksum, and the number, the stamp and the record as JSON."""
    body = json.dumps([number, stamp_ns, record]).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def unseal(line: bytes, number: int) -> tuple[int, str] | None:
    """Stamp and record of the line with this number, or `None` for any other."""
    checksum, _, body = line[:-1].partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body):
        return None
    recorded, stamp_ns, record = json.loads(body)
    return (stamp_ns, record) if recorded == number else None


class StampedLog:
    """A sequence of text records, the oldest first."""

    def __init__(self, directory: Path) -> None:
        self._entries: list[tuple[int, str]] = []
        self._broken, self._end = False, 0
        self._path = directory / "log.txt"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._recover(self._path.read_bytes())
            self._sync_directory(directory)
        except BaseException:
            os.close(self._file)
            raise

    def _recover(self, data: bytes) -> None:
        for line in data.splitlines(keepends=True):
            entry = unseal(line, len(self._entries))
            if entry is None:
                break
            self._entries.append(entry)
            self._end += len(line)
        if self._end < len(data):
            warnings.warn(f"{self._path} does not verify beyond byte {self._end}; the rest is cut", stacklevel=3)
        self._write(data[: self._end], 0)  # after an fsync that failed, only the cache may have it
        os.ftruncate(self._file, self._end)
        os.fsync(self._file)

    @property
    def records(self) -> list[str]:
        """All records, in the order of their stamps; of equal ones the first appended is the first."""
        return [record for _, record in sorted(self._entries, key=lambda entry: entry[0])]

    def append(self, record: str) -> None:
        """Add a record; durable when it returns."""
        if self._broken:
            raise LogBroken("an append failed before: reopen the log")
        self._broken = True
        entry = (time.time_ns(), record)  # <- call site
        line = seal(len(self._entries), *entry)
        self._write(line, self._end)
        os.fdatasync(self._file)
        self._broken = False
        self._end += len(line)
        self._entries.append(entry)

    def _write(self, data: bytes, position: int) -> None:
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
    """Claims what it would keep if the order were that of the file."""

    name = "d42-order-by-wall-clock"
    model = LOG
    contract = Contract()
    operations = (Append, Read)

    def open(self, directory: Path) -> StampedLog:
        return StampedLog(directory)

    def apply(self, store: StampedLog, operation: object) -> list[str] | None:
        match operation:
            case Append(record):
                store.append(record)
            case Read(start):
                return store.records[start:]
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: StampedLog) -> list[str]:
        return store.records

    def close(self, store: StampedLog) -> None:
        store.close()
