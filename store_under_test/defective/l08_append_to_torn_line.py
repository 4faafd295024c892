"""L08, a log of text lines that leaves a torn line in place.

Defect: reading rightly ignores everything from the first line that does not verify, but opening
neither cuts that line off nor ends it. The next append is glued to it: acknowledged, readable
through the open handle, and gone at the next opening, with all that follows.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

from harness import LOG, Append, Contract


def _line(number: int, text: str) -> str:
    return f"{zlib.crc32(f'{number} {text}'.encode()):08x} {text}\n"


def _parse(content: str) -> list[str]:
    """The records before the first line that does not verify."""
    records: list[str] = []
    for line in content.split("\n")[:-1]:
        if f"{line}\n" != _line(len(records), line[9:]):
            break
        records.append(json.loads(line[9:]))
    return records


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class TextLog:
    """ASCII text: a checksum and a JSON string on each line."""

    def __init__(self, directory: Path) -> None:
        path = directory / "journal.txt"
        self._file = open(path, "a", encoding="ascii", newline="\n")
        content = path.read_bytes()
        self.records = _parse(content.decode("latin-1"))
        if not content:
            _sync_directory(directory)

    def append(self, record: str) -> int:
        position = len(self.records)
        self._file.write(_line(position, json.dumps(record)))  # <- call site
        self._file.flush()  # <- call site
        os.fsync(self._file.fileno())
        self.records.append(record)
        return position

    def close(self) -> None:
        self._file.close()


class Adapter:
    name = "l08_append_to_torn_line"
    model = LOG
    contract = Contract(io_error=None, corruption=None, writers="one")

    def open(self, directory: Path) -> TextLog:
        return TextLog(directory)

    def apply(self, store: TextLog, operation: object) -> int:
        match operation:
            case Append(record):
                return store.append(record)
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: TextLog) -> list[str]:
        return list(store.records)

    def close(self, store: TextLog) -> None:
        store.close()
