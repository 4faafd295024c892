"""A table that threads share: in memory, and in a file that is replaced as a whole.

Sound: one lock for changes, which readers need not have, because they look at a table that nobody changes any more.
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
        self._changing = threading.RLock()
        self._items: dict[str, str] = json.loads(self._path.read_bytes()) if self._path.exists() else {}

    def get(self, key: str) -> str | None:
        return self._items.get(key)

    def items(self) -> dict[str, str]:
        return dict(self._items)

    def change(self, key: str, value: str | None) -> None:
        """Set one key, or remove it if `value` is `None`; durable when it returns."""
        with self._changing:
            items = {name: text for name, text in self._items.items() if name != key}
            if value is not None:
                items[key] = value
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
    name = "n17-shared-handle-with-lock"
    model = KEY_VALUE
    contract = Contract(
        power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
        io_error=None,
        corruption=None,
        writers="threads",
    )
    operations = (Put, Delete, Get)

    def open(self, directory: Path) -> SharedTable:
        return SharedTable(directory)

    def apply(self, store: SharedTable, operation: object) -> str | None:
        match operation:
            case Put(key, value):
                store.change(key, value)
            case Delete(key):
                store.change(key, None)
            case Get(key):
                return store.get(key)
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: SharedTable) -> dict[str, str]:
        return store.items()

    def close(self, store: SharedTable) -> None:
        """Nothing to close: every change is in the file."""
