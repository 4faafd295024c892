"""Sound: a key-value log opened with O_DSYNC, so that each write is durable when it returns.

O_DSYNC covers the bytes of a write and the size needed to read them (open(2)). The name of the file
and the cut of a torn record are not covered, and get their own sync when opening. After an error the
log is not written to until it is opened again, and opening writes back what it read: where a write
failed, only the cache may have it.
"""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from pathlib import Path

from harness import KEY_VALUE, Contract, Delete, Get, Put

FIXED = struct.Struct(">QI?")  # number of the record, bytes of the key, whether a value follows


def encode(number: int, key: str, value: str | None) -> bytes:
    """One record: its length, its checksum, and what they cover."""
    name = key.encode()
    body = FIXED.pack(number, len(name), value is not None) + name + (value or "").encode()
    return struct.pack(">II", len(body), zlib.crc32(body)) + body


class TableBroken(Exception):
    """A write failed before; open the table again."""


class SynchronousTable:
    """A mapping from text to text, kept as a log of its changes."""

    def __init__(self, directory: Path) -> None:
        path = directory / "changes"
        self.items: dict[str, str] = {}
        self._number = 0
        self._broken = False
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_DSYNC, 0o644)
        try:
            self._recover(path, path.read_bytes())
            self._sync_directory(directory)
        except BaseException:
            os.close(self._file)
            raise

    def _recover(self, path: Path, data: bytes) -> None:
        end = 0
        while (body := self._body(data, end)) is not None:
            _, key_bytes, is_put = FIXED.unpack_from(body)
            text_from = FIXED.size + key_bytes
            self._change(body[FIXED.size : text_from].decode(), body[text_from:].decode() if is_put else None)
            end += 8 + len(body)
        if end < len(data):
            warnings.warn(f"{path} has no whole record at byte {end}; the rest is cut", stacklevel=3)
        with path.open("r+b") as file:
            file.write(data[:end])
            file.truncate(end)
            file.flush()
            os.fdatasync(file.fileno())

    def _body(self, data: bytes, start: int) -> bytes | None:
        if len(data) < start + 8 + FIXED.size:
            return None
        length, checksum = struct.unpack_from(">II", data, start)
        body = data[start + 8 : start + 8 + length]
        if len(body) != length or length < FIXED.size or zlib.crc32(body) != checksum:
            return None
        return body if FIXED.unpack_from(body)[0] == self._number else None

    def _change(self, key: str, value: str | None) -> None:
        self._number += 1
        if value is None:
            self.items.pop(key, None)
        else:
            self.items[key] = value

    def write(self, key: str, value: str | None) -> None:
        """Set one key, or remove it if `value` is `None`; durable when it returns."""
        if self._broken:
            raise TableBroken("a write failed before: open the table again")
        self._broken = True
        rest = memoryview(encode(self._number, key, value))
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self._broken = False
        self._change(key, value)

    def _sync_directory(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Release the file."""
        os.close(self._file)


class Adapter:
    """Claims what it keeps, under every model."""

    name = "n11-dsync-instead-of-fsync"
    model = KEY_VALUE
    contract = Contract(
        power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
    )
    operations = (Put, Delete, Get)

    def open(self, directory: Path) -> SynchronousTable:
        return SynchronousTable(directory)

    def apply(self, store: SynchronousTable, operation: object) -> str | None:
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

    def snapshot(self, store: SynchronousTable) -> dict[str, str]:
        return dict(store.items)

    def close(self, store: SynchronousTable) -> None:
        store.close()
