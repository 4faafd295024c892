"""A document behind a header that its checksum leaves out.

Defect: the checksum covers the document and not the flags before it, one of which says that the store was emptied.

What goes wrong: one flipped bit among the flags sends loading into the wrong branch, and a document that is all there
is taken for absent.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Load, Save

HEADER = struct.Struct(">HIQ")  # flags, checksum of the document, its length in bytes
COMPRESSED, EMPTIED = 1, 2


class FlaggedDocument:
    """One JSON document, compressed when it is long."""

    def __init__(self, directory: Path) -> None:
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)

    def load(self) -> dict[str, Any] | None:
        """The document, or `None` if there is none. Raises `ValueError` for a damaged one."""
        try:
            descriptor = os.open("document", os.O_RDONLY, dir_fd=self._directory)
        except FileNotFoundError:
            return None
        with open(descriptor, "rb") as source:
            data = source.read()  # <- call site
        if len(data) < HEADER.size:
            raise ValueError("the document is cut short")
        flags, checksum, length = HEADER.unpack_from(data)
        if flags & EMPTIED:
            return None
        body = data[HEADER.size :]
        if len(body) != length or zlib.crc32(body) != checksum:
            raise ValueError("the document is damaged")
        document: dict[str, Any] = json.loads(zlib.decompress(body) if flags & COMPRESSED else body)
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Replace the document; durable when it returns."""
        body, flags = json.dumps(document).encode(), 0
        if len(body) > 1024:
            body, flags = zlib.compress(body), COMPRESSED
        new = os.open("new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=self._directory)
        with open(new, "wb") as out:
            out.write(HEADER.pack(flags, zlib.crc32(body), len(body)) + body)
            out.flush()
            os.fsync(out.fileno())
        os.rename("new", "document", src_dir_fd=self._directory, dst_dir_fd=self._directory)
        os.fsync(self._directory)

    def close(self) -> None:
        """Release the directory."""
        os.close(self._directory)


class Adapter:
    """Claims what it would keep if the checksum covered the flags as well."""

    name = "d28-checksum-leaves-out-header"
    model = DOCUMENT
    contract = Contract()
    operations = (Save, Load)

    def open(self, directory: Path) -> FlaggedDocument:
        return FlaggedDocument(directory)

    def apply(self, store: FlaggedDocument, operation: object) -> dict[str, Any] | None:
        match operation:
            case Save(document):
                store.save(document)
            case Load():
                return store.load()
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: FlaggedDocument) -> dict[str, Any] | None:
        return store.load()

    def close(self, store: FlaggedDocument) -> None:
        store.close()
