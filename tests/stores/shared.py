"""Tables that one, several threads, or several processes may change; what they say in their contracts is another
matter."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import Contract
from tests.stores import honest


@dataclass(slots=True)
class Handle:
    """What threads share. `held` is an open lock file, where the store keeps one."""

    table: Path
    changing: Any = field(default_factory=threading.Lock)
    held: int | None = None


class Unlocked(honest.Sound):
    """Reads, changes and replaces: whoever else does so meanwhile loses an update."""

    name = "unlocked"

    def open(self, directory: Path) -> Any:
        return Handle(directory / "pairs.json")

    def apply(self, store: Any, operation: Any) -> None:
        with self.alone(store):
            self.write(store.table, self.changed(self.read(store.table), operation))

    def snapshot(self, store: Any) -> Any:
        return self.read(store.table)

    def close(self, store: Any) -> None:
        if store.held is not None:
            os.close(store.held)

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        descriptor, beside = tempfile.mkstemp(dir=path.parent)
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(pairs))
            stream.flush()
            self.sync(stream.fileno())
        os.replace(beside, path)
        honest.sync_directory(path.parent)

    @contextlib.contextmanager
    def alone(self, store: Any) -> Iterator[None]:
        yield


class ForThreads(Unlocked):
    """A lock in memory, which other processes do not see."""

    name = "for-threads"

    @contextlib.contextmanager
    def alone(self, store: Any) -> Iterator[None]:
        with store.changing:
            yield


class ForProcesses(ForThreads):
    """And one in the file system."""

    name = "for-processes"

    @contextlib.contextmanager
    def alone(self, store: Any) -> Iterator[None]:
        with store.changing:
            lock = os.open(store.table.with_name("lock"), os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)


class Removing(ForProcesses):
    """Removes the file of its lock when it lets go: who waits for that has the lock of a file that nobody finds."""

    name = "removing"
    contract = Contract(io_error=None, corruption=None, writers="processes")

    @contextlib.contextmanager
    def alone(self, store: Any) -> Iterator[None]:
        path = store.table.with_name("lock")
        with store.changing:
            lock = self.locked(path)
            try:
                yield
            finally:
                os.unlink(path)
                os.close(lock)

    def locked(self, path: Path) -> int:
        lock = os.open(path, os.O_RDWR | os.O_CREAT)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return lock


class Rechecking(Removing):
    """And who has waited looks whether the file is still there, and waits anew if not."""

    name = "rechecking"

    def locked(self, path: Path) -> int:
        while True:
            lock = super().locked(path)
            try:
                if os.fstat(lock).st_ino == os.stat(path).st_ino:
                    return lock
            except FileNotFoundError:
                pass
            os.close(lock)


class Exclusive(ForThreads):
    """Whoever has it open keeps all others out."""

    name = "exclusive"

    def open(self, directory: Path) -> Any:
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise
        return Handle(directory / "pairs.json", held=lock)
