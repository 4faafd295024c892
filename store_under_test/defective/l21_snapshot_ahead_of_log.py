"""L21, a log whose snapshot can be durable before the records that it covers.

Defect: `compact` makes a snapshot of all records durable without syncing the log first. After a
power failure the log ends before the snapshot does and goes on numbering from its own end: the
numbers are used again, and the next opening takes the new records for those in the snapshot.
"""

from __future__ import annotations

import errno
import json
import os
import struct
import tempfile
import zlib
from pathlib import Path

from harness import LOG, Append, Compact, Contract, Sync

_HEADER = struct.Struct("!QI")  # number of the record, from 1; length of the payload in bytes
_CHECKSUM_BYTES = 4


def _frame(number: int, payload: bytes) -> bytes:
    body = _HEADER.pack(number, len(payload)) + payload
    return zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "big") + body


def _parse(content: bytes) -> tuple[list[str], int]:
    """The records before the first frame that does not verify, and where that frame starts."""
    records: list[str] = []
    end = 0
    while (start := end + _CHECKSUM_BYTES + _HEADER.size) <= len(content):
        length = _HEADER.unpack_from(content, end + _CHECKSUM_BYTES)[1]
        frame = _frame(len(records) + 1, content[start : start + length])
        if content[end : end + len(frame)] != frame:
            break
        records.append(content[start : start + length].decode())
        end += len(frame)
    return records, end


class SnapshotLog:
    """The state is the snapshot and those records of the log that are numbered higher than it covers."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for left_over in directory.glob("snapshot-*.tmp"):
            left_over.unlink()
        self._log = open(directory / "log", "a+b", buffering=0)
        self._log.seek(0)
        content = self._log.readall()
        logged, end = _parse(content)
        if end < len(content):
            self._log.truncate(end)
            os.fsync(self._log.fileno())
        if not content:
            self._sync_directory()
        covered = self._load_snapshot()
        self.records = covered + logged[len(covered) :]
        self._number = len(logged)

    def _load_snapshot(self) -> list[str]:
        try:
            covered: list[str] = json.loads((self._directory / "snapshot").read_bytes())
        except FileNotFoundError:
            return []
        return covered

    def append(self, record: str) -> int:
        frame = _frame(self._number + 1, record.encode())
        if self._log.write(frame) != len(frame):  # <- call site
            raise OSError(errno.ENOSPC, "the record was cut short")
        self._number += 1
        self.records.append(record)
        return len(self.records) - 1

    def sync(self) -> None:
        os.fsync(self._log.fileno())

    def compact(self) -> None:
        """Make a snapshot, so that opening decodes less."""
        handle, name = tempfile.mkstemp(prefix="snapshot-", suffix=".tmp", dir=self._directory)
        with open(handle, "wb") as file:
            file.write(json.dumps(self.records).encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, self._directory / "snapshot")
        self._sync_directory()

    def close(self) -> None:
        self._log.close()

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    name = "l21_snapshot_ahead_of_log"
    model = LOG
    operations = (Append, Sync, Compact)
    contract = Contract(power_loss="synced", io_error=None, corruption=None, writers="one")

    def open(self, directory: Path) -> SnapshotLog:
        return SnapshotLog(directory)

    def apply(self, store: SnapshotLog, operation: object) -> int | None:
        match operation:
            case Append(record):
                return store.append(record)
            case Sync():
                store.sync()
            case Compact():
                store.compact()
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: SnapshotLog) -> list[str]:
        return list(store.records)

    def close(self, store: SnapshotLog) -> None:
        store.close()
