"""What the tests of redundancy and of damage share: small logs with several segments, and what they hold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from store_under_test.event_store.codec import encode_batch
from store_under_test.event_store.event import NewEvent
from store_under_test.event_store.guard import ParityGuard
from store_under_test.event_store.log import Log, Options
from store_under_test.event_store.writer import Sizes

#: Three blocks of frames at most, and they come one at a time.
SIZES = Sizes(segment_bytes=5 * 4096, step_bytes=4096)


def open_log(directory: Path, *, guarded: bool = True) -> Log:
    """A log in small pieces; the nonces are those of a counter, so that two logs alike are alike byte for byte."""
    numbers = iter(range(1, 256))
    options = Options(SIZES, random_bytes=lambda length: bytes([next(numbers)]) * length)
    return Log.open(directory, options, redundancy=ParityGuard(str(directory)) if guarded else None)


def append(log: Log, *texts: str) -> None:
    """One batch: an event for each text."""
    log.append(encode_batch([NewEvent("t", "a", text, id=text, timestamp=1.0) for text in texts], lambda: 1.0))


def write(directory: Path, texts: Sequence[str], *, guarded: bool = True) -> None:
    """A log with an event for each text, one frame each, closed."""
    log = open_log(directory, guarded=guarded)
    for text in texts:
        append(log, text)
    log.close()


def texts_of(log: Log) -> list[str]:
    return [event.payload for frame in log.frames() for event in frame.events]


def read(directory: Path, *, guarded: bool = True) -> list[str]:
    """What a new opening reads; it is closed again whatever happens."""
    log = open_log(directory, guarded=guarded)
    try:
        return texts_of(log)
    finally:
        log.close()


def contents(directory: Path) -> dict[str, bytes]:
    """Every file but the lease, by name."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.startswith("lease")}


def put(directory: Path, files: dict[str, bytes]) -> None:
    """Make the directory hold these files, and no others."""
    for path in directory.iterdir():
        path.unlink()
    for name, content in files.items():
        (directory / name).write_bytes(content)


def paths_of(log: Log) -> list[str]:
    """The names of the segments, oldest first."""
    return [os.path.basename(info.path) for info in log.segments()]
