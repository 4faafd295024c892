"""Sound: a key-value log behind a buffer, synced every few changes, and its contract says so.

Any crash may take the last changes, but never one in the middle: records carry their number and a
checksum, and recovery cuts the log at the first that does not verify.
"""

from __future__ import annotations

import json
import os
import warnings
import zlib
from pathlib import Path

from harness import KEY_VALUE, Contract, Delete, Get, Put

CHANGES_PER_SYNC = 4


def change_in(line: bytes, number: int) -> tuple[str, str | None] | None:
    """The change that a line records, or `None` if it is not the whole line with this number."""
    checksum, _, body = line[:-1].partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body):
        return None
    recorded, key, value = json.loads(body)
    return (key, value) if recorded == number else None


class BufferedTable:
    """A mapping from text to text, kept as a log of its changes."""

    def __init__(self, directory: Path) -> None:
        path = directory / "changes.txt"
        self.items: dict[str, str] = {}
        self._number = 0
        self._file = path.open("ab")
        self._recover(path)
        self._sync_directory(directory)

    def _recover(self, path: Path) -> None:
        data, end = path.read_bytes(), 0
        for line in data.splitlines(keepends=True):
            change = change_in(line, self._number)
            if change is None:
                break
            self._change(*change)
            end += len(line)
        if end < len(data):
            warnings.warn(f"{path} has no whole line at byte {end}; the rest is cut", stacklevel=3)
            os.truncate(path, end)
            os.fsync(self._file.fileno())

    def _change(self, key: str, value: str | None) -> None:
        self._number += 1
        if value is None:
            self.items.pop(key, None)
        else:
            self.items[key] = value

    def write(self, key: str, value: str | None) -> None:
        """Set one key, or remove it if `value` is `None`; durable some changes later."""
        body = json.dumps([self._number, key, value]).encode()
        self._file.write(b"%08x %s\n" % (zlib.crc32(body), body))
        self._change(key, value)
        if self._number % CHANGES_PER_SYNC == 0:
            self._file.flush()
            os.fsync(self._file.fileno())

    def _sync_directory(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Hand what is buffered to the system, and release the file."""
        self._file.close()


class Adapter:
    """Claims a prefix, as the store's users are told."""

    name = "n9-documented-interval"
    model = KEY_VALUE
    contract = Contract(
        process_crash="prefix",
        power_loss="prefix",
        io_error=None,  # what is buffered when a call fails is lost, and was acknowledged
        power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
    )
    operations = (Put, Delete, Get)

    def open(self, directory: Path) -> BufferedTable:
        return BufferedTable(directory)

    def apply(self, store: BufferedTable, operation: object) -> str | None:
        match operation:
            case Put(key, value):
                store.write(key, value)
            case Delete(key):
                store.write(key, None)
            case Get(key):
                return store.items.get(key)
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: BufferedTable) -> dict[str, str]:
        return dict(store.items)

    def close(self, store: BufferedTable) -> None:
        store.close()
