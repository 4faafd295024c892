"""A table kept as one JSON file, replaced by temporary file and rename.

Defect: the temporary file is never fsynced. The rename itself is made durable, so what the new
name promises can be on the disk long before the bytes behind it.

What goes wrong: after a power loss the new name shows an empty file, zeros, garbage or part of
the table, and the old table is gone.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from harness import KEY_VALUE, Contract, Delete, Get, Put


class Table:
    """A mapping from text to text, written whole with every change."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "table.json"
        self._next = directory / "table.json.new"
        self.items: dict[str, str] = json.loads(self._path.read_bytes()) if self._path.exists() else {}

    def put(self, key: str, value: str) -> None:
        """Set one key; durable when it returns."""
        self._publish({**self.items, key: value})

    def delete(self, key: str) -> None:
        """Remove one key; durable when it returns."""
        self._publish({name: value for name, value in self.items.items() if name != key})

    def _publish(self, items: dict[str, str]) -> None:
        text = json.dumps(items, ensure_ascii=False)
        self._next.write_text(text, encoding="utf-8")  # <- call site
        self._next.replace(self._path)
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.items = items


class Adapter:
    """Claims what it would keep if the temporary file were synced before the rename."""

    name = "d02-rename-without-fsync"
    model = KEY_VALUE
    contract = Contract(io_error=None, corruption=None)
    operations = (Put, Delete, Get)

    def open(self, directory: Path) -> Table:
        return Table(directory)

    def apply(self, store: Table, operation: object) -> str | None:
        match operation:
            case Put(key, value):
                store.put(key, value)
            case Delete(key):
                store.delete(key)
            case Get(key):
                return store.items.get(key)
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: Table) -> dict[str, str]:
        return dict(store.items)

    def close(self, store: Table) -> None:
        """Nothing stays open between calls."""
