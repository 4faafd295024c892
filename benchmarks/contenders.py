"""Stores that append durably, side by side: the EventStore, SQLite, LMDB and the bare disk, equally free to batch.

A caller returns when its record is durable. What was handed in while a commit went on may go into the next one, all of
it together: the EventStore does so by itself, the others through `Combined`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from store_under_test.event_store import EventStore, NewEvent

HAS_LMDB = importlib.util.find_spec("lmdb") is not None
LMDB_BYTES = 1 << 32


class Contender(Protocol):
    """A store for the race."""

    name: str

    def __init__(self, directory: Path) -> None: ...

    def append(self, record: str) -> None:
        """Returns when `record` is durable. Called by many threads at once."""

    def close(self) -> None: ...


class Events:
    """The EventStore, called by threads."""

    name = "EventStore"

    def __init__(self, directory: Path) -> None:
        self.store = EventStore.open(directory)

    def append(self, record: str) -> None:
        self.store.append(NewEvent("record", "log", record))

    def close(self) -> None:
        self.store.close()


@dataclass(slots=True, eq=False)
class _Ticket:
    record: str
    done: bool = False


class Combined:
    """Commits all that waits in one go: who gets the lock writes for those that came before."""

    def __init__(self, commit: Callable[[Sequence[str]], None]) -> None:
        self._commit = commit
        self._guard, self._lock = threading.Lock(), threading.Lock()
        self._waiting: list[_Ticket] = []

    def append(self, record: str) -> None:
        ticket = _Ticket(record)
        with self._guard:
            self._waiting.append(ticket)
        with self._lock:
            if ticket.done:
                return
            with self._guard:
                batch, self._waiting = self._waiting, []
            self._commit([item.record for item in batch])
            for item in batch:
                item.done = True


class Bare(Combined):
    """One write and one fdatasync for each batch: as little as a log can do."""

    name = "write + fdatasync"

    def __init__(self, directory: Path) -> None:
        super().__init__(self.commit)
        self._descriptor = os.open(directory / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def commit(self, records: Sequence[str]) -> None:
        os.write(self._descriptor, "".join(records).encode())
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


class Sqlite(Combined):
    """A table in WAL mode with synchronous=FULL: each transaction is synced."""

    name = "SQLite (WAL, FULL)"

    def __init__(self, directory: Path) -> None:
        super().__init__(self.commit)
        self.connection = sqlite3.connect(directory / "log.db", isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        columns = "sequence INTEGER PRIMARY KEY, id TEXT, time REAL, type TEXT, aggregate TEXT, record TEXT"
        self.connection.execute(f"CREATE TABLE IF NOT EXISTS log ({columns})")

    def commit(self, records: Sequence[str]) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        rows = ((uuid.uuid4().hex, time.time(), "record", "log", record) for record in records)
        self.connection.executemany("INSERT INTO log (id, time, type, aggregate, record) VALUES (?, ?, ?, ?, ?)", rows)
        self.connection.execute("COMMIT")

    def close(self) -> None:
        self.connection.close()


class Lmdb(Combined):
    """Synchronous transactions."""

    name = "LMDB"

    def __init__(self, directory: Path) -> None:
        super().__init__(self.commit)
        self._environment: Any = importlib.import_module("lmdb").open(str(directory / "lmdb"), map_size=LMDB_BYTES)
        self._count = 0

    def commit(self, records: Sequence[str]) -> None:
        with self._environment.begin(write=True) as transaction:
            for record in records:
                self._count += 1
                transaction.put(self._count.to_bytes(8, "big"), record.encode(), append=True)

    def close(self) -> None:
        self._environment.close()


def contenders(*, native: bool) -> tuple[type[Contender], ...]:
    """The measure of all first; with `native` also LMDB, if installed.

    Its library stays loaded in this process, in which the harness can't know any more who syncs.
    """
    return (Bare, Events, Sqlite, *((Lmdb,) if native and HAS_LMDB else ()))
