"""Sound: a checksummed document with a backup, one save behind, that is used with a warning.

The backup is durable before the primary is replaced. If the primary is damaged, the backup takes
its place, atomically, so that every later opening sees the same; the damaged file is kept beside.
"""

from __future__ import annotations

import json
import os
import warnings
import zlib
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Load, Save


class DamagedDocument(Exception):
    """Neither the primary nor the backup can be read."""


def is_sound(data: bytes) -> bool:
    """Whether the checksum at the start matches the rest."""
    return len(data) > 4 and data[:4] == zlib.crc32(data[4:]).to_bytes(4, "big")


def read(path: Path) -> bytes | None:
    """What is in a file, or `None` if there is none. What can't be read is neither: that raises `OSError`."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


class BackedUpDocument:
    """One JSON document and the one that it replaced."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._primary = directory / "primary"
        self._backup = directory / "backup"
        self._data = self._recover()

    def _recover(self) -> bytes | None:
        primary, backup = read(self._primary), read(self._backup)
        if primary is None and backup is None:
            return None
        return primary if primary is not None and is_sound(primary) else self._restore(primary, backup)

    def _restore(self, primary: bytes | None, data: bytes | None) -> bytes:
        if data is None or not is_sound(data):
            raise DamagedDocument(f"{self._primary} and its backup are damaged or missing")
        if primary is not None:
            os.link(self._primary, self._directory / f"damaged-{os.urandom(4).hex()}")
        self._replace(self._primary, data)
        warnings.warn(f"{self._primary} was damaged; the save before the last is used", stacklevel=2)
        return data

    def load(self) -> dict[str, Any] | None:
        """The document, or `None` before the first save."""
        document: dict[str, Any] | None = json.loads(self._data[4:]) if self._data else None
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Replace the document and keep the old one; durable when it returns."""
        body = json.dumps(document).encode()
        if self._data is not None:
            self._replace(self._backup, self._data)
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
    """Claims what it keeps, under every model."""

    name = "n6-backup-with-signal"
    model = DOCUMENT
    contract = Contract(
        power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
        errors=(DamagedDocument,),
    )
    operations = (Save, Load)

    def open(self, directory: Path) -> BackedUpDocument:
        return BackedUpDocument(directory)

    def apply(self, store: BackedUpDocument, operation: object) -> dict[str, Any] | None:
        match operation:
            case Save(document):
                store.save(document)
            case Load():
                return store.load()
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: BackedUpDocument) -> dict[str, Any] | None:
        return store.load()

    def close(self, store: BackedUpDocument) -> None:
        """Nothing stays open between calls."""
