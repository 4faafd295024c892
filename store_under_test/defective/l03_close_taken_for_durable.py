"""L03, a log whose durability point closes the file and trusts that to reach the disk.

Defect: `sync` closes and reopens the file without fsync. Closing only hands the buffered bytes
to the kernel, so records from before a completed `sync` are gone when power fails.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

from harness import LOG, Append, Contract, Sync

_HEADER = struct.Struct("<II")  # length of the payload in bytes; checksum of position, length and payload


def _checksum(position: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(struct.pack("<QI", position, len(payload))))


def _parse(content: bytes) -> tuple[list[str], int]:
    """The records before the first frame that does not verify, and where that frame starts."""
    records: list[str] = []
    end = 0
    while end + _HEADER.size <= len(content):
        length, checksum = _HEADER.unpack_from(content, end)
        payload = content[end + _HEADER.size : end + _HEADER.size + length]
        if len(payload) != length or checksum != _checksum(len(records), payload):
            break
        records.append(payload.decode())
        end += _HEADER.size + length
    return records, end


class BufferedLog:
    """Appends stay in the buffer of the file until `sync`."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "records.bin"
        self._file = self._path.open("ab")
        content = self._path.read_bytes()
        self.records, end = _parse(content)
        if end < len(content):
            self._file.truncate(end)
            os.fsync(self._file.fileno())
        if not content:
            self._sync_directory()

    def append(self, record: str) -> int:
        position, payload = len(self.records), record.encode()
        frame = _HEADER.pack(len(payload), _checksum(position, payload)) + payload
        self._file.write(frame)  # <- call site
        self.records.append(record)
        return position

    def sync(self) -> None:
        self.close()
        self._file = self._path.open("ab")

    def close(self) -> None:
        self._file.close()  # <- call site

    def _sync_directory(self) -> None:
        descriptor = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    name = "l03_close_taken_for_durable"
    model = LOG
    operations = (Append, Sync)
    contract = Contract(
        process_crash="synced", power_loss="synced", io_error=None, corruption=None, writers="one"
    )

    def open(self, directory: Path) -> BufferedLog:
        return BufferedLog(directory)

    def apply(self, store: BufferedLog, operation: object) -> int | None:
        match operation:
            case Append(record):
                return store.append(record)
            case Sync():
                store.sync()
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: BufferedLog) -> list[str]:
        return list(store.records)

    def close(self, store: BufferedLog) -> None:
        store.close()
