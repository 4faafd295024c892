"""L01, a log of JSON lines that acknowledges an append without fsync.

Defect: `append` hands the line to the kernel and returns; only a torn tail is ever synced.
When power fails, acknowledged records at the end of the log are gone.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

from harness import LOG, Append, Contract


def _line(number: int, text: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(b"%d %s" % (number, text)), text)


def _parse(content: bytes) -> tuple[list[str], int]:
    """The records before the first line that does not verify, and where that line starts."""
    records: list[str] = []
    end = 0
    for line in content.splitlines(keepends=True):
        if line != _line(len(records), line[9:-1]):
            break
        records.append(json.loads(line[9:-1]))
        end += len(line)
    return records, end


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class LineLog:
    """One JSON string a line, after a checksum of the line's number and text."""

    def __init__(self, directory: Path) -> None:
        path = directory / "records.jsonl"
        self._file = open(path, "ab")
        content = path.read_bytes()
        self.records, end = _parse(content)
        if end < len(content):
            self._file.truncate(end)
            os.fsync(self._file.fileno())
        if not content:  # perhaps just created: its entry must last before the first append is acknowledged
            _sync_directory(directory)

    def append(self, record: str) -> int:
        position = len(self.records)
        self._file.write(_line(position, json.dumps(record).encode()))  # <- call site
        self._file.flush()  # <- call site
        self.records.append(record)
        return position

    def close(self) -> None:
        self._file.close()


class Adapter:
    name = "l01_no_fsync"
    model = LOG
    contract = Contract(io_error=None, corruption=None, writers="one")

    def open(self, directory: Path) -> LineLog:
        return LineLog(directory)

    def apply(self, store: LineLog, operation: object) -> int:
        match operation:
            case Append(record):
                return store.append(record)
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: LineLog) -> list[str]:
        return list(store.records)

    def close(self, store: LineLog) -> None:
        store.close()
