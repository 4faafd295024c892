"""A process that holds a store, and stops itself (SIGSTOP) at one place inside its second append.

    python -m tests.unit.event_store.lease_holder DIRECTORY PLACE

It prints what its second append came to.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from store_under_test.event_store import EventStore, EventStoreError, Options, Patience, files
from store_under_test.event_store.lease import Lease
from store_under_test.event_store.segment import DATA_OFFSET
from tests.unit.event_store.core_helpers import SMALL, event

#: Never over while a test runs: the one who takes over lets its own clock jump.
LEASE_S = 3600.0
OPTIONS = Options(sizes=SMALL.sizes, patience=Patience(timeout_s=0, lease_s=LEASE_S))


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def stopping(target: Any, name: str, *, before: bool, when: Callable[..., bool] = lambda *_: True) -> None:
    """Stop once at a call, before it or after it."""
    original = getattr(target, name)

    def call(*arguments: Any) -> Any:
        if not when(*arguments):
            return original(*arguments)
        setattr(target, name, original)
        if before:
            stop()
        result = original(*arguments)
        if not before:
            stop()
        return result

    setattr(target, name, call)


def is_frame(_: int, __: bytes, offset: int) -> bool:
    return offset >= DATA_OFFSET


def prepare(store: EventStore, place: str) -> None:
    if place == "before the first check":
        stopping(Lease, "check", before=True)
    elif place == "between check and write":
        stopping(os, "pwrite", before=True, when=is_frame)
    elif place == "between write and fsync":
        stopping(os, "pwrite", before=False, when=is_frame)
    elif place == "between fsync and check":
        stopping(files, "_datasync", before=False)
    elif place == "between check and acknowledgement":
        store.log.on_durable(lambda *_: stop())
    elif place == "in a rotation":
        stopping(os, "rename", before=True)
    else:
        raise ValueError(place)


def main(directory: str, place: str) -> None:
    store = EventStore.open(Path(directory), OPTIONS)
    store.append(event("one"))
    prepare(store, place)
    try:
        if place == "in a rotation":
            store.compact()
        store.append(event("two"))
        print("acknowledged")
    except (EventStoreError, OSError) as error:
        print(type(error).__name__)
    try:
        store.append(event("three"))
        print("acknowledged")
    except EventStoreError as error:
        print(type(error).__name__)
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
