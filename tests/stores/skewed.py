"""Small stores that go by the clock: some of them lose data when somebody sets it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from datetime import datetime
from pathlib import Path
from time import time as early_time
from typing import Any

from harness import LOG, Append, Contract
from tests.stores.honest import Sound

ONE_WRITER = Contract(power_loss=None, io_error=None, corruption=None)
PROCESSES = Contract(power_loss=None, io_error=None, corruption=None, writers="processes")
EXPIRY_S = 30.0


class Stamped:
    """A log of stamped records in the order of their stamps: a clock that is set back changes the order."""

    name = "stamped"
    model: Any = LOG
    contract = ONE_WRITER

    def open(self, directory: Path) -> Path:
        return directory / "log"

    def stamp(self) -> Any:
        return early_time()

    def apply(self, store: Path, operation: Append) -> None:
        with open(store, "a", encoding="utf-8") as stream:
            stream.write(json.dumps([self.stamp(), operation.record]) + "\n")

    def rows(self, store: Path) -> list[Any]:
        return [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []

    def snapshot(self, store: Path) -> Any:
        return [record for _, record in sorted(self.rows(store), key=lambda row: row[0])]

    def close(self, store: Path) -> None:
        return None


class Local(Stamped):
    """The same by local time, which repeats an hour each autumn."""

    name = "local"

    def stamp(self) -> Any:
        return datetime.now().isoformat()


class InOrder(Stamped):
    """Writes stamps, and leaves the records where they stand."""

    name = "in-order"

    def snapshot(self, store: Path) -> Any:
        return [record for _, record in self.rows(store)]


class Refuses(InOrder):
    """Takes no record before 1970 and after 2038: an exception, and nothing is lost."""

    name = "refuses"

    def stamp(self) -> Any:
        now = time.time()
        if not 0 <= now < 2**31:
            raise ValueError("what time is it?")
        return now


class Sour(Refuses):
    """Once it has seen a strange clock, it never works again."""

    name = "sour"

    def apply(self, store: Path, operation: Append) -> None:
        mark = store.with_name("sour")
        if mark.exists():
            raise ValueError("never again")
        try:
            super().apply(store, operation)
        except ValueError:
            mark.touch()
            raise


class Waits(InOrder):
    """Waits for the clock to pass the last stamp, however long that takes."""

    name = "waits"

    def stamp(self) -> Any:
        return time.time()

    def apply(self, store: Path, operation: Append) -> None:
        last = max((stamp for stamp, _ in self.rows(store)), default=0.0)
        while time.time() <= last:
            time.sleep(0.01)
        super().apply(store, operation)


class Newest(Stamped):
    """A file for each record, in the order of the files' times."""

    name = "newest"

    def open(self, directory: Path) -> Path:
        return directory

    def apply(self, store: Path, operation: Append) -> None:
        (store / str(len(os.listdir(store)))).write_text(operation.record)

    def snapshot(self, store: Path) -> Any:
        return [path.read_text() for path in sorted(store.iterdir(), key=self.rank)]

    def rank(self, path: Path) -> Any:
        return path.stat().st_mtime_ns, int(path.name)


class Locked(Sound):
    """A lock file with a stamp by the wall clock: whoever finds it too old takes it."""

    name = "locked"
    contract = PROCESSES

    def apply(self, store: Path, operation: Any) -> None:
        self.lock(store)
        try:
            super().apply(store, operation)
        finally:
            self.unlock(store)

    def lock(self, store: Path) -> None:
        ends = self.clock() + 2
        while not self.is_taken(store.with_name("lock")):
            if self.clock() > ends:
                raise TimeoutError("locked")
            time.sleep(0.01)

    def is_taken(self, path: Path) -> bool:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            if self.is_expired(path):
                path.unlink(missing_ok=True)
            return False
        os.write(descriptor, str(self.stamp()).encode())
        os.close(descriptor)
        return True

    def stamp(self) -> float:
        return time.time()

    def is_expired(self, path: Path) -> bool:
        text = path.read_text() if path.exists() else ""
        return bool(text) and self.stamp() - float(text) > EXPIRY_S

    def clock(self) -> float:
        return time.monotonic()

    def unlock(self, store: Path) -> None:
        store.with_name("lock").unlink(missing_ok=True)


class Patient(Locked):
    """Never takes a lock from anybody, and waits by a clock that nobody sets."""

    name = "patient"

    def is_expired(self, path: Path) -> bool:
        return False


class Impatient(Patient):
    """Waits by the wall clock: set back, it waits for ever."""

    name = "impatient"

    def clock(self) -> float:
        return time.time()


class Flocked(Patient):
    """A lock of the kernel's."""

    name = "flocked"

    def lock(self, store: Path) -> None:
        self.descriptor = os.open(store.with_name("lock"), os.O_CREAT | os.O_WRONLY)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def unlock(self, store: Path) -> None:
        os.close(self.descriptor)


class Leased(Locked):
    """Stamps its lock by the clock that nobody sets."""

    name = "leased"

    def stamp(self) -> float:
        return time.monotonic()


class Aged(Locked):
    """Takes the age of the lock from the time of its file."""

    name = "aged"

    def is_expired(self, path: Path) -> bool:
        return path.exists() and time.time() - path.stat().st_mtime > EXPIRY_S


class Touched(Locked):
    """The same, but asks the file system what time it is."""

    name = "touched"

    def is_expired(self, path: Path) -> bool:
        now = path.with_name(f"now-{os.getpid()}")
        now.write_text("now")
        age = now.stat().st_mtime - path.stat().st_mtime if path.exists() else 0.0
        now.unlink()
        return age > EXPIRY_S

    def read(self, path: Path) -> dict[str, str]:
        try:
            pairs: dict[str, str] = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        return pairs


class Racing(Locked):
    """Takes no lock at all, and looks at the clock all the same."""

    name = "racing"

    def lock(self, store: Path) -> None:
        time.time()

    def unlock(self, store: Path) -> None:
        return None


class Oversleeps(Locked):
    """Sleeps until an hour that the wall clock tells, once the lock is free again."""

    name = "oversleeps"

    def lock(self, store: Path) -> None:
        hour = store.with_name("hour")
        ends = float(hour.read_text()) if hour.exists() else 0.0
        hour.write_text(str(time.time()))
        time.sleep(max(0.0, ends - time.time()))

    def unlock(self, store: Path) -> None:
        return None
