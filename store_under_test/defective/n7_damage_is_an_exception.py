"""Sound: a table that is read only when its digest matches, and that otherwise says so by an exception.

There is no backup and no guess. Damage is one type of exception, whatever was damaged; a missing file is an empty
table, and an empty file is not.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from harness import KEY_VALUE, Contract, Delete, Get, Put, PutMany

MAGIC = b"table 1\n"
HEADER_BYTES = len(MAGIC) + hashlib.sha256().digest_size


class DamagedTable(Exception):
    """The file is not one that this store wrote, or not all of it."""


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
        body = data[HEADER_BYTES:]
        if data[:HEADER_BYTES] != self._header(body):
            raise DamagedTable(f"{self._path} is damaged")
        items: dict[str, str] = json.loads(body)
        return items

    def _header(self, body: bytes) -> bytes:
        return MAGIC + hashlib.sha256(MAGIC + body).digest()

    def publish(self, items: dict[str, str]) -> None:
        """Replace the table by `items`; durable when it returns."""
        body = json.dumps(items, ensure_ascii=False).encode()
        temporary = self._directory / "table.new"
        with temporary.open("wb") as out:
            out.write(self._header(body) + body)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(self._path)
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.items = items


class Adapter:
    """Claims what it keeps, under every model."""

    name = "n7-damage-is-an-exception"
    model = KEY_VALUE
    contract = Contract(
        power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
        errors=(DamagedTable,),
    )
    operations = (Put, PutMany, Delete, Get)

    def open(self, directory: Path) -> Table:
        return Table(directory)

    def apply(self, store: Table, operation: object) -> str | None:
        match operation:
            case Put(key, value):
                store.publish({**store.items, key: value})
            case PutMany(items):
                store.publish({**store.items, **dict(items)})
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
