"""Sound: a log of text lines; an incomplete last line is cut when opening, and the cut is fsynced.

Each line holds a checksum, its number, and one batch of records as a JSON list, which has no line
breaks of its own.
"""

from __future__ import annotations

import json
import os
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


class LineLog:
    """An append-only sequence of text records."""

    def __init__(self, directory: Path) -> None:
        self.records: list[str] = []
        self._lines = 0
        path = directory / "log.txt"
        self._file = path.open("ab")
        self._recover(path)
        self._sync_directory(directory)

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
            self._file.truncate(end)
            os.fsync(self._file.fileno())

    def append(self, records: Sequence[str]) -> int:
        """Add records, all or none; durable when it returns the position of the first."""
        body = b"%d %s" % (self._lines, json.dumps(list(records)).encode())
        self._file.write(b"%08x %s\n" % (zlib.crc32(body), body))
        self._file.flush()
        os.fsync(self._file.fileno())
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
        io_error=None,
        corruption=None,
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
