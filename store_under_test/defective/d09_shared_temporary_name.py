"""A document that any process may replace, last writer wins: a temporary file, fsynced and renamed into place.

Defect: the temporary file has the same name for all writers.

What goes wrong: the second writer opens the file that the first is still writing and renames it into place, and the
first goes on writing into what is now the document.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Load, Save


class SharedDocument:
    """One JSON document; every call reads or replaces it as a whole."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "document.json"

    def load(self) -> dict[str, Any] | None:
        """The document, `None` before the first save. Raises `ValueError` for one that is no JSON."""
        try:
            document: dict[str, Any] = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return None
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Replace the document; durable when it returns."""
        temporary = self._directory / "document.tmp"
        with open(temporary, "wb") as out:
            out.write(json.dumps(document).encode())
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, self._path)  # <- call site
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    """Claims what it would keep if each writer had a temporary name of its own."""

    name = "d09-shared-temporary-name"
    model = DOCUMENT
    contract = Contract(io_error=None, corruption=None, writers="processes")
    operations = (Save, Load)

    def open(self, directory: Path) -> SharedDocument:
        return SharedDocument(directory)

    def apply(self, store: SharedDocument, operation: object) -> dict[str, Any] | None:
        match operation:
            case Save(document):
                store.save(document)
                return None
            case Load():
                return store.load()
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: SharedDocument) -> dict[str, Any] | None:
        return store.load()

    def close(self, store: SharedDocument) -> None:
        """Nothing stays open between calls."""
