"""A checksummed table that is copied to a backup and then rewritten in place.

Defect: the copy is not fsynced before the rewriting begins. The backup is needed exactly when the
rewriting was interrupted, and just then it may not have reached the disk.

What goes wrong: after a power loss the primary is torn and the backup is empty, full of garbage,
or still the one of the change before.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from pathlib import Path

from harness import KEY_VALUE, Contract, Delete, Get, Put


def read(path: Path) -> tuple[int, dict[str, str]] | None:
    """The generation and the table in `path`, or `None` if there is none or it is damaged."""
    if not path.exists():
        return None
    checksum, _, body = path.read_bytes().partition(b" ")
    if checksum != b"%d" % zlib.crc32(body):
        return None
    generation, items = json.loads(body)
    return generation, items


class Table:
    """A mapping from text to text in a primary that is rewritten in place, and its backup.

    Each change has a generation of its own: what is left of an older one may be whole, and is not taken.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._primary = directory / "primary"
        self._backup = directory / "backup"
        self._generation, self.items = self._recover()

    def _recover(self) -> tuple[int, dict[str, str]]:
        primary, backup = read(self._primary), read(self._backup)
        if primary is not None and (backup is None or backup[0] <= primary[0]):
            return primary
        if backup is not None:
            self._rewrite(*backup)
            return backup
        if self._backup.exists():
            raise ValueError("primary and backup are both damaged")
        return 0, {}  # interrupted before the first change was complete

    def publish(self, items: dict[str, str]) -> None:
        """Replace the table by `items`; durable when it returns."""
        if read(self._primary) is None:
            self._rewrite(0, {})
        shutil.copyfile(self._primary, self._backup)  # <- call site
        self._sync_directory()
        self._generation += 1
        self._rewrite(self._generation, items)
        self.items = items

    def _rewrite(self, generation: int, items: dict[str, str]) -> None:
        body = json.dumps([generation, items]).encode()
        with open(self._primary, "wb", buffering=0) as out:
            rest = memoryview(b"%d " % zlib.crc32(body) + body)
            while rest:
                rest = rest[out.write(rest) :]
            os.fsync(out.fileno())
        self._sync_directory()

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    """Claims what it would keep if the backup were durable before the primary is touched."""

    name = "d12-backup-copied-without-fsync"
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
