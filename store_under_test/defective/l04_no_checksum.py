"""L04, a log of length-prefixed records without a checksum.

Defect: a record counts as soon as the file is long enough to hold it. After a power failure
the file may have grown over bytes that were never written, and these are read as records.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from harness import LOG, Append, Contract

_LONGEST_PREFIX_BYTES = 5


def _prefix(length: int) -> bytes:
    """`length + 1` as a base-128 number, low digits first: a zero byte never starts a record."""
    number, digits = length + 1, bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def _read_prefix(content: bytes, start: int) -> tuple[int, int] | None:
    """Length and start of the payload whose prefix is at `start`; None where no whole prefix is."""
    number = 0
    for index, digit in enumerate(content[start : start + _LONGEST_PREFIX_BYTES]):
        number |= (digit & 0x7F) << 7 * index
        if digit < 0x80:
            return (number - 1, start + index + 1) if number else None
    return None


def _parse(content: bytes) -> tuple[list[str], int]:
    """The records that the file is long enough for, and where the last of them ends."""
    records: list[str] = []
    end = 0
    while prefix := _read_prefix(content, end):
        length, start = prefix
        if start + length > len(content):
            break
        records.append(content[start : start + length].decode(errors="replace"))
        end = start + length
    return records, end


class PrefixLog:
    """Records one after another, each after its length."""

    def __init__(self, directory: Path) -> None:
        self._file = os.open(directory / "log", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(self._file).st_size
        self.records, end = _parse(os.pread(self._file, size, 0))
        if end < size:
            os.ftruncate(self._file, end)
            os.fsync(self._file)
        if size == 0:
            self._sync_directory(directory)

    def append(self, record: str) -> int:
        payload = record.encode()
        frame = _prefix(len(payload)) + payload
        if os.write(self._file, frame) != len(frame):  # <- call site
            raise OSError(errno.ENOSPC, "the record was cut short")
        os.fsync(self._file)
        self.records.append(record)
        return len(self.records) - 1

    def close(self) -> None:
        os.close(self._file)

    def _sync_directory(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    name = "l04_no_checksum"
    model = LOG
    contract = Contract(io_error=None, corruption=None, writers="one")

    def open(self, directory: Path) -> PrefixLog:
        return PrefixLog(directory)

    def apply(self, store: PrefixLog, operation: object) -> int:
        match operation:
            case Append(record):
                return store.append(record)
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: PrefixLog) -> list[str]:
        return list(store.records)

    def close(self, store: PrefixLog) -> None:
        store.close()
