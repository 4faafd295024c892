"""Sound: a key-value table as a snapshot and a write-ahead log of the batches since.

Batches are numbered, and the snapshot says which one it ends with. Compaction installs a new
snapshot durably and only then empties the log; a crash between the two leaves batches that the
snapshot holds already, and recovery passes over them. After an error nothing is written until the table is opened
again, and opening writes the log back: where an fsync failed, only the cache may have it.
"""

from __future__ import annotations

import json
import os
import warnings
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness import KEY_VALUE, Compact, Contract, Delete, Get, Put, PutMany

Change = tuple[str, str | None]


def seal(value: Any) -> bytes:
    """One line: a checksum and `value` as JSON, which has no line breaks of its own."""
    body = json.dumps(value).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def unseal(line: bytes) -> Any:
    """The inverse of `seal`, or `None` for anything that is not a whole line."""
    checksum, _, body = line[:-1].partition(b" ")
    is_whole = line.endswith(b"\n") and checksum == b"%08x" % zlib.crc32(body)
    return json.loads(body) if is_whole else None


class DamagedSnapshot(Exception):
    """The snapshot does not verify."""


class TableBroken(Exception):
    """A call failed before; open the table again."""


class LoggedTable:
    """A mapping from text to text."""

    def __init__(self, directory: Path) -> None:
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._snapshot = directory / "snapshot"
        self.items: dict[str, str] = {}
        self._number = 0
        self._broken = False
        path = directory / "log"
        self._log = path.open("ab", buffering=0)
        try:
            self._load()
            os.fsync(self._directory)
            self._replay(path, path.read_bytes())
        except BaseException:
            self.close()
            raise

    def _load(self) -> None:
        try:
            data = self._snapshot.read_bytes()
        except FileNotFoundError:
            return
        found = unseal(data)
        if found is None:
            raise DamagedSnapshot(f"{self._snapshot} is damaged")
        self._number, self.items = found

    def _replay(self, path: Path, data: bytes) -> None:
        end = 0
        for line in data.splitlines(keepends=True):
            batch = unseal(line)
            if batch is None or batch[0] > self._number + 1:
                break
            if batch[0] == self._number + 1:
                self._apply(batch[1])
            end += len(line)
        if end < len(data):
            warnings.warn(f"{path} has no batch that follows at byte {end}; the rest is cut", stacklevel=3)
        with path.open("r+b") as file:
            file.write(data[:end])
            file.truncate(end)
            file.flush()
            os.fsync(file.fileno())

    def _cut(self, size: int) -> None:
        self._log.truncate(size)
        os.fsync(self._log.fileno())

    def _apply(self, changes: Iterable[Change]) -> None:
        self._number += 1
        for key, value in changes:
            if value is None:
                self.items.pop(key, None)
            else:
                self.items[key] = value

    def write(self, changes: Iterable[Change]) -> None:
        """Carry out changes in order, all or none; durable when it returns."""
        self._require_sound()
        self._broken = True
        rest = memoryview(seal([self._number + 1, list(changes)]))
        while rest:
            rest = rest[self._log.write(rest) :]
        os.fdatasync(self._log.fileno())
        self._apply(changes)
        self._broken = False

    def compact(self) -> None:
        """Fold the log into the snapshot."""
        self._require_sound()
        self._broken = True
        temporary = self._snapshot.with_suffix(".tmp")
        with temporary.open("wb") as out:
            out.write(seal([self._number, self.items]))
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(self._snapshot)
        os.fsync(self._directory)
        self._cut(0)
        self._broken = False

    def _require_sound(self) -> None:
        if self._broken:
            raise TableBroken("a call failed before: open the table again")

    def close(self) -> None:
        """Release the log and the directory."""
        self._log.close()
        os.close(self._directory)


class Adapter:
    """Claims what it keeps, under every model."""

    name = "s2-write-ahead-log"
    model = KEY_VALUE
    contract = Contract(
        power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
    )
    operations = (Put, Delete, PutMany, Get, Compact)

    def open(self, directory: Path) -> LoggedTable:
        return LoggedTable(directory)

    def apply(self, store: LoggedTable, operation: object) -> str | None:
        match operation:
            case Put(key, value):
                store.write([(key, value)])
            case Delete(key):
                store.write([(key, None)])
            case PutMany(items):
                store.write(items)
            case Get(key):
                return store.items.get(key)
            case Compact():
                store.compact()
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: LoggedTable) -> dict[str, str]:
        return dict(store.items)

    def close(self, store: LoggedTable) -> None:
        store.close()
