"""A checksummed document whose backup is made anew whenever the store is opened.

Defect: opening copies the primary to the backup whether it is sound or not. Where the primary was damaged, the one
good copy that was left is replaced by the damage.

What goes wrong: the first opening after the damage still shows the save before the last, with a warning; the second
finds two damaged files.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Load, Save

logger = logging.getLogger(__name__)


class DamagedDocument(Exception):
    """Neither the primary nor the backup can be read."""


def read(path: Path) -> bytes | None:
    """What is in a file, or `None` if there is none."""
    try:
        return path.read_bytes()  # <- call site
    except FileNotFoundError:
        return None


def is_sound(data: bytes | None) -> bool:
    """Whether the checksum at the start matches the rest."""
    return data is not None and len(data) > 4 and data[:4] == zlib.crc32(data[4:]).to_bytes(4, "big")


class RotatedDocument:
    """One JSON document, and the one before it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._primary, self._backup = directory / "primary", directory / "backup"
        primary, backup = read(self._primary), read(self._backup)
        self._data = primary if is_sound(primary) else self._fallback(primary, backup)
        if primary is not None:
            self._replace(self._backup, primary)

    def _fallback(self, primary: bytes | None, backup: bytes | None) -> bytes | None:
        if primary is None and backup is None:
            return None
        if not is_sound(backup):
            raise DamagedDocument(f"{self._primary} and its backup are damaged or missing")
        logger.warning("%s is damaged; the backup is used", self._primary)
        return backup

    def load(self) -> dict[str, Any] | None:
        """The document, or `None` before the first save."""
        document: dict[str, Any] | None = None if self._data is None else json.loads(self._data[4:])
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Replace the document and keep the old one; durable when it returns."""
        if self._data is not None:
            self._replace(self._backup, self._data)
        body = json.dumps(document).encode()
        data = zlib.crc32(body).to_bytes(4, "big") + body
        self._replace(self._primary, data)
        self._data = data

    def _replace(self, path: Path, data: bytes) -> None:
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    """Claims what it would keep if only a sound primary became the backup."""

    name = "d14-backup-rotated-on-load"
    model = DOCUMENT
    contract = Contract(errors=(DamagedDocument,))
    operations = (Save, Load)

    def open(self, directory: Path) -> RotatedDocument:
        return RotatedDocument(directory)

    def apply(self, store: RotatedDocument, operation: object) -> dict[str, Any] | None:
        match operation:
            case Save(document):
                store.save(document)
            case Load():
                return store.load()
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: RotatedDocument) -> dict[str, Any] | None:
        return store.load()

    def close(self, store: RotatedDocument) -> None:
        """Nothing stays open between calls."""
