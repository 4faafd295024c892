"""What the tests of redundancy and of damage share: small logs of several segments, and what they hold."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from store_under_test.event_store import EventStore, NewEvent, Options, Patience, Sizes
from store_under_test.event_store.views import ViewOptions

#: Two blocks of a segment are no room for events; one, or two after it has grown, are.
OPTIONS = Options(sizes=Sizes(segment_bytes=4 * 4096, step_bytes=4096), patience=Patience(timeout_s=0), probe_s=0)
VIEWS = ViewOptions(maintenance="on_request")
#: Fills a block more than half: two do not fit into one.
LONG = "x" * 2500


def opened(directory: Path, redundancy: str | None = "parity") -> EventStore:
    return EventStore.open(directory, OPTIONS, redundancy=redundancy, views=VIEWS)


def append(store: EventStore, *texts: str) -> None:
    """One batch with an event for each text."""
    store.append_batch([NewEvent("t", "a", text, id="i", timestamp=1.0) for text in texts])


def texts_of(store: EventStore) -> list[str]:
    return [event.payload for event in store.read(store.log.retained_from)]


def write(directory: Path, texts: Iterable[str], redundancy: str | None = "parity") -> None:
    """A closed log with an event for each text, in a frame of its own; "|" begins a new segment."""
    with opened(directory, redundancy) as store:
        for text in texts:
            if text == "|":
                store.log.rotate()
            else:
                append(store, text)


def read(directory: Path, redundancy: str | None = "parity") -> list[str]:
    """What a new opening reads."""
    with opened(directory, redundancy) as store:
        return texts_of(store)


def contents(directory: Path) -> dict[str, bytes]:
    """Every file but the lease, by name."""
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.name != "lease"}


def put(directory: Path, files: dict[str, bytes]) -> None:
    """Make the directory hold these files besides the lease, and no others."""
    for name in os.listdir(directory):
        if name not in files and name != "lease":
            os.unlink(directory / name)
    for name, content in files.items():
        (directory / name).write_bytes(content)


def names(directory: Path, suffix: str) -> list[str]:
    """The names of the files with this suffix, without it."""
    return sorted(path.stem for path in directory.iterdir() if path.suffix == suffix)


def flipped(content: bytes, place: int, bits: int = 1) -> bytes:
    changed = bytearray(content)
    changed[place] ^= bits
    return bytes(changed)


def zeroed(content: bytes, start: int, length: int = 4096) -> bytes:
    return content[:start] + bytes(len(content[start : start + length])) + content[start + length :]
