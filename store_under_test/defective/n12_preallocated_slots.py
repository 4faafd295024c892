"""Sound: a document in two preallocated, checksummed slots that are overwritten in turn.

The directory is fsynced once, when the slots are made; after that no name and no size changes. The
slot that is not being written always holds the last save that returned; the higher number among
the slots that verify is the document.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Load, Save, Unsupported

SLOT_BYTES = 98304
HEADER = struct.Struct(">IIQ")  # checksum of all that follows it, bytes of the document, number of the save


class TwoSlots:
    """One JSON document of at most 96 KiB, less a header."""

    def __init__(self, directory: Path) -> None:
        names = ("slot-0", "slot-1")
        is_new = not all((directory / name).exists() for name in names)
        self._slots = [os.open(directory / name, os.O_RDWR | os.O_CREAT, 0o644) for name in names]
        for slot in self._slots:
            if os.fstat(slot).st_size < SLOT_BYTES:
                os.ftruncate(slot, SLOT_BYTES)
                os.fsync(slot)
        if is_new:
            self._sync_directory(directory)
        self._number, self._body = max(map(self._read, self._slots))

    def _read(self, slot: int) -> tuple[int, bytes]:
        header = os.pread(slot, HEADER.size, 0)
        checksum, length, number = HEADER.unpack(header)
        body = os.pread(slot, length, HEADER.size) if length <= SLOT_BYTES else b""
        return (number, body) if zlib.crc32(header[4:] + body) == checksum and body else (0, b"")

    def load(self) -> dict[str, Any] | None:
        """The document, or `None` before the first save."""
        document: dict[str, Any] | None = json.loads(self._body) if self._body else None
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Overwrite the older slot; durable when it returns. Raises `Unsupported` for a long document."""
        body, number = json.dumps(document, ensure_ascii=False).encode(), self._number + 1
        if HEADER.size + len(body) > SLOT_BYTES:
            raise Unsupported(f"a document of {len(body)} bytes does not fit into a slot")
        covered = HEADER.pack(0, len(body), number)[4:] + body
        rest = memoryview(zlib.crc32(covered).to_bytes(4, "big") + covered)
        slot, position = self._slots[number % 2], 0
        while rest:
            written = os.pwrite(slot, rest, position)
            rest, position = rest[written:], position + written
        os.fdatasync(slot)
        self._number, self._body = number, body

    def _sync_directory(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Release the slots."""
        for slot in self._slots:
            os.close(slot)


class Adapter:
    """Claims what it keeps, under every model."""

    name = "n12-preallocated-slots"
    model = DOCUMENT
    contract = Contract(
        io_error=None,
        corruption=None,
        power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
    )
    operations = (Save, Load)

    def open(self, directory: Path) -> TwoSlots:
        return TwoSlots(directory)

    def apply(self, store: TwoSlots, operation: object) -> dict[str, Any] | None:
        match operation:
            case Save(document):
                store.save(document)
            case Load():
                return store.load()
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: TwoSlots) -> dict[str, Any] | None:
        return store.load()

    def close(self, store: TwoSlots) -> None:
        store.close()
