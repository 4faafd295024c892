"""L24, a log that remembers a request as done before its record is durable.

Defect: the key that recognizes repeated requests is written, durably, ahead of the record. After
a crash between the two the client repeats the interrupted request, as it should; the log takes
it for a duplicate, answers as if all were well, and the record is lost.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import zlib
from pathlib import Path

from harness import LOG, Append, Contract

_HEADER = struct.Struct("<III")  # number of the record; length of the payload in bytes; checksum of all
_KEY_BYTES = 32  # a divisor of the sector, so that no key is ever torn
_KEY = struct.Struct("<I24s")  # number of the request; digest of its record


def _frame(number: int, payload: bytes) -> bytes:
    start = zlib.crc32(struct.pack("<II", number, len(payload)))
    return _HEADER.pack(number, len(payload), zlib.crc32(payload, start)) + payload


def _key(request: int, payload: bytes) -> bytes:
    fields = _KEY.pack(request, hashlib.blake2b(payload, digest_size=24).digest())
    return fields + zlib.crc32(fields).to_bytes(4, "little")


def _parse(content: bytes) -> tuple[list[str], int]:
    """The records before the first frame that does not verify, and where that frame starts."""
    records: list[str] = []
    end = 0
    while end + _HEADER.size <= len(content):
        start = end + _HEADER.size
        payload = content[start : start + _HEADER.unpack_from(content, end)[1]]
        frame = _frame(len(records), payload)
        if content[end : end + len(frame)] != frame:
            break
        records.append(payload.decode())
        end += len(frame)
    return records, end


def _parse_keys(content: bytes) -> set[bytes]:
    cells = (content[start : start + _KEY_BYTES] for start in range(0, len(content), _KEY_BYTES))
    return {cell for cell in cells if zlib.crc32(cell[:-4]).to_bytes(4, "little") == cell[-4:]}


class RequestLog:
    """`records` holds the records, `requests` a key of fixed size for each request."""

    def __init__(self, directory: Path) -> None:
        self._records = os.open(directory / "records", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._requests = os.open(directory / "requests", os.O_RDWR | os.O_CREAT | os.O_DSYNC, 0o644)
        size = os.fstat(self._records).st_size
        if size == 0:
            self._sync_directory(directory)
        self.records, end = _parse(os.pread(self._records, size, 0))
        if end < size:
            os.ftruncate(self._records, end)
            os.fsync(self._records)
        self._done = _parse_keys(os.pread(self._requests, os.fstat(self._requests).st_size, 0))

    def append(self, request: int, record: str) -> None:
        """Append `record` unless `request`, the client's number for it, came with the same record before."""
        payload = record.encode()
        key, frame = _key(request, payload), _frame(len(self.records), payload)
        if key in self._done:
            return
        if os.pwrite(self._requests, key, request * _KEY_BYTES) != len(key):  # <- call site
            raise OSError(errno.ENOSPC, "the key was cut short")
        self._done.add(key)
        if os.write(self._records, frame) != len(frame):  # <- call site
            raise OSError(errno.ENOSPC, "the record was cut short")
        os.fdatasync(self._records)
        self.records.append(record)

    def close(self) -> None:
        os.close(self._records)
        os.close(self._requests)

    def _sync_directory(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    """A client that numbers its requests by the records that it knows to be in the log."""

    name = "l24_key_before_record"
    model = LOG
    contract = Contract(io_error=None, corruption=None, writers="one")

    def open(self, directory: Path) -> RequestLog:
        return RequestLog(directory)

    def apply(self, store: RequestLog, operation: object) -> None:
        match operation:
            case Append(record):
                store.append(len(store.records), record)
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: RequestLog) -> list[str]:
        return list(store.records)

    def close(self, store: RequestLog) -> None:
        store.close()
