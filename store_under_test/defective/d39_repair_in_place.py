"""A key-value log of text lines, whose recovery drops an incomplete last line.

Defect: recovery drops it by writing the whole file again, in place. Cutting the file would do.

What goes wrong: the first crash only costs the line in progress. A second one, during that
recovery, meets a file that has just been emptied, and takes everything.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

from harness import KEY_VALUE, Contract, Delete, Get, Put


def line_of(number: int, key: str, value: str | None) -> bytes:
    """`checksum number [key, value]`; the value of a removal is null."""
    body = b"%d %s" % (number, json.dumps([key, value]).encode())
    return b"%08x %s\n" % (zlib.crc32(body), body)


def change_in(line: bytes, number: int) -> tuple[str, str | None] | None:
    """The change that a line records, or `None` if it is not the whole line with this number."""
    checksum, _, body = line[:-1].partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body):
        return None
    recorded, _, change = body.partition(b" ")
    if recorded != b"%d" % number:
        return None
    key, value = json.loads(change)
    return key, value


class LoggedTable:
    """A mapping from text to text, kept as a log of its changes."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "changes.txt"
        self.items: dict[str, str] = {}
        self._number = 0
        self._recover(self._path.read_bytes() if self._path.exists() else b"")
        self._file = self._path.open("ab", buffering=0)
        self._sync_directory(directory)

    def _recover(self, data: bytes) -> None:
        end = 0
        for line in data.splitlines(keepends=True):
            change = change_in(line, self._number)
            if change is None:
                break
            self._change(*change)
            end += len(line)
        if end < len(data):
            self._repair(data[:end])

    def _repair(self, good: bytes) -> None:
        with open(self._path, "wb") as out:  # <- call site
            out.write(good)  # <- call site
            out.flush()  # <- call site
            os.fsync(out.fileno())

    def _change(self, key: str, value: str | None) -> None:
        self._number += 1
        if value is None:
            self.items.pop(key, None)
        else:
            self.items[key] = value

    def write(self, key: str, value: str | None) -> None:
        """Set one key, or remove it if `value` is `None`; durable when it returns."""
        line = line_of(self._number, key, value)
        for part in (line[:9], line[9:]):
            if self._file.write(part) != len(part):
                raise OSError("short write")
        os.fsync(self._file.fileno())
        self._change(key, value)

    def _sync_directory(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Release the file."""
        self._file.close()


class Adapter:
    """Claims what it would keep if recovery only cut the file."""

    name = "d39-repair-in-place"
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
