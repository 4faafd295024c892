"""A document in two slots that are overwritten in turn, so that one is always whole.

Defect: opening takes the slot that was modified last. A write that was torn or lost has modified
its slot last, too. The checksum is there and is verified, but not used to choose, and the slots
carry no number to choose by.

What goes wrong: after an interrupted save the store refuses to open, or shows the document before
the last, although the other slot holds the right one.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Load, Save

HEADER = struct.Struct(">II")  # checksum of the body, length of the body in bytes


def decode(data: bytes) -> dict[str, Any]:
    """The document of one slot; what follows it is left from a longer one. Raises `ValueError`."""
    if len(data) < HEADER.size:
        raise ValueError("the newest slot is cut short")
    checksum, length = HEADER.unpack_from(data)
    body = data[HEADER.size : HEADER.size + length]
    if len(body) != length or zlib.crc32(body) != checksum:
        raise ValueError("the newest slot is damaged")
    document: dict[str, Any] = json.loads(body)
    return document


class TwoSlots:
    """One JSON document; each save goes to the slot that was modified less recently."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._slots = (directory / "slot-0", directory / "slot-1")
        present = [slot for slot in self._slots if slot.exists()]
        self._current = max(present, key=lambda slot: slot.stat().st_mtime_ns, default=None)
        self._modified_ns = self._current.stat().st_mtime_ns if self._current else 0
        self.document = decode(self._current.read_bytes()) if self._current else None

    def save(self, document: dict[str, Any]) -> None:
        """Write the other slot; durable when it returns."""
        body = json.dumps(document).encode()
        slot = self._slots[0] if self._current == self._slots[1] else self._slots[1]
        descriptor = os.open(slot, os.O_WRONLY | os.O_CREAT, 0o644)  # <- call site
        try:
            rest, position = memoryview(HEADER.pack(zlib.crc32(body), len(body)) + body), 0
            while rest:
                written = os.pwrite(descriptor, rest, position)  # <- call site
                rest, position = rest[written:], position + written
            # Two saves within one tick of the file system's clock must not look equally old.
            stamp_ns = max(os.fstat(descriptor).st_mtime_ns, self._modified_ns + 1)
            os.utime(descriptor, ns=(stamp_ns, stamp_ns))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._sync_directory()
        self._current, self._modified_ns, self.document = slot, stamp_ns, document

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    """Claims what it would keep if it took the slot with the highest number that is whole."""

    name = "d31-newest-slot-by-modification-time"
    model = DOCUMENT
    contract = Contract(io_error=None, corruption=None)
    operations = (Save, Load)

    def open(self, directory: Path) -> TwoSlots:
        return TwoSlots(directory)

    def apply(self, store: TwoSlots, operation: object) -> dict[str, Any] | None:
        match operation:
            case Save(document):
                store.save(document)
            case Load():
                return store.document
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: TwoSlots) -> dict[str, Any] | None:
        return store.document

    def close(self, store: TwoSlots) -> None:
        """Nothing stays open between calls."""
