"""Live metrics of a service: one JSON file, a backup, and all the care that one usually sees.

A lock, a unique temporary file in the same directory, write, flush, fsync, `os.replace`, and the
backup by the same protocol before it.

Defect: the directory is never fsynced, so nothing says when the new name reaches the disk.

What goes wrong: the save returns, the power fails, and the metrics of before are back.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Save


class MetricsStore:
    """One JSON document, replaced atomically under a lock."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._primary = directory / "metrics.json"
        self._backup = directory / "metrics.json.bak"

    def load(self) -> dict[str, Any] | None:
        """The metrics, from the backup if there is no primary, or `None` before the first save."""
        for path in (self._primary, self._backup):
            if path.exists():
                metrics: dict[str, Any] = json.loads(path.read_bytes())
                return metrics
        return None

    def save(self, metrics: dict[str, Any]) -> None:
        """Replace the metrics, and keep those of before as the backup."""
        with open(self._directory / "lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._primary.exists():
                self._replace(self._backup, self._primary.read_bytes())
            self._replace(self._primary, json.dumps(metrics).encode())

    def _replace(self, path: Path, data: bytes) -> None:
        descriptor, temporary = tempfile.mkstemp(dir=self._directory, prefix=path.name, suffix=".tmp")
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)  # <- call site


class Adapter:
    """Claims what the protocol is meant to keep."""

    name = "m01-metrics-without-directory-fsync"
    model = DOCUMENT
    contract = Contract(io_error=None, corruption=None)

    def open(self, directory: Path) -> MetricsStore:
        return MetricsStore(directory)

    def apply(self, store: MetricsStore, operation: Save) -> None:
        store.save(operation.document)

    def snapshot(self, store: MetricsStore) -> dict[str, Any] | None:
        return store.load()

    def close(self, store: MetricsStore) -> None:
        """Nothing stays open between saves."""
