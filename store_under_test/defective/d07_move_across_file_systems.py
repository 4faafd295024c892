"""A table kept as JSON, prepared in a scratch directory on another device and moved into place.

Defect: `shutil.move` is a rename only within one file system. From another one it copies, and
the copy opens the destination for writing, which empties it.

What goes wrong: whoever dies while it copies leaves an empty or half a table under the real name.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from harness import KEY_VALUE, Contract, Delete, Get, Put


def scratch_directory(directory: Path) -> str:
    """A place for temporary files that does not burden the device of `directory`."""
    device = os.stat(directory).st_dev
    usual = tempfile.gettempdir()
    for candidate in (usual, "/dev/shm", "/tmp", "/var/tmp"):
        if os.path.isdir(candidate) and os.stat(candidate).st_dev != device:
            return candidate
    return usual


def sync(path: Path, flags: int = 0) -> None:
    """Make a file or a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Table:
    """A mapping from text to text, written whole with every change."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "table.json"
        self._scratch = scratch_directory(directory)
        self.items = self._load()

    def _load(self) -> dict[str, str]:
        if not self._path.exists():
            return {}
        with self._path.open("rb") as source:
            items: dict[str, str] = json.load(source)
        return items

    def publish(self, items: dict[str, str]) -> None:
        """Replace the table by `items`; durable when it returns."""
        with tempfile.NamedTemporaryFile(dir=self._scratch, prefix="table-", delete=False) as out:
            out.write(json.dumps(items).encode())
            out.flush()
            os.fsync(out.fileno())
        shutil.move(out.name, self._path)  # <- call site
        sync(self._path)
        sync(self._directory, os.O_DIRECTORY)
        self.items = items


class Adapter:
    """Claims what it would keep if the temporary file lay beside the table."""

    name = "d07-move-across-file-systems"
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
        """Nothing stays open between calls."""
