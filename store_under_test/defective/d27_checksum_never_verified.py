"""A table that is saved with a checksum which nobody ever compares.

Defect: loading reads past the checksum. It was written for a tool that checks files at night.

What goes wrong: a flipped bit in a value is served as the value.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from harness import KEY_VALUE, Contract, Delete, Get, Put, PutMany


class Table:
    """A mapping from text to text: a line with the digest, and a line of JSON."""

    def __init__(self, directory: Path) -> None:
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._path = directory / "table"
        try:
            self.items = self._load()
        except BaseException:
            os.close(self._directory)
            raise

    def _load(self) -> dict[str, str]:
        try:
            with open(self._path, "rb") as source:
                _digest, body = source.read().split(b"\n", 1)  # <- call site
        except FileNotFoundError:
            return {}
        items: dict[str, str] = json.loads(body)
        return items

    def publish(self, items: dict[str, str]) -> None:
        """Replace the table by `items`; durable when it returns."""
        body = json.dumps(items).encode()
        temporary = self._path.with_name("table.new")
        with open(temporary, "wb", buffering=0) as out:
            rest = memoryview(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
            while rest:
                rest = rest[out.write(rest) :]
            os.fsync(out.fileno())
        os.replace(temporary, self._path)
        os.fsync(self._directory)
        self.items = items

    def close(self) -> None:
        """Release the directory."""
        os.close(self._directory)


class Adapter:
    """Claims what it would keep if loading compared the digest."""

    name = "d27-checksum-never-verified"
    model = KEY_VALUE
    contract = Contract()
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
        store.close()
