"""Sound: a log that raises when the disk is full, leaves the file as it was, and goes on when there is room.

What a write left behind is cut again before the error is raised, and the store works on with the same handle. Only
where an fsync or that cut fails does it refuse to write until it is opened again.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from pathlib import Path

from harness import LOG, Append, Contract, Read

logger = logging.getLogger(__name__)


class LogBroken(Exception):
    """An fsync failed before, or what a write left could not be cut: open the log again."""


def seal(number: int, record: str) -> bytes:
    """One line: a checksum, and the number and the record as JSON, which has no line breaks of its own."""
    body = json.dumps([number, record]).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def unseal(line: bytes, number: int) -> str | None:
    """The record of the line with this number, or `None` for any other."""
    checksum, _, body = line[:-1].partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body):
        return None
    recorded, record = json.loads(body)
    return record if recorded == number else None


class LineLog:
    """An append-only sequence of text records."""

    def __init__(self, directory: Path) -> None:
        self.records: list[str] = []
        self._broken, self._end = False, 0
        self._file = os.open(directory / "log.txt", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._recover((directory / "log.txt").read_bytes())
            self._sync_directory(directory)
        except BaseException:
            os.close(self._file)
            raise

    def _recover(self, data: bytes) -> None:
        for line in data.splitlines(keepends=True):
            record = unseal(line, len(self.records))
            if record is None:
                break
            self.records.append(record)
            self._end += len(line)
        if self._end < len(data):
            logger.warning("%d bytes at the end of the log are no record, and are cut", len(data) - self._end)
        self._write(data[: self._end], 0)  # after an fsync that failed, only the cache may have it
        os.ftruncate(self._file, self._end)
        os.fsync(self._file)

    def append(self, record: str) -> int:
        """Add a record; durable when it returns its position. Raises `OSError` when the disk is full."""
        if self._broken:
            raise LogBroken("an error before this: open the log again")
        line = seal(len(self.records), record)
        self._broken = True
        try:
            self._write(line, self._end)
        except OSError:
            os.ftruncate(self._file, self._end)
            self._broken = False
            raise
        os.fdatasync(self._file)
        self._broken = False
        self._end += len(line)
        self.records.append(record)
        return len(self.records) - 1

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
    """Claims what it keeps, under every model."""

    name = "n13-disk-full-is-raised"
    model = LOG
    contract = Contract(
        power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
    )
    operations = (Append, Read)

    def open(self, directory: Path) -> LineLog:
        return LineLog(directory)

    def apply(self, store: LineLog, operation: object) -> int | list[str]:
        match operation:
            case Append(record):
                return store.append(record)
            case Read(start):
                return store.records[start:]
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: LineLog) -> list[str]:
        return list(store.records)

    def close(self, store: LineLog) -> None:
        store.close()
