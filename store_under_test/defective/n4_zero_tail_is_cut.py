"""Sound: a log in a file that is grown ahead of its data, so that zeros always follow the last frame.

A frame starts with a checksum over its number, its length and its content. Zeros do not verify,
nor does what a torn write leaves; opening ends the log at the first such frame and cuts the
file there. After an error the log is not written to until it is opened again, and opening writes back what it read:
where an fsync failed, only the cache may have it. Damage to the last frames looks like the end of the log, so nothing
is promised about damage.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

from harness import LOG, Append, AppendMany, Contract, Read

HEADER = struct.Struct("<IIQ")  # checksum of all that follows it, bytes of the content, number of the frame
LENGTH = struct.Struct("<I")
GROWTH_BYTES = 16384


def pack(records: Sequence[str]) -> bytes:
    """Records as bytes, each after its length."""
    encoded = [record.encode() for record in records]
    return b"".join(LENGTH.pack(len(record)) + record for record in encoded)


def unpack(content: bytes) -> list[str]:
    """The inverse of `pack`."""
    records, position = [], 0
    while position < len(content):
        (length,) = LENGTH.unpack_from(content, position)
        position += LENGTH.size + length
        records.append(content[position - length : position].decode())
    return records


class LogBroken(Exception):
    """A call failed before; open the log again."""


class PreallocatedLog:
    """An append-only sequence of text records."""

    def __init__(self, directory: Path) -> None:
        self.records: list[str] = []
        self._frames = 0
        self._end = 0
        self._broken = False
        self._file = os.open(directory / "log", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._recover((directory / "log").read_bytes())
            self._sync_directory(directory)
        except BaseException:
            os.close(self._file)
            raise

    def _recover(self, data: bytes) -> None:
        while (content := self._content(data)) is not None:
            self.records += unpack(content)
            self._frames += 1
            self._end += HEADER.size + len(content)
        self._write(data[: self._end], 0)
        self._resize(self._end)

    def _content(self, data: bytes) -> bytes | None:
        if len(data) < self._end + HEADER.size:
            return None
        checksum, length, number = HEADER.unpack_from(data, self._end)
        after = self._end + HEADER.size + length
        if number != self._frames or after > len(data) or zlib.crc32(data[self._end + 4 : after]) != checksum:
            return None
        return data[self._end + HEADER.size : after]

    def append(self, records: Sequence[str]) -> int:
        """Add records, all or none; durable when it returns the position of the first."""
        if self._broken:
            raise LogBroken("an append failed before: open the log again")
        self._broken = True
        content = pack(records)
        body = HEADER.pack(0, len(content), self._frames)[4:] + content
        frame = zlib.crc32(body).to_bytes(4, "little") + body
        end = self._end + len(frame)
        if end > self._size:
            self._resize(end + GROWTH_BYTES)
        self._write(frame, self._end)
        os.fdatasync(self._file)
        self._broken = False
        self._frames, self._end = self._frames + 1, end
        self.records += records
        return len(self.records) - len(records)

    def _write(self, data: bytes, position: int) -> None:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._file, rest, position)
            rest, position = rest[written:], position + written

    def _resize(self, size: int) -> None:
        os.ftruncate(self._file, size)
        os.fsync(self._file)
        self._size = size

    def _sync_directory(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Release the file, with what it was grown by."""
        os.close(self._file)


class Adapter:
    """Claims what it keeps, under every model."""

    name = "n4-zero-tail-is-cut"
    model = LOG
    contract = Contract(
        corruption=None,  # what is damaged at the end looks like what was never written
        power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
    )
    operations = (Append, AppendMany, Read)

    def open(self, directory: Path) -> PreallocatedLog:
        return PreallocatedLog(directory)

    def apply(self, store: PreallocatedLog, operation: object) -> int | list[str]:
        match operation:
            case Append(record):
                return store.append((record,))
            case AppendMany(records):
                return store.append(records)
            case Read(start):
                return store.records[start:]
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: PreallocatedLog) -> list[str]:
        return list(store.records)

    def close(self, store: PreallocatedLog) -> None:
        store.close()
