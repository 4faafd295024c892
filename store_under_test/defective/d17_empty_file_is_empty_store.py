"""A document in a file that may be empty.

Defect: an empty file reads as "nothing was saved yet". The store itself never leaves one: there is no file before
the first save, and each save replaces it whole. So an empty file is a damaged one.

What goes wrong: whatever empties the file (a full disk under another program, a repair of the file system) makes the
document vanish without a word.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Load, Save

DIGEST_BYTES = hashlib.sha256().digest_size


class DamagedFile(ValueError):
    """The digest does not match."""


class DigestedDocument:
    """One JSON document behind its SHA-256."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "document"

    def load(self) -> dict[str, Any] | None:
        """The document, or `None` before the first save. Raises `DamagedFile`."""
        try:
            data = self._path.read_bytes()  # <- call site
        except FileNotFoundError:
            return None
        if not data:
            return None
        digest, body = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != digest:
            raise DamagedFile(f"{self._path} is damaged")
        document: dict[str, Any] = json.loads(body)
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Replace the document; durable when it returns."""
        body = json.dumps(document).encode()
        descriptor, temporary = tempfile.mkstemp(dir=self._directory, prefix="new-")
        try:
            with open(descriptor, "wb") as out:
                out.write(hashlib.sha256(body).digest() + body)
                out.flush()
                os.fsync(out.fileno())
            os.replace(temporary, self._path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        self._sync_directory()

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    """Claims what it would keep if an empty file were damage, as any other file that does not verify."""

    name = "d17-empty-file-is-empty-store"
    model = DOCUMENT
    contract = Contract(errors=(DamagedFile,))
    operations = (Save, Load)

    def open(self, directory: Path) -> DigestedDocument:
        return DigestedDocument(directory)

    def apply(self, store: DigestedDocument, operation: object) -> dict[str, Any] | None:
        match operation:
            case Save(document):
                store.save(document)
            case Load():
                return store.load()
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: DigestedDocument) -> dict[str, Any] | None:
        return store.load()

    def close(self, store: DigestedDocument) -> None:
        """Nothing stays open between calls."""
