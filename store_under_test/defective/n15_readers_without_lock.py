"""A table that several processes change in turn, under a lock of the kernel's.

Sound: a change reads the table under the lock; those who only read take none, because what is there is always whole.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import KEY_VALUE, Contract, Delete, Get, Put, PutMany


class SharedTable:
    """A mapping from text to text in one file, replaced as a whole."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "table"

    def load(self) -> dict[str, str]:
        """The table. Raises `ValueError` for one that is no JSON."""
        try:
            items: dict[str, str] = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        return items

    def change(self, changes: dict[str, str | None]) -> None:
        """Set some keys, and remove those with `None`; durable when it returns."""
        with self._lock():
            items = {**self.load(), **changes}
            self._publish({key: value for key, value in items.items() if value is not None})

    @contextmanager
    def _lock(self) -> Iterator[None]:
        descriptor = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _publish(self, items: dict[str, str]) -> None:
        temporary = self._directory / "table.tmp"  # only the holder of the lock has one
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        with open(descriptor, "wb", buffering=0) as out:
            rest = memoryview(json.dumps(items).encode())
            while rest:
                rest = rest[out.write(rest) or 0 :]
            os.fsync(descriptor)
        os.replace(temporary, self._path)
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    name = "n15-readers-without-lock"
    model = KEY_VALUE
    contract = Contract(
        power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
        io_error=None,
        corruption=None,
        writers="processes",
    )
    operations = (Put, Delete, PutMany, Get)

    def open(self, directory: Path) -> SharedTable:
        return SharedTable(directory)

    def apply(self, store: SharedTable, operation: object) -> str | None:
        match operation:
            case Put(key, value):
                store.change({key: value})
            case Delete(key):
                store.change({key: None})
            case PutMany(items):
                store.change(dict(items))
            case Get(key):
                return store.load().get(key)
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: SharedTable) -> dict[str, str]:
        return store.load()

    def close(self, store: SharedTable) -> None:
        """Nothing stays open between calls."""
