"""Sound: a document replaced by uniquely named temporary files that nobody clears away.

A crash leaves a file behind that costs space and nothing else: no name that is read leads to it.
"""

from __future__ import annotations

import json
import os
import tempfile
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
            document: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Replace the document; durable when it returns."""
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=self._directory, delete=False) as out:
            out.write(json.dumps(document, ensure_ascii=False))
            out.flush()
            os.fsync(out.fileno())
        Path(out.name).replace(self._path)
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    """Claims what it keeps, under every model."""

    name = "n5-temporary-file-left-behind"
    model = DOCUMENT
    contract = Contract(
        corruption=None,  # there is no checksum
        power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
    )

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
