"""Sound: a log of text lines; an incomplete last line is cut when opening, with a warning, and the cut is fsynced.

Each line holds a checksum, its number, and one batch of records as a JSON list, which has no line
breaks of its own. After an error the log is not written to until it is opened again, and opening writes back what
it read: where an fsync failed, only the cache may have it.
"""

from __future__ import annotations

import json
import os
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

from harness import LOG, Append, AppendMany, Contract, Read


def records_in(line: bytes, number: int) -> list[str] | None:
    """The batch of records of a line, or `None` if it is not the whole line with this number."""
    checksum, _, body = line[:-1].partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body):
        return None
    recorded, _, batch = body.partition(b" ")
    if recorded != b"%d" % number:
        return None
    records: list[str] = json.loads(batch)
    return records


class LogBroken(Exception):
    """A call failed before; open the log again."""


class LineLog:
    """An append-only sequence of text records."""

    def __init__(self, directory: Path) -> None:
        self.records: list[str] = []
        self._lines = 0
        self._broken = False
        path = directory / "log.txt"
        self._file = path.open("ab", buffering=0)
        try:
            self._recover(path)
            self._sync_directory(directory)
        except BaseException:
            self._file.close()
            raise

    def _recover(self, path: Path) -> None:
        data, end = path.read_bytes(), 0
        for line in data.splitlines(keepends=True):
            records = records_in(line, self._lines)
            if records is None:
                break
            self.records += records
            self._lines += 1
            end += len(line)
        if end < len(data):
            warnings.warn(f"{path} has no whole line at byte {end}; the rest is cut", stacklevel=3)
        with path.open("r+b") as file:
            file.write(data[:end])
            file.truncate(end)
            file.flush()
            os.fsync(file.fileno())

    def append(self, records: Sequence[str]) -> int:
        """Add records, all or none; durable when it returns the position of the first."""
        if self._broken:
            raise LogBroken("an append failed before: open the log again")
        self._broken = True
        body = b"%d %s" % (self._lines, json.dumps(list(records)).encode())
        rest = memoryview(b"%08x %s\n" % (zlib.crc32(body), body))
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())
        self._broken = False
        self._lines += 1
        self.records += records
        return len(self.records) - len(records)

    def _sync_directory(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Release the file."""
        self._file.close()


class Adapter:
    """Claims what it keeps, under every model."""

    name = "n3-torn-line-is-cut"
    model = LOG
    contract = Contract(
        power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
    )
    operations = (Append, AppendMany, Read)

    def open(self, directory: Path) -> LineLog:
        return LineLog(directory)

    def apply(self, store: LineLog, operation: object) -> int | list[str]:
        match operation:
            case Append(record):
                return store.append((record,))
            case AppendMany(records):
                return store.append(records)
            case Read(start):
                return store.records[start:]
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: LineLog) -> list[str]:
        return list(store.records)

    def close(self, store: LineLog) -> None:
        store.close()
