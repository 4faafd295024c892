"""A JSON document that is saved by opening it for writing and dumping into it.

Defect: the only copy is overwritten in place. Opening it with "w" empties it at once, and the
text arrives in pieces after that.

What goes wrong: whoever dies in between leaves an empty or half a document, and the one
before it is gone as well.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Save


class DocumentFile:
    """One JSON document in one file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "document.json"

    def load(self) -> dict[str, Any] | None:
        """The document, or `None` before the first save. Raises `ValueError` for a damaged one."""
        try:
            with open(self._path, encoding="utf-8") as source:
                document: dict[str, Any] = json.load(source)
        except FileNotFoundError:
            return None
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Replace the document; durable when it returns."""
        with open(self._path, "w", encoding="utf-8") as out:  # <- call site
            json.dump(document, out)  # <- call site
            out.flush()  # <- call site
            os.fsync(out.fileno())
        self._sync_directory()

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    """Claims what a document replaced atomically would keep."""

    name = "d01-in-place-document"
    model = DOCUMENT
    contract = Contract(io_error=None, corruption=None)

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
