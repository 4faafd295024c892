"""A key-value log that is fsynced every so many changes.

Each record carries its number and a checksum over both, so that recovery can cut what a crash
left at the end.

Defect: a change is acknowledged at once, and the store says that this means durable.

What goes wrong: a power loss takes all acknowledged changes since the last fsync with it.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path

from harness import KEY_VALUE, Contract, Delete, Get, Put

HEADER = struct.Struct(">IIQ")  # checksum of all that follows it, bytes of the payload, number
CHANGES_PER_SYNC = 64


class LoggedTable:
    """A mapping from text to text, kept as a log of its changes."""

    def __init__(self, directory: Path) -> None:
        path = directory / "changes.log"
        self.items: dict[str, str] = {}
        self._number = 0
        self._unsynced = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._replay(path.read_bytes())
        self._sync_directory(directory)

    def _replay(self, data: bytes) -> None:
        end = 0
        while (payload := self._record(data, end)) is not None:
            end += HEADER.size + len(payload)
            self._number += 1
            key, value = json.loads(payload)
            self._change(key, value)
        if end < len(data):
            os.ftruncate(self._file, end)
            os.fsync(self._file)

    def _record(self, data: bytes, start: int) -> bytes | None:
        if len(data) < start + HEADER.size:
            return None
        checksum, length, number = HEADER.unpack_from(data, start)
        end = start + HEADER.size + length
        if number != self._number or end > len(data) or zlib.crc32(data[start + 4 : end]) != checksum:
            return None
        return data[start + HEADER.size : end]

    def _change(self, key: str, value: str | None) -> None:
        if value is None:
            self.items.pop(key, None)
        else:
            self.items[key] = value

    def write(self, key: str, value: str | None) -> None:
        """Set one key, or remove it if `value` is `None`."""
        payload = json.dumps([key, value]).encode()
        body = HEADER.pack(0, len(payload), self._number)[4:] + payload
        rest = memoryview(zlib.crc32(body).to_bytes(4, "big") + body)
        while rest:
            rest = rest[os.write(self._file, rest) :]  # <- call site
        self._number += 1
        self._change(key, value)
        self._sync_when_due()

    def _sync_when_due(self) -> None:
        self._unsynced += 1
        if self._unsynced >= CHANGES_PER_SYNC:
            os.fsync(self._file)
            self._unsynced = 0

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
    """Claims what the store's users are told."""

    name = "d37-durable-on-an-interval"
    model = KEY_VALUE
    contract = Contract(io_error=None, corruption=None)
    operations = (Put, Delete, Get)

    def open(self, directory: Path) -> LoggedTable:
        return LoggedTable(directory)

    def apply(self, store: LoggedTable, operation: object) -> str | None:
        match operation:
            case Put(key, value):
                store.write(key, value)
            case Delete(key):
                store.write(key, None)
            case Get(key):
                return store.items.get(key)
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: LoggedTable) -> dict[str, str]:
        return dict(store.items)

    def close(self, store: LoggedTable) -> None:
        store.close()
