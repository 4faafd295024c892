"""A JSON document, written through a buffer to a named temporary file and renamed over the old one.

Defect: the rename stands inside the `with`, and the buffer is flushed when the `with` ends. For
a moment the real name shows a file from which the end, or everything, is missing. The file and
the directory are fsynced, but after that.

What goes wrong: whoever dies in that moment leaves a short file and no other copy.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Save


def sync(path: Path, flags: int = 0) -> None:
    """Make a file or a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DocumentFile:
    """One JSON document in one file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "settings.json"
        for name in os.listdir(directory):
            if name.startswith("settings-") and name.endswith(".tmp"):
                os.unlink(directory / name)

    def load(self) -> dict[str, Any] | None:
        """The document, or `None` before the first save. Raises `ValueError` for a damaged one."""
        try:
            document: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Replace the document; durable when it returns."""
        with self._temporary() as out:  # <- call site
            json.dump(document, out, ensure_ascii=False)  # <- call site
            os.replace(out.name, self._path)  # <- call site
        sync(self._path)
        sync(self._directory, os.O_DIRECTORY)

    def _temporary(self) -> Any:
        return tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=self._directory, prefix="settings-", suffix=".tmp", delete=False
        )


class Adapter:
    """Claims what it would keep if the file were closed and synced before the rename."""

    name = "d06-rename-inside-with"
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
