"""A log of lines to which several processes append without a lock.

A record begins and ends with a line feed, so that one cut short by a crash spoils no other; it has a checksum and a
name of its own, and a second record of one name is no record.

Defect: an append seeks to the end and writes, where O_APPEND would do both in one step.

What goes wrong: two writers that have sought the same end write over each other.
"""

from __future__ import annotations

import errno
import json
import os
import uuid
import zlib
from pathlib import Path

from harness import LOG, Append, Contract


def _encoded(record: str) -> bytes:
    body = json.dumps([uuid.uuid4().hex, record]).encode()
    return b"\n%08x %s\n" % (zlib.crc32(body), body)


def _parsed(content: bytes) -> list[str]:
    """The records that verify, in the order of the file."""
    records: dict[str, str] = {}
    for line in content.split(b"\n"):
        checksum, _, body = line.partition(b" ")
        if body and checksum == b"%08x" % zlib.crc32(body):
            name, record = json.loads(body)
            records.setdefault(name, record)
    return list(records.values())


class SharedLog:
    def __init__(self, directory: Path) -> None:
        self._path = directory / "log"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def append(self, record: str) -> None:
        """Durable when it returns."""
        data = _encoded(record)
        os.lseek(self._file, 0, os.SEEK_END)
        if os.write(self._file, data) != len(data):  # <- call site
            raise OSError(errno.ENOSPC, "the record was cut short")
        os.fdatasync(self._file)

    def records(self) -> list[str]:
        return _parsed(self._path.read_bytes())

    def close(self) -> None:
        os.close(self._file)


class Adapter:
    """Claims what it would keep with O_APPEND."""

    name = "l29-seek-and-write"
    model = LOG
    contract = Contract(io_error=None, corruption=None, writers="processes")

    def open(self, directory: Path) -> SharedLog:
        return SharedLog(directory)

    def apply(self, store: SharedLog, operation: object) -> None:
        match operation:
            case Append(record):
                store.append(record)
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: SharedLog) -> list[str]:
        return store.records()

    def close(self, store: SharedLog) -> None:
        store.close()
