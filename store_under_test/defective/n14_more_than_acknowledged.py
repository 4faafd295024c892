"""Sound: a log that publishes its length in a second file before an append returns.

The record is durable first, the published length after it. A crash in between leaves one record
more than was acknowledged: still a prefix of what was begun. The log alone is believed; opening
publishes the length anew where it differs.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

from harness import LOG, Append, Contract, Read

HEADER = struct.Struct("<IIQ")  # checksum of all that follows it, bytes of the record, position


class CountedLog:
    """An append-only sequence of text records, and how many there are, for whoever watches."""

    def __init__(self, directory: Path) -> None:
        self.records: list[str] = []
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._length = directory / "length"
        self._file = (directory / "records").open("a+b")
        self._file.seek(0)
        self._recover(self._file.read())
        os.fsync(self._directory)
        if not self._length.exists() or self._length.read_text() != str(len(self.records)):
            self._publish()

    def _recover(self, data: bytes) -> None:
        end = 0
        while (record := self._record(data, end)) is not None:
            self.records.append(record.decode())
            end += HEADER.size + len(record)
        if end < len(data):
            self._file.truncate(end)
            os.fsync(self._file.fileno())

    def _record(self, data: bytes, start: int) -> bytes | None:
        if len(data) < start + HEADER.size:
            return None
        checksum, length, position = HEADER.unpack_from(data, start)
        end = start + HEADER.size + length
        if position != len(self.records) or end > len(data) or zlib.crc32(data[start + 4 : end]) != checksum:
            return None
        return data[start + HEADER.size : end]

    def append(self, record: str) -> int:
        """Add one record; durable, and counted, when it returns its position."""
        content = record.encode()
        covered = HEADER.pack(0, len(content), len(self.records))[4:] + content
        self._file.write(zlib.crc32(covered).to_bytes(4, "little"))
        self._file.write(covered)
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self.records.append(record)
        self._publish()
        return len(self.records) - 1

    def _publish(self) -> None:
        temporary = self._length.with_suffix(".tmp")
        with temporary.open("w") as out:
            out.write(str(len(self.records)))
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(self._length)
        os.fsync(self._directory)

    def close(self) -> None:
        """Release the file and the directory."""
        self._file.close()
        os.close(self._directory)


class Adapter:
    """Claims what it keeps, under every model."""

    name = "n14-more-than-acknowledged"
    model = LOG
    contract = Contract(
        io_error=None,
        corruption=None,
        power_loss_models=("max-loss", "ext3-ordered", "btrfs", "ext4", "strict"),
    )
    operations = (Append, Read)

    def open(self, directory: Path) -> CountedLog:
        return CountedLog(directory)

    def apply(self, store: CountedLog, operation: object) -> int | list[str]:
        match operation:
            case Append(record):
                return store.append(record)
            case Read(start):
                return store.records[start:]
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: CountedLog) -> list[str]:
        return list(store.records)

    def close(self, store: CountedLog) -> None:
        store.close()
