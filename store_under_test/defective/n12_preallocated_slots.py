"""Sound: a document in two preallocated, checksummed slots that are overwritten in turn.

The directory is fsynced when the slots are made, until the first save; after that no name and no size changes. The
slot that is not being written always holds the last save that returned; the higher number among
the slots that verify is the document. Opening warns of a slot that neither verifies nor was never used, and writes the
newer one back: where an fsync failed, only the cache may have it.
"""

from __future__ import annotations

import json
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

from harness import DOCUMENT, Contract, Load, Save, Unsupported

SLOT_BYTES = 98304
HEADER = struct.Struct(">IIQ")  # checksum of all that follows it, bytes of the document, number of the save


class TwoSlots:
    """One JSON document of at most 96 KiB, less a header."""

    def __init__(self, directory: Path) -> None:
        self._slots: list[int] = []
        try:
            found = max(self._open(directory / name) for name in ("slot-0", "slot-1"))
            self._number, self._body = found
            if self._number:
                self._write(found)
            else:
                self._sync_directory(directory)
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path) -> tuple[int, bytes]:
        """Number and document of a slot, which is made if it is not there; 0 for one without a document."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            data = bytes(SLOT_BYTES)
        slot = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._slots.append(slot)
        if os.fstat(slot).st_size < SLOT_BYTES:
            os.ftruncate(slot, SLOT_BYTES)
        os.fsync(slot)
        found = self._decoded(data)
        if found is None:
            if len(data) < SLOT_BYTES or any(data):
                warnings.warn(f"{path} is damaged, or was being written when the store went down", stacklevel=3)
            return 0, b""
        return found

    def _decoded(self, data: bytes) -> tuple[int, bytes] | None:
        if len(data) < HEADER.size:
            return None
        checksum, length, number = HEADER.unpack_from(data)
        body = data[HEADER.size : HEADER.size + length]
        is_sound = length and len(body) == length and zlib.crc32(data[4 : HEADER.size] + body) == checksum
        return (number, body) if is_sound else None

    def load(self) -> dict[str, Any] | None:
        """The document, or `None` before the first save."""
        document: dict[str, Any] | None = json.loads(self._body) if self._body else None
        return document

    def save(self, document: dict[str, Any]) -> None:
        """Overwrite the older slot; durable when it returns. Raises `Unsupported` for a long document."""
        body, number = json.dumps(document, ensure_ascii=False).encode(), self._number + 1
        if HEADER.size + len(body) > SLOT_BYTES:
            raise Unsupported(f"a document of {len(body)} bytes does not fit into a slot")
        self._write((number, body))
        self._number, self._body = number, body

    def _write(self, save: tuple[int, bytes]) -> None:
        number, body = save
        covered = HEADER.pack(0, len(body), number)[4:] + body
        rest = memoryview(zlib.crc32(covered).to_bytes(4, "big") + covered)
        slot, position = self._slots[number % 2], 0
        while rest:
            written = os.pwrite(slot, rest, position)
            rest, position = rest[written:], position + written
        os.fdatasync(slot)

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
        corruption=None,  # a slot with one stale page may look like the save before, whole
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
