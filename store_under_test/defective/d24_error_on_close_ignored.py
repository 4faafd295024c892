"""A document that is written through a buffer and closed without looking.

Defect: an error of `close` is ignored. Closing hands the last of the buffer to the system, so a full disk may be
reported there and nowhere else.

What goes wrong: half a document is synced, renamed over the good one, and acknowledged.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Load, Save


class DocumentFile:
    """One JSON document in one file; its last line is a checksum of the text before it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "document.json"

    def load(self) -> dict[str, Any] | None:
        """The document, or `None` before the first save. Raises `ValueError` for a damaged one."""
        try:
            body, _, checksum = self._path.read_bytes().rpartition(b"\n")
        except FileNotFoundError:
            return None
        if checksum != b"%08x" % zlib.crc32(body):
            raise ValueError(f"{self._path} is damaged")
        document: dict[str, Any] = json.loads(body)
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Replace the document; durable when it returns."""
        temporary = self._path.with_suffix(".new")
        body = json.dumps(document).encode()
        out = temporary.open("wb", buffering=1 << 20)
        try:
            out.write(body + b"\n%08x" % zlib.crc32(body))
        finally:
            with contextlib.suppress(OSError):
                out.close()  # <- call site
        self._sync(temporary)
        temporary.replace(self._path)
        self._sync(self._directory)

    def _sync(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    """Claims what it would keep if the error of the close were raised."""

    name = "d24-error-on-close-ignored"
    model = DOCUMENT
    contract = Contract()
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
