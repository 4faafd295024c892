"""Small stores that only several faults together break, each beside one that they do not."""

from __future__ import annotations

import errno
import json
import os
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import LOG, Append, Contract
from tests.stores.honest import KILLS, Sound, sync_directory

ERRORS = Contract(power_loss=None, corruption=None)
DAMAGE = Contract(power_loss=None, io_error=None)


# --- clocks ---------------------------------------------------------------------------------------


@dataclass
class Generations:
    directory: Path
    pairs: dict[str, str]
    last: int


class Stamps(Sound):
    """A new file for each state, named after the time, and one that is not when it is closed.

    After a kill the newest name counts: not so where somebody has set the clock back meanwhile.
    """

    name = "stamps"
    contract = KILLS

    def number(self, last: int) -> int:
        return time.time_ns()

    def open(self, directory: Path) -> Any:
        numbers = sorted(int(path.suffix[1:]) for path in directory.glob("state.*") if path.suffix != ".json")
        newest = f"state.{numbers[-1]}" if numbers else "state.json"
        return Generations(directory, self.read(directory / newest), numbers[-1] if numbers else 0)

    def snapshot(self, store: Any) -> Any:
        return store.pairs

    def apply(self, store: Any, operation: Any) -> None:
        pairs = self.changed(store.pairs, operation)
        number = self.number(store.last)
        self.write(store.directory / f"state.{number}", pairs)
        store.pairs, store.last = pairs, number

    def close(self, store: Any) -> None:
        self.write(store.directory / "state.json", store.pairs)
        for path in sorted(store.directory.glob("state.*")):
            if path.name != "state.json":
                path.unlink()


class Counted(Stamps):
    """Counts its states."""

    name = "counted"

    def number(self, last: int) -> int:
        return last + 1

    def close(self, store: Any) -> None:
        return None


class Waits(Stamps):
    """Waits until the time is later than what it wrote last."""

    name = "waits"

    def number(self, last: int) -> int:
        while time.time_ns() <= last:
            time.sleep(1.0)
        return time.time_ns()


# --- calls that fail ------------------------------------------------------------------------------


class PutsOff(Sound):
    """Acknowledges what it could not sync, to write it with the next operation or when it is closed."""

    name = "puts-off"
    contract = ERRORS
    call, number = "fsync", errno.EIO

    def open(self, directory: Path) -> Any:
        return Generations(directory, self.read(directory / "pairs.json"), 0)

    def snapshot(self, store: Any) -> Any:
        return store.pairs

    def apply(self, store: Any, operation: Any) -> None:
        store.pairs = self.changed(store.pairs, operation)
        try:
            self.save(store)
        except OSError as error:
            if (self.call, self.number) != self.failed(error):
                raise

    def failed(self, error: OSError) -> tuple[str, int | None]:
        return ("open" if error.filename else "fsync", error.errno)

    def save(self, store: Any) -> None:
        path = store.directory / "pairs.json"
        beside = path.with_name("pairs.new")
        beside.write_text(json.dumps(store.pairs), encoding="utf-8")
        descriptor = os.open(beside, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(beside, path)
        sync_directory(path.parent)

    def close(self, store: Any) -> None:
        self.save(store)


class OpensLater(PutsOff):
    """The same where no file could be opened any more."""

    name = "opens-later"
    call, number = "open", errno.EMFILE


class Glued(Sound):
    """Writes all of a line, however often it takes; but what a full disk took of it stays, and gets the next one."""

    name = "glued"
    model: Any = LOG
    contract = ERRORS

    def open(self, directory: Path) -> Any:
        return directory / "log"

    def apply(self, store: Path, operation: Append) -> None:
        line = json.dumps(operation.record).encode() + b"\n"
        descriptor = os.open(store, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            self.append(descriptor, line)
        finally:
            os.close(descriptor)

    def append(self, descriptor: int, line: bytes) -> None:
        while line:
            line = line[os.write(descriptor, line) :]

    def snapshot(self, store: Path) -> Any:
        lines = store.read_bytes().split(b"\n")[:-1] if store.exists() else []
        return [json.loads(line) for line in lines]


class Unglued(Glued):
    """Takes back what is left of a line, now or when it is opened."""

    name = "unglued"

    def open(self, directory: Path) -> Any:
        log = directory / "log"
        content = log.read_bytes() if log.exists() else b""
        if not content.endswith(b"\n") and content:
            os.truncate(log, content.rfind(b"\n") + 1)
        return log

    def append(self, descriptor: int, line: bytes) -> None:
        end = os.fstat(descriptor).st_size
        try:
            super().append(descriptor, line)
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, end)
            raise


# --- damage ---------------------------------------------------------------------------------------


@dataclass
class Journal:
    directory: Path
    records: list[str] = field(default_factory=list)


class Unchecked:
    """A log with a checksum once it is closed; until then it is in a journal without any."""

    name = "unchecked"
    model: Any = LOG
    contract = DAMAGE

    def line(self, text: bytes) -> bytes:
        return text + b"\n"

    def text(self, line: bytes) -> bytes:
        return line

    def open(self, directory: Path) -> Journal:
        whole, journal = directory / "whole", directory / "journal"
        store = Journal(directory)
        if whole.exists():
            digits, _, text = whole.read_bytes().partition(b" ")
            if digits != b"%08x" % zlib.crc32(text):
                raise ValueError("the checksum is wrong")
            store.records = json.loads(text)
        if journal.exists():
            content = journal.read_bytes()
            for line in content.split(b"\n")[:-1]:
                place, record = json.loads(self.text(line))
                store.records[place:] = [record]
            os.truncate(journal, content.rfind(b"\n") + 1)
        return store

    def apply(self, store: Journal, operation: Append) -> None:
        line = self.line(json.dumps([len(store.records), operation.record]).encode())
        with open(store.directory / "journal", "ab", buffering=0) as stream:
            stream.write(line)
        store.records.append(operation.record)

    def snapshot(self, store: Journal) -> list[str]:
        return list(store.records)

    def close(self, store: Journal) -> None:
        text = json.dumps(store.records).encode()
        beside = store.directory / "whole.new"
        beside.write_bytes(b"%08x " % zlib.crc32(text) + text)
        os.replace(beside, store.directory / "whole")
        (store.directory / "journal").unlink(missing_ok=True)


class Checked(Unchecked):
    """Every line of the journal has a checksum too. What stands behind the last one may be torn, but has no zeros."""

    name = "checked"

    def line(self, text: bytes) -> bytes:
        return b"%08x %s\n" % (zlib.crc32(text), text)

    def text(self, line: bytes) -> bytes:
        digits, _, text = line.partition(b" ")
        if digits != b"%08x" % zlib.crc32(text):
            raise ValueError("a checksum is wrong")
        return text

    def open(self, directory: Path) -> Journal:
        journal = directory / "journal"
        if journal.exists() and b"\0" in journal.read_bytes():
            raise ValueError("the journal has zeros")
        return super().open(directory)
