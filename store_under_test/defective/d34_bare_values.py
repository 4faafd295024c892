"""A table with a file for each key, which holds the bare text of the value.

Defect: nothing in the file says how long the text is, and there is no checksum. Any text is a value, so a text that
was cut is one, too.

What goes wrong: a shortened or altered value is served as if it had been written.
"""

from __future__ import annotations

import os
from pathlib import Path

from harness import KEY_VALUE, Contract, Delete, Get, Put, Unsupported

PREFIX = "key-"
LONGEST_NAME = 255


class FilePerKey:
    """A mapping from text to text; the name of a file is its key in hexadecimal digits."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _path(self, key: str) -> Path:
        name = PREFIX + key.encode().hex()
        if len(name) > LONGEST_NAME:
            raise Unsupported(f"a key of {len(key)} characters makes too long a name")
        return self._directory / name

    def read(self, key: str) -> str | None:
        """The value of a key, or `None`."""
        try:
            return self._path(key).read_bytes().decode()  # <- call site
        except FileNotFoundError:
            return None

    def write(self, key: str, value: str) -> None:
        """Set one key; durable when it returns."""
        path, temporary = self._path(key), self._directory / "new"
        with temporary.open("wb") as out:
            out.write(value.encode())
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
        self._sync_directory()

    def remove(self, key: str) -> None:
        """Remove one key, if it is there; durable when it returns."""
        self._path(key).unlink(missing_ok=True)
        self._sync_directory()

    def items(self) -> dict[str, str]:
        """Everything."""
        names = [name for name in os.listdir(self._directory) if name.startswith(PREFIX)]
        keys = [bytes.fromhex(name.removeprefix(PREFIX)).decode() for name in sorted(names)]
        return {key: value for key in keys if (value := self.read(key)) is not None}

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    """Claims what it would keep if each value stood behind its checksum."""

    name = "d34-bare-values"
    model = KEY_VALUE
    contract = Contract()
    operations = (Put, Delete, Get)

    def open(self, directory: Path) -> FilePerKey:
        return FilePerKey(directory)

    def apply(self, store: FilePerKey, operation: object) -> str | None:
        match operation:
            case Put(key, value):
                store.write(key, value)
            case Delete(key):
                store.remove(key)
            case Get(key):
                return store.read(key)
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: FilePerKey) -> dict[str, str]:
        return store.items()

    def close(self, store: FilePerKey) -> None:
        """Nothing stays open between calls."""
