"""A checksummed document, saved beside the old one, which is then removed to make room for it.

Between the removal and the rename the temporary file is the only good copy; it is durable by
then, name and all.

Defect: opening clears temporary files away before it looks for the document, instead of putting
a complete one in the place of a missing document.

What goes wrong: a crash between the two steps leaves everything on the disk; the recovery
deletes it.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Save


class DocumentFile:
    """One JSON document in one file."""

    def __init__(self, directory: Path) -> None:
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._path = directory / "document"
        self._temporary = directory / "document.tmp"
        self._clear_temporary_files()

    def _clear_temporary_files(self) -> None:
        if self._temporary.exists():
            os.unlink(self._temporary)  # <- call site

    def load(self) -> dict[str, Any] | None:
        """The document, or `None` before the first save. Raises `ValueError` for a damaged one."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        if zlib.crc32(data[4:]) != int.from_bytes(data[:4], "big"):
            raise ValueError("the document does not match its checksum")
        document: dict[str, Any] = json.loads(data[4:])
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Replace the document; durable when it returns."""
        body = json.dumps(document, ensure_ascii=False).encode()
        with open(self._temporary, "wb") as out:
            out.write(zlib.crc32(body).to_bytes(4, "big"))
            out.write(body)
            out.flush()
            os.fsync(out.fileno())
        os.fsync(self._directory)
        if self._path.exists():
            os.remove(self._path)  # <- call site
        os.rename(self._temporary, self._path)  # <- call site
        os.fsync(self._directory)

    def close(self) -> None:
        """Release the directory."""
        os.close(self._directory)


class Adapter:
    """Claims what it would keep if recovery put a complete temporary file in place."""

    name = "d19-recovery-deletes-only-copy"
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
        store.close()
