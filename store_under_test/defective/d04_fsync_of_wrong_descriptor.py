"""A checksummed document, written by one vectored write, replaced by rename under a lock.

Defect: the fsync before the rename goes to the descriptor of the lock file, not to that of the
temporary file. It succeeds, and nothing that matters has become durable.

What goes wrong: as without any fsync: the new name with no content, or part of it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import zlib
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Load, Save


class LockedDocument:
    """One JSON document; the first line of its file is the checksum of the second."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "state"
        self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def load(self) -> dict[str, Any] | None:
        """The document, or `None` before the first save. Raises `ValueError` for a damaged one."""
        if not self._path.exists():
            return None
        checksum, _, body = self._path.read_bytes().partition(b"\n")
        if checksum != b"%08x" % zlib.crc32(body):
            raise ValueError("the document does not match its checksum")
        document: dict[str, Any] = json.loads(body)
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Replace the document under the lock; durable when it returns."""
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            self._replace(json.dumps(document).encode())
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _replace(self, body: bytes) -> None:
        temporary = self._directory / f"state.{os.getpid()}.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            parts = [b"%08x" % zlib.crc32(body), b"\n", body]
            if os.writev(descriptor, parts) != len(body) + 9:  # <- call site
                raise OSError(errno.EIO, "short write", str(temporary))
            os.fsync(self._lock)
        finally:
            os.close(descriptor)
        os.replace(temporary, self._path)
        self._sync_directory()

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Release the lock file, which stays."""
        os.close(self._lock)


class Adapter:
    """Claims what it would keep if the temporary file were synced."""

    name = "d04-fsync-of-wrong-descriptor"
    model = DOCUMENT
    contract = Contract(io_error=None, corruption=None)
    operations = (Save, Load)

    def open(self, directory: Path) -> LockedDocument:
        return LockedDocument(directory)

    def apply(self, store: LockedDocument, operation: object) -> dict[str, Any] | None:
        match operation:
            case Save(document):
                store.save(document)
            case Load():
                return store.load()
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: LockedDocument) -> dict[str, Any] | None:
        return store.load()

    def close(self, store: LockedDocument) -> None:
        store.close()
