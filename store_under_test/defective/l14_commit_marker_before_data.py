"""L14, a log of batches whose commit marker can reach the disk before the batch does.

Defect: the batch and its commit marker are both written before either is synced. The order of
the two fsync calls does not help: the marker may be written back at once, and after a power
failure it commits a range that is empty, zeroed or torn.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from pathlib import Path

from harness import LOG, Append, AppendMany, Contract

_MARKER_BYTES = 32  # a divisor of the sector, so that no marker is ever torn across two
_MARKER = struct.Struct(">QQQ")  # number of the batch, its offset and its length in bytes


def _marker(number: int, offset: int, length: int) -> bytes:
    fields = _MARKER.pack(number, offset, length)
    return (fields + zlib.crc32(fields).to_bytes(4, "big")).ljust(_MARKER_BYTES, b"\0")


def _escape(record: str) -> str:
    return record.replace("\\", "\\\\").replace("\n", "\\n")


def _unescape(line: str) -> str:
    return "\\".join(part.replace("\\n", "\n") for part in line.split("\\\\"))


class BatchLog:
    """`batches` holds lines of text, `commits` says which ranges of it are committed.

    A range is synced before its marker is written, so it needs no checksum of its own. What lies
    beyond the last marker, in either file, is overwritten by the next batch.
    """

    def __init__(self, directory: Path) -> None:
        self._batches = os.open(directory / "batches", os.O_RDWR | os.O_CREAT, 0o644)
        self._commits = os.open(directory / "commits", os.O_RDWR | os.O_CREAT, 0o644)
        self._count = self._end = 0
        self.records: list[str] = []
        size = os.fstat(self._commits).st_size
        if size == 0:
            self._sync_directory(directory)
        self._load(os.pread(self._commits, size, 0))

    def _load(self, commits: bytes) -> None:
        batches = os.pread(self._batches, os.fstat(self._batches).st_size, 0)
        for start in range(0, len(commits) - _MARKER_BYTES + 1, _MARKER_BYTES):
            _, offset, length = _MARKER.unpack_from(commits, start)
            if commits[start : start + _MARKER_BYTES] != _marker(self._count, offset, length):
                break
            text = batches[offset : offset + length].decode(errors="replace")
            self.records += [_unescape(line) for line in text.split("\n")]
            self._count, self._end = self._count + 1, offset + length

    def append(self, records: tuple[str, ...]) -> int:
        """Append all of `records` or, when interrupted, none; the position of the first."""
        batch = "\n".join(map(_escape, records)).encode()
        marker = _marker(self._count, self._end, len(batch))
        if os.pwrite(self._batches, batch, self._end) != len(batch):  # <- call site
            raise OSError(errno.ENOSPC, "the batch was cut short")
        if os.pwrite(self._commits, marker, self._count * _MARKER_BYTES) != _MARKER_BYTES:
            raise OSError(errno.ENOSPC, "the commit marker was cut short")
        os.fsync(self._batches)
        os.fsync(self._commits)
        self._count, self._end = self._count + 1, self._end + len(batch)
        self.records += records
        return len(self.records) - len(records)

    def close(self) -> None:
        os.close(self._batches)
        os.close(self._commits)

    def _sync_directory(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    name = "l14_commit_marker_before_data"
    model = LOG
    operations = (Append, AppendMany)
    contract = Contract(io_error=None, corruption=None, writers="one")

    def open(self, directory: Path) -> BatchLog:
        return BatchLog(directory)

    def apply(self, store: BatchLog, operation: object) -> int:
        match operation:
            case Append(record):
                return store.append((record,))
            case AppendMany(records):
                return store.append(records)
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: BatchLog) -> list[str]:
        return list(store.records)

    def close(self, store: BatchLog) -> None:
        store.close()
