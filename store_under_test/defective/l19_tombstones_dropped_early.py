"""L19, a key-value store whose compaction drops tombstones that are still needed.

Defect: `compact` empties the file of tombstones before the file of values without the deleted
ones is in place. A crash between the two, or a power failure that keeps only the first, leaves
the old values without their tombstones: deleted keys return.
"""

from __future__ import annotations

import errno
import json
import os
import zlib
from io import FileIO
from pathlib import Path
from typing import Any

from harness import KEY_VALUE, Compact, Contract, Delete, Put


def _line(kind: bytes, entry: list[Any]) -> bytes:
    text = json.dumps(entry).encode()
    return b"%08x %s\n" % (zlib.crc32(text, zlib.crc32(kind)), text)


def _read_entries(file: FileIO, kind: bytes) -> list[list[Any]]:
    """The entries, in rising order, before the first bad line; what follows is cut off."""
    file.seek(0)
    content, entries, end, last = file.readall(), [], 0, 0
    for line in content.splitlines(keepends=True):
        text = line[9:-1]
        if line != b"%08x %s\n" % (zlib.crc32(text, zlib.crc32(kind)), text):
            break
        entry = json.loads(text)
        if entry[0] <= last:
            break
        entries.append(entry)
        end, last = end + len(line), entry[0]
    if end < len(content):
        file.truncate(end)
        os.fsync(file.fileno())
    return entries


def _append(file: FileIO, line: bytes) -> None:
    if file.write(line) != len(line):
        raise OSError(errno.ENOSPC, "the entry was cut short")
    os.fsync(file.fileno())


class TombstoneStore:
    """`values` holds `[number, key, value]`, `tombstones` `[number, key]`: older values of the key are dead.

    Numbers are never used again: compaction ends `values` with a number of its own, without a key.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._values_path = directory / "values"
        self._values = open(self._values_path, "a+b", buffering=0)
        self._tombstones = open(directory / "tombstones", "a+b", buffering=0)
        if not self._values.tell():  # perhaps just created
            self._sync_directory()
        values = _read_entries(self._values, b"value")
        tombstones = _read_entries(self._tombstones, b"tombstone")
        self._number = max((entry[0] for entry in values + tombstones), default=0)
        killed = {key: number for number, key in tombstones}
        self._live = {e[1]: e for e in values if e[1] is not None}
        self._live = {key: e for key, e in self._live.items() if e[0] > killed.get(key, 0)}

    def items(self) -> dict[str, str]:
        return {key: value for _, key, value in self._live.values()}

    def put(self, key: str, value: str) -> None:
        self._number += 1
        entry = [self._number, key, value]
        _append(self._values, _line(b"value", entry))
        self._live[key] = entry

    def delete(self, key: str) -> None:
        self._number += 1
        _append(self._tombstones, _line(b"tombstone", [self._number, key]))
        self._live.pop(key, None)

    def compact(self) -> None:
        """Rewrite the values without those that are dead, and forget the tombstones."""
        self._number += 1
        entries = [*sorted(self._live.values()), [self._number, None, None]]
        fresh = self._directory / "values.new"
        with open(fresh, "wb") as file:
            file.writelines(_line(b"value", entry) for entry in entries)
            file.flush()
            os.fsync(file.fileno())
        self._tombstones.truncate(0)  # <- call site
        os.replace(fresh, self._values_path)  # <- call site
        self._sync_directory()
        self._values.close()
        self._values = open(self._values_path, "ab", buffering=0)

    def close(self) -> None:
        self._values.close()
        self._tombstones.close()

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    name = "l19_tombstones_dropped_early"
    model = KEY_VALUE
    operations = (Put, Delete, Compact)
    contract = Contract(io_error=None, corruption=None, writers="one")

    def open(self, directory: Path) -> TombstoneStore:
        return TombstoneStore(directory)

    def apply(self, store: TombstoneStore, operation: object) -> None:
        match operation:
            case Put(key, value):
                store.put(key, value)
            case Delete(key):
                store.delete(key)
            case Compact():
                store.compact()
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: TombstoneStore) -> dict[str, str]:
        return store.items()

    def close(self, store: TombstoneStore) -> None:
        store.close()
