"""The stores that are measured: one that is as fast as a durable store can be, and some of the repository.

`RecordLog` sets the hardest task: the less a store does when it opens, the more the harness
shows beside it.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import KEY_VALUE, Compact, Contract, Delete, Put

_HEADER_BYTES = 8
_ALL_MODELS = ("max-loss", "ext3-ordered", "btrfs", "ext4", "strict")


def sealed(number: int, items: Mapping[str, str | None]) -> bytes:
    """One record: its length and checksum, then its number and the items that it sets (`None`: removes)."""
    body = json.dumps([number, items]).encode()
    return len(body).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body


def unsealed(data: bytes, start: int) -> tuple[int, dict[str, str | None], int] | None:
    """The number and the items of the record at `start`, and where it ends; `None` if it is not whole."""
    end = start + _HEADER_BYTES + int.from_bytes(data[start : start + 4], "big")
    body = data[start + _HEADER_BYTES : end]
    if len(data) < end or zlib.crc32(body) != int.from_bytes(data[start + 4 : start + 8], "big") or not body:
        return None
    number, items = json.loads(body)
    return number, items, end


class RecordLog:
    """A mapping from text to text: a log whose first record holds everything, written with O_DSYNC.

    A record counts only if its number follows that of the record before, because what stands behind the
    end of the log after a crash may be an old record.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._path = f"{directory}/log"
        self.items: dict[str, str] = {}
        self._number = 0
        try:
            self._file = self._open_log()
        except FileNotFoundError:
            self._install()
        else:
            self._recover()
            os.fsync(self._directory)  # whoever renamed it may have died before this

    def _open_log(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_DSYNC)

    def _recover(self) -> None:
        data = os.read(self._file, os.fstat(self._file).st_size)
        end = 0
        while (record := unsealed(data, end)) is not None:
            number, items, after = record
            if end and number != self._number + 1:
                break
            self._number, end = number, after
            self._set(items)
        if end < len(data):
            os.ftruncate(self._file, end)
            os.fdatasync(self._file)

    def _set(self, items: Mapping[str, str | None]) -> None:
        for key, value in items.items():
            if value is None:
                self.items.pop(key, None)
            else:
                self.items[key] = value

    def write(self, key: str, value: str | None) -> None:
        """Set `key`, or remove it; durable on return."""
        record = sealed(self._number + 1, {key: value})
        if os.write(self._file, record) != len(record):
            raise OSError("short write")
        self._number += 1
        self._set({key: value})

    def compact(self) -> None:
        """Begin a new log with what there is now."""
        os.close(self._file)
        self._install()

    def _install(self) -> None:
        temporary = f"{self._path}.new"
        new = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.write(new, sealed(self._number, self.items))
            os.fsync(new)
        finally:
            os.close(new)
        os.rename(temporary, self._path)
        os.fsync(self._directory)
        self._file = self._open_log()

    def close(self) -> None:
        """Release the file and the directory."""
        os.close(self._file)
        os.close(self._directory)


class RecordLogAdapter:
    """Promises what a log with O_DSYNC keeps, under every model."""

    name = "record-log"
    model = KEY_VALUE
    contract = Contract(power_loss_models=_ALL_MODELS, io_error=None, corruption=None)
    operations = (Put, Delete, Compact)

    def open(self, directory: Path) -> RecordLog:
        return RecordLog(directory)

    def apply(self, store: RecordLog, operation: Any) -> None:
        match operation:
            case Put(key, value):
                store.write(key, value)
            case Delete(key):
                store.write(key, None)
            case Compact():
                store.compact()

    def snapshot(self, store: RecordLog) -> dict[str, str]:
        return dict(store.items)

    def close(self, store: RecordLog) -> None:
        store.close()


@dataclass(frozen=True, slots=True)
class Subject:
    """A store to measure, and the adapter that drives it."""

    name: str
    spec: str


RECORD_LOG = Subject("record log", "benchmarks.stores:RecordLogAdapter")
METRICS_STORE = Subject("MetricsStore", "store_under_test.metrics_store.adapter:MetricsStoreAdapter")
WRITE_AHEAD_LOG = Subject("zoo S2", "store_under_test.defective.s2_write_ahead_log:Adapter")
SUBJECTS = (RECORD_LOG, METRICS_STORE, WRITE_AHEAD_LOG)


def steady_steps(count: int) -> tuple[Any, ...]:
    """`count` operations for a key-value store that syncs each and stays small: few keys, compacted often."""
    return tuple(
        Compact() if number % 32 == 31 else Put(f"k{number % 5}", f"value {number}") for number in range(count)
    )
