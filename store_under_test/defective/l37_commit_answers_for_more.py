"""L37, a log that syncs once for several threads and answers for what it did not sync.

Defect: a thread that has synced counts everything that is in the file when it comes back as durable, also what others
wrote while the sync went on. They are answered, and when power fails before the next sync their records are gone.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
import zlib
from pathlib import Path

from harness import LOG, Append, Contract

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


class SharedLog:
    """Any number of threads append to one handle; whoever finds no sync under way syncs for all that wrote."""

    def __init__(self, directory: Path) -> None:
        self._file = os.open(directory / "log", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        content = os.pread(self._file, os.fstat(self._file).st_size, 0)
        if not content:
            self._sync_directory(directory)
        self.records, end = _parse(content)
        if end < len(content):
            os.ftruncate(self._file, end)
            os.fsync(self._file)
        self._changed = threading.Condition()
        self._durable = len(self.records)
        self._syncing = False

    def append(self, record: str) -> int:
        with self._changed:
            position = len(self.records)
            payload = record.encode()
            parts = [_header(position, payload), payload]
            if os.writev(self._file, parts) != sum(map(len, parts)):  # <- call site
                raise OSError(errno.ENOSPC, "the record was cut short")
            self.records.append(record)
            while self._durable <= position:
                if self._syncing:
                    self._changed.wait()
                else:
                    self._commit()
        return position

    def _commit(self) -> None:
        """Sync without the lock, so that others can write meanwhile."""
        self._syncing = True
        self._changed.release()
        try:
            os.fdatasync(self._file)
        finally:
            self._changed.acquire()
            self._syncing = False
            self._changed.notify_all()
        self._durable = len(self.records)

    def close(self) -> None:
        os.close(self._file)

    def _sync_directory(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    name = "l37_commit_answers_for_more"
    model = LOG
    contract = Contract(io_error=None, corruption=None, writers="threads")
    operations = (Append,)

    def open(self, directory: Path) -> SharedLog:
        return SharedLog(directory)

    def apply(self, store: SharedLog, operation: object) -> int:
        match operation:
            case Append(record):
                return store.append(record)
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: SharedLog) -> list[str]:
        return list(store.records)

    def close(self, store: SharedLog) -> None:
        store.close()
