"""L22, a log whose consumer makes its offset durable before the record that it has consumed.

Defect: the consumer, which keeps a view of the log, runs before `append` syncs the record. After
a power failure the log may end before the consumer's offset. New records are written below the
offset, acknowledged, and skipped by the consumer at the next opening.
"""

from __future__ import annotations

import errno
import json
import os
import struct
import zlib
from pathlib import Path

from harness import LOG, Append, Contract

_HEADER = struct.Struct(">II")  # length of the payload in bytes; checksum of offset, length and payload
_RECORDS_PER_TURN = 2


def _frame(offset: int, payload: bytes) -> bytes:
    start = zlib.crc32(struct.pack(">QI", offset, len(payload)))
    return _HEADER.pack(len(payload), zlib.crc32(payload, start)) + payload


def _parse(content: bytes, end: int) -> tuple[list[str], int]:
    """The records from offset `end` to the first frame that does not verify, and where that frame starts."""
    records: list[str] = []
    while end + _HEADER.size <= len(content):
        start = end + _HEADER.size
        payload = content[start : start + _HEADER.unpack_from(content, end)[0]]
        frame = _frame(end, payload)
        if content[end : end + len(frame)] != frame:
            break
        records.append(payload.decode())
        end += len(frame)
    return records, end


class ConsumedLog:
    """`log` holds all records, `view` those that the consumer has seen and the offset where they end.

    The consumer takes a turn with every second record. Opening reads the view and then the log
    from the offset on.
    """

    def __init__(self, directory: Path) -> None:
        self._view, self._fresh_view = directory / "view", directory / "view.new"
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._log = os.open("log", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644, dir_fd=self._directory)
        self._size = os.fstat(self._log).st_size
        if self._size == 0:
            os.fsync(self._directory)
        seen, offset = json.loads(self._view.read_bytes()) if self._view.exists() else ([], 0)
        unseen, end = _parse(os.pread(self._log, self._size, 0), offset)
        if end < self._size:
            os.ftruncate(self._log, end)
            os.fsync(self._log)
            self._size = end
        self.records: list[str] = seen + unseen

    def append(self, record: str) -> int:
        frame = _frame(self._size, record.encode())
        if os.write(self._log, frame) != len(frame):  # <- call site
            raise OSError(errno.ENOSPC, "the record was cut short")
        self._size += len(frame)
        self.records.append(record)
        if len(self.records) % _RECORDS_PER_TURN == 0:
            self._consume()
        os.fdatasync(self._log)
        return len(self.records) - 1

    def _consume(self) -> None:
        """Bring the view up to date, in one step with its offset."""
        with self._fresh_view.open("wb") as file:
            file.write(json.dumps([self.records, self._size]).encode())
            file.flush()
            os.fsync(file.fileno())
        self._fresh_view.rename(self._view)
        os.fsync(self._directory)

    def close(self) -> None:
        os.close(self._log)
        os.close(self._directory)


class Adapter:
    name = "l22_offset_ahead_of_log"
    model = LOG
    contract = Contract(io_error=None, corruption=None, writers="one")

    def open(self, directory: Path) -> ConsumedLog:
        return ConsumedLog(directory)

    def apply(self, store: ConsumedLog, operation: object) -> int:
        match operation:
            case Append(record):
                return store.append(record)
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: ConsumedLog) -> list[str]:
        return list(store.records)

    def close(self, store: ConsumedLog) -> None:
        store.close()
