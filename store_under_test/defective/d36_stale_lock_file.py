"""A table replaced atomically, with a lock file that keeps a second process out.

Defect: the lock is the existence of a file that is created exclusively and removed when closing.
The kernel releases a real lock of a process that dies; nobody removes this file.

What goes wrong: after any crash the store says that it is in use, for ever.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from harness import KEY_VALUE, Contract, Delete, Get, Put


class StoreLocked(Exception):
    """Another process has opened this table."""


class Table:
    """A mapping from text to text, written whole with every change."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "table.json"
        self._lock = directory / "table.lock"
        self._acquire()
        self.items = self._load()

    def _acquire(self) -> None:
        try:
            descriptor = os.open(self._lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)  # <- call site
        except FileExistsError:
            raise StoreLocked(f"{self._lock} exists: another process uses this table") from None
        os.close(descriptor)

    def _load(self) -> dict[str, str]:
        try:
            items: dict[str, str] = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return items

    def publish(self, items: dict[str, str]) -> None:
        """Replace the table by `items`; durable when it returns."""
        descriptor, temporary = tempfile.mkstemp(dir=self._directory, prefix=".table-")
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            json.dump(items, out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, self._path)
        self._sync_directory()
        self.items = items

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Let other processes in."""
        self._lock.unlink()  # <- call site


class Adapter:
    """Claims what it would keep with a lock that dies with its holder."""

    name = "d36-stale-lock-file"
    model = KEY_VALUE
    contract = Contract(io_error=None, corruption=None)
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
        store.close()
