"""Small stores and events for the tests of the core."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from store_under_test.event_store import EventStore, NewEvent, Options, Patience, Sizes, ViewOptions
from store_under_test.event_store.segment import parsed_name

STEP = 8192
SMALL = Options(sizes=Sizes(segment_bytes=4 * STEP, step_bytes=STEP), patience=Patience(timeout_s=0), probe_s=60.0)


def event(payload: Any = "x", aggregate: str = "a", **fields: Any) -> NewEvent:
    """An event with a fixed id and time."""
    return NewEvent(fields.pop("type", "t"), aggregate, payload, id="i", timestamp=1.5, **fields)


def opened(directory: Path, options: Options = SMALL) -> EventStore:
    return EventStore.open(directory, options, views=ViewOptions(maintenance="on_request"))


def payloads(store: EventStore) -> list[Any]:
    return [event.payload for event in store.read(store.log.retained_from)]


def filled(directory: Path, *records: Any) -> None:
    """A closed store with these payloads, an append each."""
    with opened(directory) as store:
        for record in records:
            store.append(event(record))


def reread(directory: Path) -> list[Any]:
    """The payloads that a new handle finds."""
    with opened(directory) as store:
        return payloads(store)


def segment_files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if parsed_name(path.name))


def contents(directory: Path) -> dict[str, bytes]:
    """All files, the lease left out: whoever tries to open a store writes there."""
    return {name: (directory / name).read_bytes() for name in sorted(os.listdir(directory)) if name != "lease"}


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)
