"""Ways in which Python code writes files: what recording costs depends on how.

Each is a function of a directory and a number of pieces; a piece is what a store would do
for one operation. Stores sync, so these do. The last two are whole stores: they also encode, check and
keep what they write, and the others only write.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.stores import RecordLog
from store_under_test.metrics_store.adapter import MetricsStoreAdapter

Chore = Callable[[Path, int], None]
RECORD = b"x" * 200


def unbuffered_log(directory: Path, count: int) -> None:
    """`os.write` and `os.fdatasync` on one descriptor."""
    descriptor = os.open(directory / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for _ in range(count):
        os.write(descriptor, RECORD)
        os.fdatasync(descriptor)
    os.close(descriptor)


def buffered_log(directory: Path, count: int) -> None:
    """A buffered file object, flushed and synced for each record."""
    with open(directory / "log", "ab") as file:
        for _ in range(count):
            file.write(RECORD)
            file.flush()
            os.fsync(file.fileno())


def text_lines(directory: Path, count: int) -> None:
    """A text file object with many small writes, synced now and then."""
    with open(directory / "log", "a", encoding="utf-8") as file:
        for number in range(count):
            file.write(json.dumps({"number": number, "text": "x" * 100}) + "\n")
            if number % 20 == 19:
                file.flush()
                os.fsync(file.fileno())


def in_place_pages(directory: Path, count: int) -> None:
    """`os.pwrite` and `os.pread` of pages, and a sync."""
    descriptor = os.open(directory / "pages", os.O_RDWR | os.O_CREAT, 0o644)
    page = b"p" * 4096
    for number in range(count):
        os.pwrite(descriptor, page, number % 32 * 4096)
        os.pread(descriptor, 4096, 0)
        os.fdatasync(descriptor)
    os.close(descriptor)


def atomic_replace(directory: Path, count: int) -> None:
    """A temporary file, a sync, `os.replace`, and a sync of the directory."""
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    for number in range(count):
        descriptor, name = tempfile.mkstemp(dir=directory)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump({"number": number, "text": "x" * 500}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, directory / "document")
        os.fsync(folder)
    os.close(folder)


def small_files(directory: Path, count: int) -> None:
    """`Path.write_bytes`, `read_bytes`, `exists`, `unlink`."""
    for number in range(count):
        path = directory / f"{number % 50}.item"
        path.write_bytes(RECORD)
        path.read_bytes()
        if number % 3 == 2 and path.exists():
            path.unlink()


def record_log(directory: Path, count: int) -> None:
    """Puts into the fastest of the stores."""
    log = RecordLog(directory)
    for number in range(count):
        log.write(f"k{number % 5}", f"value {number}")
    log.close()


def metrics_store(directory: Path, count: int) -> None:
    """Saves of the reference store."""
    adapter = MetricsStoreAdapter()
    operations = MetricsStoreAdapter.model.example_operations(random.Random(0), count)
    store = adapter.open(directory)
    for operation in operations:
        adapter.apply(store, operation)
    adapter.close(store)


@dataclass(frozen=True, slots=True)
class Style:
    """A way to write, by name, and how many pieces take long enough to be measured."""

    name: str
    chore: Chore
    count: int


STYLES = (
    Style("os.write, fdatasync", unbuffered_log, 4_000),
    Style("buffered file, fsync", buffered_log, 4_000),
    Style("text lines, few syncs", text_lines, 8_000),
    Style("pwrite, pread, fdatasync", in_place_pages, 3_000),
    Style("temporary file, os.replace", atomic_replace, 1_000),
    Style("pathlib, small files", small_files, 2_000),
    Style("record log", record_log, 2_000),
    Style("MetricsStore", metrics_store, 400),
)
