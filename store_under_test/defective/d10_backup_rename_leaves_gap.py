"""A JSON document that keeps the one before as a backup, by two renames.

Defect: the primary is renamed to the backup before the new file is renamed to the primary, and
the loader does not know the backup.

What goes wrong: whoever dies between the two renames has no document; the store starts empty.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Load, Save


class BackedUpDocument:
    """One JSON document and the one that it replaced."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._primary = directory / "document.json"
        self._backup = self._primary.with_suffix(".bak")
        self._next = self._primary.with_suffix(".new")

    def load(self) -> dict[str, Any] | None:
        """The document, or `None` before the first save."""
        if not self._primary.exists():
            return None
        document: dict[str, Any] = json.loads(self._primary.read_bytes())
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Replace the document and keep the old one; durable when it returns."""
        with self._next.open("wb") as out:
            out.write(json.dumps(document, separators=(",", ":")).encode())
            out.flush()
            os.fsync(out.fileno())
        if self._primary.exists():
            self._primary.rename(self._backup)  # <- call site
        self._next.rename(self._primary)  # <- call site
        self._sync_directory()

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    """Claims what it would keep if there were always a primary, or the loader took the backup."""

    name = "d10-backup-rename-leaves-gap"
    model = DOCUMENT
    contract = Contract(io_error=None, corruption=None)
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
