"""Sound: each save is a new version, written without a name and linked in when it is durable.

A version has a name only after its content was fsynced, so whatever can be seen is whole. A crash
after the link shows a save that has not returned, which is admissible. Older versions go when the
newer name is durable.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Load, Save

PREFIX = "version-"


class VersionedDocument:
    """One JSON document; the highest number is the current one."""

    def __init__(self, directory: Path) -> None:
        self._path = directory
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        numbers = sorted(self._numbers())
        self._current = numbers[-1] if numbers else 0
        if len(numbers) > 1:
            os.fsync(self._directory)
            self._forget(numbers[:-1])

    def _numbers(self) -> list[int]:
        return [int(name.removeprefix(PREFIX)) for name in os.listdir(self._path) if name.startswith(PREFIX)]

    def load(self) -> dict[str, Any] | None:
        """The document, or `None` before the first save."""
        if not self._current:
            return None
        descriptor = os.open(f"{PREFIX}{self._current}", os.O_RDONLY, dir_fd=self._directory)
        with open(descriptor, "rb") as source:
            document: dict[str, Any] = json.load(source)
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Add a version; durable when it returns."""
        following = self._current + 1
        with open(os.open(self._path, os.O_TMPFILE | os.O_WRONLY, 0o644), "wb") as out:
            out.write(json.dumps(document).encode())
            out.flush()
            os.fsync(out.fileno())
            # With a directory descriptor this is linkat(2), which follows the link in /proc.
            os.link(f"/proc/self/fd/{out.fileno()}", f"{PREFIX}{following}", dst_dir_fd=self._directory)
        os.fsync(self._directory)
        before, self._current = self._current, following
        if before:
            self._forget([before])

    def _forget(self, numbers: list[int]) -> None:
        for number in numbers:
            os.unlink(f"{PREFIX}{number}", dir_fd=self._directory)

    def close(self) -> None:
        """Release the directory."""
        os.close(self._directory)


class Adapter:
    """Claims what it keeps, under every model."""

    name = "n2-linked-versions"
    model = DOCUMENT
    contract = Contract(
        corruption=None,  # there is no checksum
        power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
    )
    operations = (Save, Load)

    def open(self, directory: Path) -> VersionedDocument:
        return VersionedDocument(directory)

    def apply(self, store: VersionedDocument, operation: object) -> dict[str, Any] | None:
        match operation:
            case Save(document):
                store.save(document)
            case Load():
                return store.load()
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: VersionedDocument) -> dict[str, Any] | None:
        return store.load()

    def close(self, store: VersionedDocument) -> None:
        store.close()
