"""A table that is written by one `os.write`.

Defect: what `os.write` returns is ignored. It may have written less than it was given, and says so only there.

What goes wrong: a short table is synced, renamed over the good one, and acknowledged.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

from harness import KEY_VALUE, Contract, Delete, Get, Put


class Table:
    """A mapping from text to text in one file, replaced whole by each change."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "table"
        self.items = self._load()

    def _load(self) -> dict[str, str]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        if len(data) < 4 or data[:4] != zlib.crc32(data[4:]).to_bytes(4, "little"):
            raise ValueError(f"{self._path} is damaged")
        items: dict[str, str] = json.loads(data[4:])
        return items

    def publish(self, items: dict[str, str]) -> None:
        """Replace the table by `items`; durable when it returns."""
        body = json.dumps(items).encode()
        temporary = self._directory / "table.new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.write(descriptor, zlib.crc32(body).to_bytes(4, "little") + body)  # <- call site
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, self._path)
        self._sync_directory()
        self.items = items

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    """Claims what it would keep if it wrote until everything is written."""

    name = "d25-short-write-of-document"
    model = KEY_VALUE
    contract = Contract()
    operations = (Put, Delete, Get)

    def open(self, directory: Path) -> Table:
        return Table(directory)

    def apply(self, store: Table, operation: object) -> str | None:
        match operation:
            case Put(key, value):
                store.publish({**store.items, key: value})
            case Delete(key):
                store.publish({name: text for name, text in store.items.items() if name != key})
            case Get(key):
                return store.items.get(key)
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: Table) -> dict[str, str]:
        return dict(store.items)

    def close(self, store: Table) -> None:
        """Nothing stays open between calls."""
