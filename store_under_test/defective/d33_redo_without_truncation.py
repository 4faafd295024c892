"""A JSON document rewritten in place, after the new one has been put into a journal.

The journal appears whole, by a rename. It is carried out again when opening: that repairs a
rewriting that was interrupted, at any moment and as often as needed.

Defect: carrying it out rewrites the document in place but does not cut off what is left of a
longer one; saving does.

What goes wrong: after a crash between the journal and the rewriting, a document that shrinks is
followed by the tail of the older one, and can't be read.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Save


class JournaledDocument:
    """One JSON document and the journal of the save in progress."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "document.json"
        self._journal = directory / "journal"
        self._fresh_journal = directory / "journal.new"
        if not self._path.exists():
            self._path.touch()
            self._sync_directory()
        if self._journal.exists():
            self._redo()

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)  # <- call site
        finally:
            os.close(descriptor)

    def _redo(self) -> None:
        with self._path.open("r+b") as out:
            out.write(self._journal.read_bytes())  # <- call site
            out.flush()  # <- call site
            os.fsync(out.fileno())
        self._journal.unlink()

    def load(self) -> dict[str, Any] | None:
        """The document, or `None` before the first save. Raises `ValueError` for a damaged one."""
        body = self._path.read_bytes()
        document: dict[str, Any] | None = json.loads(body) if body else None
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Replace the document; durable when it returns."""
        body = json.dumps(document).encode()
        with self._fresh_journal.open("wb") as journal:
            journal.write(body)
            journal.flush()
            os.fsync(journal.fileno())
        self._fresh_journal.rename(self._journal)  # <- call site
        self._sync_directory()
        with self._path.open("wb") as out:  # <- call site
            out.write(body)
            out.flush()
            os.fsync(out.fileno())
        self._journal.unlink()


class Adapter:
    """Claims what it would keep if the journal were carried out with the truncation."""

    name = "d33-redo-without-truncation"
    model = DOCUMENT
    contract = Contract(io_error=None, corruption=None)

    def open(self, directory: Path) -> JournaledDocument:
        return JournaledDocument(directory)

    def apply(self, store: JournaledDocument, operation: object) -> None:
        match operation:
            case Save(document):
                store.save(document)
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: JournaledDocument) -> dict[str, Any] | None:
        return store.load()

    def close(self, store: JournaledDocument) -> None:
        """Nothing stays open between calls."""
