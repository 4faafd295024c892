"""Sound: a document replaced by the full protocol.

Write a temporary file beside it, fsync it, rename it over the document, fsync the directory. Until
the last step the old document may come back, and that is admissible: the save has not returned.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Load, Save


class DocumentFile:
    """One JSON document in one file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "document.json"
        self._temporary = directory / "document.json.tmp"

    def load(self) -> dict[str, Any] | None:
        """The document, or `None` before the first save. Raises `ValueError` for a damaged one."""
        try:
            document: dict[str, Any] = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return None
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Replace the document; durable when it returns."""
        with open(self._temporary, "w", encoding="utf-8") as out:
            json.dump(document, out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(self._temporary, self._path)
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    """Claims what it keeps, under every model."""

    name = "n1-atomic-replace"
    model = DOCUMENT
    contract = Contract(
        corruption=None,  # there is no checksum
        power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
    )
    operations = (Save, Load)

    def open(self, directory: Path) -> DocumentFile:
        return DocumentFile(directory)

    def apply(self, store: DocumentFile, operation: object) -> dict[str, Any] | None:
        match operation:
            case Save(document):
                store.save(document)
            case Load():
                return store.load()
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: DocumentFile) -> dict[str, Any] | None:
        return store.load()

    def close(self, store: DocumentFile) -> None:
        """Nothing stays open between calls."""
