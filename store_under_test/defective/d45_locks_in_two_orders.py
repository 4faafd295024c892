"""A table that threads share: in memory, and in a file that is replaced as a whole.

Defect: setting a key takes the lock of the table and then that of the file, removing one the other way round.

What goes wrong: each of two threads has one lock and waits for the other.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from pathlib import Path

from harness import KEY_VALUE, Contract, Delete, Get, Put


class SharedTable:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "table"
        self._table = threading.Lock()
        self._file = threading.Lock()
        self._items: dict[str, str] = json.loads(self._path.read_bytes()) if self._path.exists() else {}

    def get(self, key: str) -> str | None:
        return self._items.get(key)

    def items(self) -> dict[str, str]:
        return dict(self._items)

    def put(self, key: str, value: str) -> None:
        """Set one key; durable when it returns."""
        with self._table:
            items = {**self._items, key: value}
            with self._file:  # <- call site
                self._publish(items)
            self._items = items

    def delete(self, key: str) -> None:
        """Remove one key; durable when it returns."""
        with self._file, self._table:  # <- call site
            items = {name: text for name, text in self._items.items() if name != key}
            self._publish(items)
            self._items = items

    def _publish(self, items: dict[str, str]) -> None:
        descriptor, temporary = tempfile.mkstemp(dir=self._directory)
        with open(descriptor, "wb") as out:
            out.write(json.dumps(items).encode())
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, self._path)
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    """Claims what it would keep if all took the locks in one order."""

    name = "d45-locks-in-two-orders"
    model = KEY_VALUE
    contract = Contract(io_error=None, corruption=None, writers="threads")
    operations = (Put, Delete, Get)

    def open(self, directory: Path) -> SharedTable:
        return SharedTable(directory)

    def apply(self, store: SharedTable, operation: object) -> str | None:
        match operation:
            case Put(key, value):
                store.put(key, value)
            case Delete(key):
                store.delete(key)
            case Get(key):
                return store.get(key)
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: SharedTable) -> dict[str, str]:
        return store.items()

    def close(self, store: SharedTable) -> None:
        """Nothing to close: every change is in the file."""
