"""L17, a key-value log whose compaction deletes the old segment before the manifest names the new one.

Defect: `compact` writes and syncs the new segment, then unlinks the old one, then replaces the
manifest. After a crash between the two, or a power failure that keeps only the first, the manifest
names a segment that is gone. A missing segment is taken for one that has yet to be created.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

from harness import KEY_VALUE, Compact, Contract, Delete, Put


def _line(segment: int, number: int, text: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(b"%d %d %s" % (segment, number, text)), text)


def _encode(key: str, value: str | None) -> bytes:
    return json.dumps([key, value]).encode()


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class ManifestStore:
    """`MANIFEST` holds the number of the current segment; a segment is lines of `[key, value or null]`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._manifest = directory / "MANIFEST"
        self._segment = int(self._manifest.read_bytes()) if self._manifest.exists() else 0
        self.items: dict[str, str] = {}
        self._lines = 0
        self._file = self._path().open("ab")
        self._load()
        if self._lines == 0:  # perhaps just created
            _sync_directory(directory)

    def _path(self) -> Path:
        return self._directory / f"segment-{self._segment}"

    def _load(self) -> None:
        content, end = self._path().read_bytes(), 0
        for line in content.splitlines(keepends=True):
            if line != _line(self._segment, self._lines, line[9:-1]):
                break
            self._set(*json.loads(line[9:-1]))
            self._lines, end = self._lines + 1, end + len(line)
        if end < len(content):
            self._file.truncate(end)
            os.fsync(self._file.fileno())

    def _set(self, key: str, value: str | None) -> None:
        if value is None:
            self.items.pop(key, None)
        else:
            self.items[key] = value

    def write(self, key: str, value: str | None) -> None:
        """Set `key` to `value`, or remove it where `value` is None."""
        self._file.write(_line(self._segment, self._lines, _encode(key, value)))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._lines += 1
        self._set(key, value)

    def compact(self) -> None:
        self._file.close()
        old, self._segment = self._path(), self._segment + 1
        lines = [_line(self._segment, n, _encode(*item)) for n, item in enumerate(self.items.items())]
        _write_durably(self._path(), b"".join(lines))
        fresh = self._manifest.with_suffix(".new")
        _write_durably(fresh, str(self._segment).encode())
        _sync_directory(self._directory)
        old.unlink()  # <- call site
        fresh.replace(self._manifest)  # <- call site
        _sync_directory(self._directory)
        self._lines = len(lines)
        self._file = self._path().open("ab")

    def close(self) -> None:
        self._file.close()


class Adapter:
    name = "l17_segment_deleted_before_manifest"
    model = KEY_VALUE
    operations = (Put, Delete, Compact)
    contract = Contract(io_error=None, corruption=None, writers="one")

    def open(self, directory: Path) -> ManifestStore:
        return ManifestStore(directory)

    def apply(self, store: ManifestStore, operation: object) -> None:
        match operation:
            case Put(key, value):
                store.write(key, value)
            case Delete(key):
                store.write(key, None)
            case Compact():
                store.compact()
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: ManifestStore) -> dict[str, str]:
        return dict(store.items)

    def close(self, store: ManifestStore) -> None:
        store.close()
