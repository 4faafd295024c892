"""A document replaced atomically, by a helper that treats fsync as a courtesy.

Defect: an error of fsync is swallowed, "some file systems do not support it". It is also how a disk says that the
bytes did not arrive.

What goes wrong: the save is acknowledged and the new file is renamed over the good one; after a power loss there is
neither the old document nor the new.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Save


def sync(path: Path, flags: int) -> None:
    """Make a file or a directory durable, as far as it goes."""
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)  # <- call site
    finally:
        os.close(descriptor)


class DocumentFile:
    """One JSON document in one file, after its checksum."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "document.json"

    def load(self) -> dict[str, Any] | None:
        """The document, or `None` before the first save. Raises `ValueError` for a damaged one."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        if len(data) < 8 or data[:8] != b"%08x" % zlib.crc32(data[8:]):
            raise ValueError(f"{self._path} is damaged")
        document: dict[str, Any] = json.loads(data[8:])
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Replace the document; durable when it returns."""
        body = json.dumps(document).encode()
        temporary = self._directory / "document.new"
        temporary.write_bytes(b"%08x" % zlib.crc32(body) + body)
        sync(temporary, 0)
        temporary.replace(self._path)
        sync(self._directory, os.O_DIRECTORY)


class Adapter:
    """Claims what it would keep if the error were raised."""

    name = "d21-fsync-error-swallowed"
    model = DOCUMENT
    contract = Contract()

    def open(self, directory: Path) -> DocumentFile:
        return DocumentFile(directory)

    def apply(self, store: DocumentFile, operation: object) -> None:
        match operation:
            case Save(document):
                store.save(document)
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: DocumentFile) -> dict[str, Any] | None:
        return store.load()

    def close(self, store: DocumentFile) -> None:
        """Nothing stays open between calls."""
