"""A document with a checksum that is taken of the object, not of the bytes on disk.

Defect: the checksum covers `sorted(document)`, meant as the document in a fixed order. Sorting a dictionary gives its
keys: no value is covered.

What goes wrong: a flipped bit in a value goes unnoticed, and the wrong value is served.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Load, Save


def checksum(document: dict[str, Any]) -> int:
    """Of the document, whatever order its keys came in."""
    return zlib.crc32(repr(sorted(document)).encode("utf-8", "surrogatepass"))


class DocumentFile:
    """One JSON document in one file, together with its checksum."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "document.json"

    def load(self) -> dict[str, Any] | None:
        """The document, or `None` before the first save. Raises `ValueError` for a damaged one."""
        try:
            with self._path.open("rb") as source:
                envelope = json.loads(source.read())  # <- call site
        except FileNotFoundError:
            return None
        document: dict[str, Any] = envelope["document"]
        if set(envelope) != {"checksum", "document"} or envelope["checksum"] != checksum(document):
            raise ValueError(f"{self._path} is damaged")
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Replace the document; durable when it returns."""
        temporary = self._path.with_suffix(".new")
        with temporary.open("w", encoding="utf-8") as out:
            json.dump({"checksum": checksum(document), "document": document}, out)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(self._path)
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    """Claims what it would keep if the checksum covered the bytes of the file."""

    name = "d26-checksum-of-keys"
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
