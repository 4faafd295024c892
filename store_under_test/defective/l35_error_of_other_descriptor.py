"""L35, a log whose fsync runs in another thread, by a descriptor of its own.

Defect: the append waits until the fsync has ended and does not ask how. Its error stays in a future that nobody
looks into.

What goes wrong: records are acknowledged that never reached the disk.
"""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from harness import LOG, Append, AppendMany, Contract

HEADER = struct.Struct("<IIQ")  # checksum of all that follows it, bytes of the batch, its number


class LogBroken(Exception):
    """A call failed before; reopen the log."""


def encode(number: int, records: tuple[str, ...]) -> bytes:
    """One frame with a batch of records, each after its length."""
    parts = [record.encode() for record in records]
    content = b"".join(len(part).to_bytes(4, "little") + part for part in parts)
    covered = HEADER.pack(0, len(content), number)[4:] + content
    return zlib.crc32(covered).to_bytes(4, "little") + covered


def decode(content: bytes) -> list[str]:
    """The records of a batch."""
    records, position = [], 0
    while position < len(content):
        length = int.from_bytes(content[position : position + 4], "little")
        position += 4 + length
        records.append(content[position - length : position].decode())
    return records


class SyncedLog:
    """An append-only sequence of text records."""

    def __init__(self, directory: Path) -> None:
        self.records: list[str] = []
        self._number, self._end, self._broken = 0, 0, False
        self._path = directory / "log"
        self._path.touch()
        self._recover(self._path.read_bytes())
        self._sync_file(directory, os.O_DIRECTORY)
        self._file = os.open(self._path, os.O_WRONLY)
        self._syncer = os.open(self._path, os.O_RDONLY)
        self._executor = ThreadPoolExecutor(1)

    def _recover(self, data: bytes) -> None:
        while (content := self._content(data)) is not None:
            self.records += decode(content)
            self._number, self._end = self._number + 1, self._end + HEADER.size + len(content)
        if self._end < len(data):
            warnings.warn(f"{self._path} does not end with a whole record; the rest is cut", stacklevel=3)
        with self._path.open("r+b") as file:
            file.write(data[: self._end])  # after an fsync that failed, only the cache may have it
            file.truncate(self._end)
            file.flush()
            os.fsync(file.fileno())

    def _content(self, data: bytes) -> bytes | None:
        if len(data) < self._end + HEADER.size:
            return None
        checksum, length, number = HEADER.unpack_from(data, self._end)
        after = self._end + HEADER.size + length
        if number != self._number or after > len(data) or zlib.crc32(data[self._end + 4 : after]) != checksum:
            return None
        return data[self._end + HEADER.size : after]

    def append(self, records: tuple[str, ...]) -> int:
        """Add records, all or none; durable when it returns the position of the first."""
        if self._broken:
            raise LogBroken("an append failed before: reopen the log")
        self._broken = True
        rest = memoryview(encode(self._number, records))
        while rest:
            written = os.pwrite(self._file, rest, self._end)
            rest, self._end = rest[written:], self._end + written
        wait([self._executor.submit(self._sync)])
        self._broken = False
        self._number += 1
        self.records += records
        return len(self.records) - len(records)

    def _sync(self) -> None:
        os.fsync(self._syncer)  # <- call site

    def _sync_file(self, path: Path, flags: int) -> None:
        descriptor = os.open(path, os.O_RDONLY | flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """End the thread and release the file."""
        self._executor.shutdown()
        os.close(self._syncer)
        os.close(self._file)


class Adapter:
    """Claims what it would keep if it asked the future for its result."""

    name = "l35-error-of-other-descriptor"
    model = LOG
    contract = Contract()
    operations = (Append, AppendMany)

    def open(self, directory: Path) -> SyncedLog:
        return SyncedLog(directory)

    def apply(self, store: SyncedLog, operation: object) -> int:
        match operation:
            case Append(record):
                return store.append((record,))
            case AppendMany(records):
                return store.append(records)
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: SyncedLog) -> list[str]:
        return list(store.records)

    def close(self, store: SyncedLog) -> None:
        store.close()
