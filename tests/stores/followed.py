"""Logs that other threads follow: when is a record shown, and when is it durable?"""

from __future__ import annotations

import json
import os
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import LOG, Append, AppendMany, Contract, Read
from tests.stores.honest import sync_directory


def _line(number: int, text: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(b"%d %s" % (number, text)), text)


class Followed:
    """Sound: a record is shown after the sync. One JSON string a line, after a checksum of its number and text."""

    name = "followed"
    model = LOG
    contract = Contract(io_error=None, corruption=None, writers="threads")
    operations = (Append, Read)
    flags = 0

    def open(self, directory: Path) -> Followed:
        self.file = os.open(directory / "log", os.O_RDWR | os.O_CREAT | os.O_APPEND | self.flags)
        sync_directory(directory)
        self.lock = threading.RLock()
        self.records: list[str] = []
        content = os.pread(self.file, os.fstat(self.file).st_size, 0)
        end = 0
        for line in content.splitlines(keepends=True):
            if line != _line(len(self.records), line[9:-1]):
                break
            self.records.append(json.loads(line[9:-1]))
            end += len(line)
        if end < len(content):
            os.ftruncate(self.file, end)
            os.fsync(self.file)
        return self

    def apply(self, store: Any, operation: Any) -> Any:
        match operation:
            case Read(start):
                return self.read(start)
            case Append(record):
                self.append(record)
        return None

    def snapshot(self, store: Any) -> list[str]:
        return list(self.records)

    def close(self, store: Any) -> None:
        os.close(self.file)

    def append(self, record: str) -> None:
        self.write(record)
        self.sync()
        self.records.append(record)

    def read(self, start: int) -> list[str]:
        return self.records[start:]

    def write(self, record: str) -> None:
        os.write(self.file, _line(len(self.records), json.dumps(record).encode()))

    def sync(self) -> None:
        os.fsync(self.file)


class TooEarly(Followed):
    """A record is shown before the sync."""

    def append(self, record: str) -> None:
        self.write(record)
        self.records.append(record)
        self.sync()


class OneAtATime(TooEarly):
    """Shown too early, but who reads waits until the append is over. A sound store."""

    def append(self, record: str) -> None:
        with self.lock:
            super().append(record)

    def read(self, start: int) -> list[str]:
        with self.lock:
            return super().read(start)


class SyncedByReaders(TooEarly):
    """Shown too early, but no read is answered before the log was synced. A sound store."""

    def read(self, start: int) -> list[str]:
        records = super().read(start)
        self.sync()
        return records


class TooEarlyDurableWrites(TooEarly):
    """The write itself is the sync, and the record is shown before it."""

    flags = os.O_DSYNC

    def append(self, record: str) -> None:
        line = _line(len(self.records), json.dumps(record).encode())
        self.records.append(record)
        os.write(self.file, line)


class InTheBackground(Followed):
    """One thread syncs for all who wait. A sound store."""

    def append(self, record: str) -> None:
        self.write(record)
        self.publish_if(record, early=True)
        _in_a_thread(self.sync)
        self.publish_if(record, early=False)

    def publish_if(self, record: str, *, early: bool) -> None:
        if not early:
            self.records.append(record)


class TooEarlyInTheBackground(InTheBackground):
    """The same, and who follows does not wait."""

    def publish_if(self, record: str, *, early: bool) -> None:
        if early:
            self.records.append(record)


class Unreadable(Followed):
    """Reading beside an append fails."""

    reads = 0

    def read(self, start: int) -> list[str]:
        type(self).reads += 1
        raise RuntimeError("not from here")


class OneByOne(Followed):
    """A batch is written and synced record by record."""

    contract = Contract(io_error=None, corruption=None)
    operations = (Append, AppendMany)

    def apply(self, store: Any, operation: Any) -> Any:
        for record in operation.records if isinstance(operation, AppendMany) else (operation.record,):
            self.append(record)


class ForOneOnly(TooEarly):
    """Nobody was promised that another thread may read."""

    contract = Contract(io_error=None, corruption=None)


def _in_a_thread(function: Callable[[], None]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()
