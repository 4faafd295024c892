"""A checksummed table with a backup, which the loader takes without a word.

Defect: where the primary does not verify, the backup is read instead, and nobody is told. The next change is made
to that older table and overwrites the damaged primary, which could have been looked into.

What goes wrong: the last change is gone although it was acknowledged, and nothing ever said so.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

from harness import KEY_VALUE, Contract, Delete, Get, Put


class DamagedTable(Exception):
    """Neither copy verifies."""


def encode(items: dict[str, str]) -> bytes:
    """A table as one line of JSON after its checksum."""
    body = json.dumps(items, ensure_ascii=False).encode()
    return b"%08x " % zlib.crc32(body) + body


def decode(data: bytes) -> dict[str, str] | None:
    """The inverse of `encode`, or `None` for anything that it did not make."""
    if len(data) < 9 or data[:9] != b"%08x " % zlib.crc32(data[9:]):
        return None
    items: dict[str, str] = json.loads(data[9:])
    return items


class Table:
    """A mapping from text to text in `table`; `table~` is what it was before the last change."""

    def __init__(self, directory: Path) -> None:
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.items = self._load()
        except BaseException:
            os.close(self._directory)
            raise

    def _load(self) -> dict[str, str]:
        copies = [data for name in ("table", "table~") if (data := self._read(name)) is not None]
        for data in copies:
            items = decode(data)
            if items is not None:
                return items
        if copies:
            raise DamagedTable("both copies of the table are damaged")
        return {}

    def _read(self, name: str) -> bytes | None:
        try:
            descriptor = os.open(name, os.O_RDONLY, dir_fd=self._directory)
        except FileNotFoundError:
            return None
        with open(descriptor, "rb") as source:
            return source.read()  # <- call site

    def publish(self, items: dict[str, str]) -> None:
        """Replace the table by `items`; durable when it returns."""
        if self.items:
            self._write("table~", encode(self.items))
        self._write("table", encode(items))
        self.items = items

    def _write(self, name: str, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with open(os.open("new", flags, 0o644, dir_fd=self._directory), "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace("new", name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        os.fsync(self._directory)

    def close(self) -> None:
        """Release the directory."""
        os.close(self._directory)


class Adapter:
    """Claims what it would keep if it warned when it takes the backup."""

    name = "d15-silent-backup"
    model = KEY_VALUE
    contract = Contract(errors=(DamagedTable,))
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
