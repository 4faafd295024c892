"""A binary table, replaced by temporary file, fsync and rename, all relative to a directory descriptor.

Defect: the directory is not fsynced after the rename. The new content is durable, the name that
leads to it is not.

What goes wrong: a change that was acknowledged is gone after a power loss; the table before it is
back.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

from harness import KEY_VALUE, Contract, Delete, Get, Put

LENGTHS = struct.Struct("<II")
CHECKSUM = struct.Struct("<I")


def encode(items: dict[str, str]) -> bytes:
    """Pairs framed by their lengths in bytes, then a checksum over all of them."""
    body = bytearray()
    for key, value in items.items():
        name, text = key.encode(), value.encode()
        body += LENGTHS.pack(len(name), len(text)) + name + text
    return bytes(body) + CHECKSUM.pack(zlib.crc32(body))


def decode(data: bytes) -> dict[str, str]:
    """The inverse of `encode`. Raises `ValueError` for damaged data."""
    body, items, position = data[:-4], {}, 0
    if len(data) < CHECKSUM.size or CHECKSUM.unpack(data[-4:])[0] != zlib.crc32(body):
        raise ValueError("the table is damaged")
    while position < len(body):
        name_bytes, text_bytes = LENGTHS.unpack_from(body, position)
        text_from = position + LENGTHS.size + name_bytes
        key = body[position + LENGTHS.size : text_from].decode()
        position = text_from + text_bytes
        items[key] = body[text_from:position].decode()
    return items


class Table:
    """A mapping from text to text, written whole with every change."""

    def __init__(self, directory: Path) -> None:
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self.items = self._load()

    def _load(self) -> dict[str, str]:
        try:
            descriptor = os.open("table", os.O_RDONLY, dir_fd=self._directory)
        except FileNotFoundError:
            return {}
        with open(descriptor, "rb") as source:
            return decode(source.read())

    def publish(self, items: dict[str, str]) -> None:
        """Replace the table by `items`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with open(os.open("table.tmp", flags, 0o644, dir_fd=self._directory), "wb", buffering=0) as out:
            rest = memoryview(encode(items))
            while rest:
                rest = rest[out.write(rest) :]
            os.fsync(out.fileno())
        here = self._directory
        os.rename("table.tmp", "table", src_dir_fd=here, dst_dir_fd=here)  # <- call site
        self.items = items

    def close(self) -> None:
        """Release the directory."""
        os.close(self._directory)


class Adapter:
    """Claims what it would keep if the directory were synced after the rename."""

    name = "d03-no-directory-fsync"
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
        store.close()
