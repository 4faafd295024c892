"""Sound: a log that publishes its length in a second file before an append returns.

The record is durable first, the published length after it. A crash in between leaves one record
more than was acknowledged: still a prefix of what was begun. The log alone is believed; opening
publishes the length anew where it differs, and writes back what it read: where an fsync failed, only the cache may
have it. After an error the log is not written to until then.
"""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from pathlib import Path

from harness import LOG, Append, Contract, Read

HEADER = struct.Struct("<IIQ")  # checksum of all that follows it, bytes of the record, position


class LogBroken(Exception):
    """A call failed before; open the log again."""


class CountedLog:
    """An append-only sequence of text records, and how many there are, for whoever watches."""

    def __init__(self, directory: Path) -> None:
        self.records: list[str] = []
        self._broken = False
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._length = directory / "length"
        self._file = open(os.open(directory / "records", os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
        try:
            self._recover(self._file.readall())
            os.fsync(self._directory)
            if self._published() != len(self.records):
                self._publish()
        except BaseException:
            self.close()
            raise

    def _published(self) -> int:
        """The length in the second file; -1 if there is none that can be understood."""
        try:
            return int(self._length.read_bytes())
        except (FileNotFoundError, ValueError):
            return -1

    def _recover(self, data: bytes) -> None:
        end = 0
        while (record := self._record(data, end)) is not None:
            self.records.append(record.decode())
            end += HEADER.size + len(record)
        if end < len(data):
            warnings.warn(f"the log has no whole record at byte {end}; the rest is cut", stacklevel=3)
        self._write(0, data[:end])
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
        if self._broken:
            raise LogBroken("an append failed before: open the log again")
        self._broken = True
        content = record.encode()
        covered = HEADER.pack(0, len(content), len(self.records))[4:] + content
        self._write(self._file.seek(0, os.SEEK_END), zlib.crc32(covered).to_bytes(4, "little") + covered)
        os.fdatasync(self._file.fileno())
        self.records.append(record)
        self._publish()
        self._broken = False
        return len(self.records) - 1

    def _write(self, position: int, data: bytes) -> None:
        self._file.seek(position)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

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
