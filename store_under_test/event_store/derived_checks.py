"""Looks at the files that are made from the log: snapshots and indexes. A damaged one costs no event, only time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from crc32c import crc32c

from store_under_test.event_store import indexfile, snapshots
from store_under_test.event_store.derived import read_whole
from store_under_test.event_store.reports import Extent

#: Reports what is damaged in a directory.
Check = Callable[[str], Iterable[Extent]]

SNAPSHOT_SUFFIX = ".snap"


def damaged_snapshots(directory: str) -> Iterator[Extent]:
    """Snapshots that do not verify."""
    for name, content in _files(directory, SNAPSHOT_SUFFIX):
        try:
            snapshots.decode(content)
        except Exception:  # whatever the codec makes of it
            yield Extent(name, 0, len(content), "snapshot", True)


def damaged_indexes(directory: str) -> Iterator[Extent]:
    """Parts of index files that do not verify; the whole file if it does not say what they are."""
    for name, content in _files(directory, indexfile.SUFFIX):
        try:
            header = indexfile.header_of(name, content[: indexfile.MAX_HEADER_BYTES])
        except Exception:
            yield Extent(name, 0, len(content), "index", True)
            continue
        for offset, length, checksum in header.parts.values():
            part = content[offset : offset + length]
            if len(part) != length or crc32c(part) != checksum:
                yield Extent(name, offset, offset + length, "index", True)


DERIVED: tuple[Check, ...] = (damaged_snapshots, damaged_indexes)


def _files(directory: str, suffix: str) -> Iterator[tuple[str, bytes]]:
    for name in sorted(os.listdir(directory)):
        if name.endswith(suffix):
            yield name, read_whole(os.path.join(directory, name))
