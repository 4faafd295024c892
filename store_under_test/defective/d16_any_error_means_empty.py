"""A table that is empty whenever it can't be read.

Defect: `except Exception` around the loading, written for the first start, when there is no file yet. It takes in a
disk that fails to read for a moment and a file that is damaged, too.

What goes wrong: the store opens empty, without a word, and the next change saves the emptiness over everything.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

from harness import KEY_VALUE, Contract, Delete, Put


class JsonTable:
    """A mapping from text to text in one file, replaced whole by each change."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "table.json"
        self.items = self._load()

    def _load(self) -> dict[str, str]:
        try:
            checksum, _, body = self._path.read_bytes().partition(b"\n")  # <- call site
            if checksum != b"%08x" % zlib.crc32(body):
                raise ValueError("checksum mismatch")
            items: dict[str, str] = json.loads(body)
        except Exception:
            return {}
        return items

    def publish(self, items: dict[str, str]) -> None:
        """Replace the table by `items`; durable when it returns."""
        body = json.dumps(items).encode()
        temporary = self._path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            rest = memoryview(b"%08x\n" % zlib.crc32(body) + body)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, self._path)
        parent = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
        self.items = items


class Adapter:
    """Claims what it would keep if only a missing file meant an empty table."""

    name = "d16-any-error-means-empty"
    model = KEY_VALUE
    contract = Contract()

    def open(self, directory: Path) -> JsonTable:
        return JsonTable(directory)

    def apply(self, store: JsonTable, operation: object) -> None:
        match operation:
            case Put(key, value):
                store.publish({**store.items, key: value})
            case Delete(key):
                store.publish({name: text for name, text in store.items.items() if name != key})
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: JsonTable) -> dict[str, str]:
        return dict(store.items)

    def close(self, store: JsonTable) -> None:
        """Nothing stays open between calls."""
