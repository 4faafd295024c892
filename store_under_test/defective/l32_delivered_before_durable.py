"""L32, a log whose followers see a record before it is durable.

Defect: `append` publishes the record as soon as the kernel has it, wakes those who follow the log,
and only then syncs. When power fails in between, a follower has acted on a record that is not in the log,
and soon another record has its position.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
import zlib
from pathlib import Path

from harness import LOG, Append, Contract, Read

_HEADER = struct.Struct("<III")  # number of the record; length of the payload in bytes; checksum of all


def _header(number: int, payload: bytes) -> bytes:
    start = zlib.crc32(struct.pack("<II", number, len(payload)))
    return _HEADER.pack(number, len(payload), zlib.crc32(payload, start))


def _parse(content: bytes) -> tuple[list[str], int]:
    """The records before the first frame that does not verify, and where that frame starts."""
    records: list[str] = []
    end = 0
    while end + _HEADER.size <= len(content):
        start = end + _HEADER.size
        payload = content[start : start + _HEADER.unpack_from(content, end)[1]]
        if content[end:start] != _header(len(records), payload):
            break
        records.append(payload.decode())
        end = start + len(payload)
    return records, end


class FollowedLog:
    """One writer at a time; any number of threads may read, and wait for more, meanwhile."""

    def __init__(self, directory: Path) -> None:
        self._file = os.open(directory / "log", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        content = os.pread(self._file, os.fstat(self._file).st_size, 0)
        if not content:
            self._sync_directory(directory)
        self._records, end = _parse(content)
        if end < len(content):
            os.ftruncate(self._file, end)
            os.fsync(self._file)
        self._writing = threading.Lock()
        self._published = threading.Condition()

    def append(self, record: str) -> int:
        payload = record.encode()
        with self._writing:
            position = len(self._records)
            parts = [_header(position, payload), payload]
            if os.writev(self._file, parts) != sum(map(len, parts)):  # <- call site
                raise OSError(errno.ENOSPC, "the record was cut short")
            with self._published:
                self._records.append(record)
                self._published.notify_all()
            os.fdatasync(self._file)
        return position

    def read(self, start: int) -> list[str]:
        with self._published:
            return self._records[start:]

    def follow(self, start: int, timeout: float) -> list[str]:
        """The records from `start` on; waits up to `timeout` seconds for the first."""
        with self._published:
            self._published.wait_for(lambda: len(self._records) > start, timeout)
            return self._records[start:]

    def close(self) -> None:
        os.close(self._file)

    def _sync_directory(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    name = "l32_delivered_before_durable"
    model = LOG
    contract = Contract(io_error=None, corruption=None, writers="threads")
    operations = (Append, Read)

    def open(self, directory: Path) -> FollowedLog:
        return FollowedLog(directory)

    def apply(self, store: FollowedLog, operation: object) -> int | list[str]:
        match operation:
            case Append(record):
                return store.append(record)
            case Read(start):
                return store.read(start)
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: FollowedLog) -> list[str]:
        return store.read(0)

    def close(self, store: FollowedLog) -> None:
        store.close()
