"""Small stores that do something wrong, or right, when a call fails."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
import weakref
from pathlib import Path
from typing import Any

from harness import DOCUMENT, KEY_VALUE, LOG, Append, Contract, Delete, Get, Load, Put, Read, Save, Sync

MAX_LOSS = Contract(power_loss_models=("max-loss",))


class Documents:
    """Replaces a document atomically and durably, raises whatever fails, and cleans nothing up."""

    name = "documents"
    model = DOCUMENT
    contract = Contract()
    operations = (Save, Load)

    def open(self, directory: Path) -> Path:
        return directory

    def close(self, store: Path) -> None:
        return None

    def snapshot(self, store: Path) -> Any:
        return self.load(store)

    def apply(self, store: Path, operation: Any) -> Any:
        match operation:
            case Save(document):
                self.save(store, json.dumps(document).encode())
                return None
        return self.load(store)

    def load(self, store: Path) -> Any:
        try:
            return json.loads((store / "document").read_bytes())
        except FileNotFoundError:
            return None

    def save(self, store: Path, data: bytes) -> None:
        descriptor = os.open(store / "new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            self.write(descriptor, data)
            self.sync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(store / "new", store / "document")
        self.sync_directory(store)

    def write(self, descriptor: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def sync_directory(self, store: Path) -> None:
        descriptor = os.open(store, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class ShortWrites(Documents):
    """Does not look at what a write took."""

    def write(self, descriptor: int, data: bytes) -> None:
        os.write(descriptor, data)


class SwallowedSync(Documents):
    """Does not want to hear of a sync that failed."""

    def sync(self, descriptor: int) -> None:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)


class RetriedOnce(Documents):
    """A write that fails is tried once more, at the same place: bounded, and sound."""

    def write(self, descriptor: int, data: bytes) -> None:
        try:
            super().write(descriptor, data)
        except OSError:
            os.lseek(descriptor, 0, os.SEEK_SET)
            super().write(descriptor, data)


class AnyErrorIsEmpty(Documents):
    """Shows no document where it could not read one."""

    def load(self, store: Path) -> Any:
        try:
            return json.loads((store / "document").read_bytes())
        except OSError:
            return None


class Table:
    """A table in memory, loaded when it is opened and saved whole."""

    name = "table"
    model = KEY_VALUE
    contract = Contract()
    operations = (Put, Delete, Get)

    def open(self, directory: Path) -> dict[str, Any]:
        self.documents, self.directory = Documents(), directory
        return self.documents.load(directory) or {}

    def close(self, store: Any) -> None:
        return None

    def snapshot(self, store: Any) -> dict[str, str]:
        return dict(store)

    def apply(self, store: Any, operation: Any) -> Any:
        changed = dict(store)
        match operation:
            case Get(key):
                return store.get(key)
            case Put(key, value):
                changed[key] = value
            case Delete(key):
                changed.pop(key, None)
        self.documents.save(self.directory, json.dumps(changed).encode())
        store.clear()
        store.update(changed)
        return None


class EagerTable(Table):
    """Changes the table before it is saved, and answers from it: what failed is seen, and gone at the next opening."""

    def apply(self, store: Any, operation: Any) -> Any:
        match operation:
            case Get(key):
                return store.get(key)
            case Put(key, value):
                store[key] = value
            case Delete(key):
                store.pop(key, None)
        self.documents.save(self.directory, json.dumps(store).encode())
        return None


class CarefulEagerTable(EagerTable):
    """Changes the table before it is saved, and answers from it; what failed is saved when it is closed."""

    def close(self, store: Any) -> None:
        self.documents.save(self.directory, json.dumps(store).encode())


class Log:
    """Lines in one file; a line that fails is taken back, or the log refuses all others."""

    name = "log"
    model = LOG
    contract = MAX_LOSS
    operations = (Append, Read)

    def open(self, directory: Path) -> Any:
        path = directory / "log"
        new = not path.exists()
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self.sick = False
        if new:
            Documents().sync_directory(directory)
        return self.file

    def close(self, store: Any) -> None:
        os.close(store)

    def lines(self, store: Any) -> list[str]:
        data = os.pread(store, 1 << 20, 0)
        lines = (line.strip(b"\0").decode() for line in data.split(b"\n")[:-1])
        return [line for line in lines if line]

    def snapshot(self, store: Any) -> list[str]:
        return self.lines(store)

    def apply(self, store: Any, operation: Any) -> Any:
        match operation:
            case Read(start):
                return self.lines(store)[start:]
            case Append(record):
                self.append(store, record.encode() + b"\n")
        return None

    def append(self, store: Any, line: bytes) -> None:
        if self.sick:
            raise RuntimeError("an append failed: reopen the log")
        end = os.fstat(store).st_size
        try:
            self.write(store, line)
            os.fsync(store)
        except OSError:
            self.sick = True
            os.ftruncate(store, end)
            raise

    def write(self, store: Any, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(store, rest) :]


class FlushedLater(Log):
    """Answers from memory; a line whose write or sync failed stays in the buffer, and goes with the next one."""

    def open(self, directory: Path) -> Any:
        store = super().open(directory)
        self.known, self.waiting = Log.lines(self, store), b""
        return store

    def lines(self, store: Any) -> list[str]:
        return list(self.known)

    def append(self, store: Any, line: bytes) -> None:
        self.waiting += line
        end = os.fstat(store).st_size
        try:
            self.write(store, self.waiting)
            os.fsync(store)
        except OSError:
            os.ftruncate(store, end)
            raise
        self.known.extend(self.waiting.decode().splitlines())
        self.waiting = b""


class Refusing(Log):
    """Answers from memory, and refuses every other line when one failed, of which the next opening may find all."""

    def open(self, directory: Path) -> Any:
        store = super().open(directory)
        data = os.pread(store, 1 << 20, 0)
        os.ftruncate(store, data.rfind(b"\n") + 1)
        self.known = Log.lines(self, store)
        return store

    def lines(self, store: Any) -> list[str]:
        return list(self.known)

    def append(self, store: Any, line: bytes) -> None:
        if self.sick:
            raise RuntimeError("an append failed: reopen the log")
        try:
            self.write(store, line)
            os.fsync(store)
        except OSError:
            self.sick = True
            raise
        self.known.append(line.decode().strip())


class PatientLog(Log):
    """Tries a sync that failed again, and believes it."""

    def append(self, store: Any, line: bytes) -> None:
        self.write(store, line)
        try:
            os.fsync(store)
        except OSError:
            os.fsync(store)


class SyncsOnDemand(Log):
    """Lines that are owed after a `Sync`; once that has failed, the log takes nothing before it is opened again."""

    contract = Contract(
        process_crash="acknowledged", power_loss="synced", power_loss_models=("max-loss",), corruption=None
    )
    operations = (Append, Sync)

    def apply(self, store: Any, operation: Any) -> Any:
        if self.sick:
            raise RuntimeError("a sync failed: reopen the log")
        if isinstance(operation, Sync):
            self.sync(store)
        else:
            self.write(store, operation.record.encode() + b"\n")

    def sync(self, store: Any) -> None:
        try:
            os.fsync(store)
        except OSError:
            self.sick = True
            raise


class SyncsOnceMore(SyncsOnDemand):
    """Whoever is told that a sync failed may ask for another one, which only looks as if it had worked."""

    def sync(self, store: Any) -> None:
        os.fsync(store)


class TwiceWritten(Log):
    """Writes a line again when its write failed, though it may have taken effect."""

    def write(self, store: Any, line: bytes) -> None:
        try:
            os.write(store, line)
        except OSError:
            os.write(store, line)


class Buffered:
    """Keeps records in memory and writes them when it is closed, or every third time; its users are told."""

    name = "buffered"
    model = LOG
    contract = Contract(process_crash="prefix", power_loss="prefix")
    operations = (Append,)

    def open(self, directory: Path) -> Any:
        self.directory = directory
        with contextlib.suppress(FileNotFoundError):
            return (directory / "log").read_text().splitlines()
        return []

    def close(self, store: Any) -> None:
        self.flush(store)

    def snapshot(self, store: Any) -> list[str]:
        return list(store)

    def apply(self, store: Any, operation: Any) -> None:
        store.append(operation.record)
        if len(store) % 3 == 0:
            self.flush(store)

    def flush(self, store: Any) -> None:
        Documents().save(self.directory, "".join(f"{record}\n" for record in store).encode())
        os.replace(self.directory / "document", self.directory / "log")


class SilentlyBuffered(Buffered):
    """The same, but what fails when it is closed is not told."""

    def close(self, store: Any) -> None:
        with contextlib.suppress(OSError):
            self.flush(store)


class NeverSynced(Documents):
    """Broken whatever fails: it syncs nothing that matters, though it calls fsync."""

    def sync_directory(self, store: Path) -> None:
        return None


# --- what only a second failure shows ---------------------------------------------------------------


class WedgedByCleaning(Documents):
    """Removes its temporary file after an error; one that is there when it is opened must be another writer's."""

    name = "wedged by cleaning"

    def open(self, directory: Path) -> Path:
        if (directory / "new").exists():
            raise RuntimeError("somebody else is writing")
        return directory

    def save(self, store: Path, data: bytes) -> None:
        try:
            super().save(store, data)
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(store / "new")
            raise


class CleanedLater(WedgedByCleaning):
    """What could not be removed is removed when the store is opened."""

    name = "cleaned later"

    def open(self, directory: Path) -> Path:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(directory / "new")
        return directory


class LostInBetween(Documents):
    """If neither the new document nor the old one gets to its place, there is none."""

    name = "lost in between"

    def save(self, store: Path, data: bytes) -> None:
        (store / "new").write_bytes(data)
        old = (store / "document").exists()
        if old:
            os.rename(store / "document", store / "old")
        try:
            os.replace(store / "new", store / "document")
        except OSError:
            if old:
                os.link(store / "old", store / "document")
            raise

    def load(self, store: Path) -> Any:
        with contextlib.suppress(FileNotFoundError):
            return json.loads((store / "document").read_bytes())
        return None


class FoundInBetween(LostInBetween):
    """The same, but whoever finds no document looks where the old one was put."""

    name = "found in between"

    def load(self, store: Path) -> Any:
        for name in ("document", "old"):
            with contextlib.suppress(FileNotFoundError):
                return json.loads((store / name).read_bytes())
        return None


# --- locks that others have -------------------------------------------------------------------------


class Locked(Documents):
    """Takes a lock for every change, and waits for it as long as it takes."""

    name = "locked"

    def save(self, store: Path, data: bytes) -> None:
        self.lock = os.open(store / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while not self.try_lock(self.lock):
                self.wait()
            super().save(store, data)
        finally:
            os.close(self.lock)

    def try_lock(self, lock: int) -> bool:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait(self) -> None:
        time.sleep(0.01)


class LockedOut(Locked):
    """Takes a lock to open, and gives it back only if the document can be read."""

    def open(self, directory: Path) -> Path:
        self.lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.look(directory)
        return directory

    def look(self, directory: Path) -> None:
        self.load(directory)

    def save(self, store: Path, data: bytes) -> None:
        Documents.save(self, store, data)

    def close(self, store: Path) -> None:
        os.close(self.lock)


class LetIn(LockedOut):
    """Does it right."""

    def look(self, directory: Path) -> None:
        try:
            self.load(directory)
        except BaseException:
            os.close(self.lock)
            raise


class LockedInTime(Locked):
    """Waits for two seconds, and says so."""

    def wait(self) -> None:
        time.sleep(2.0)
        raise TimeoutError(errno.ETIMEDOUT, "the lock was not free in time")


class LockedOrLost(Locked):
    """Does nothing while the lock is taken, and does not say so."""

    def save(self, store: Path, data: bytes) -> None:
        lock = os.open(store / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if self.try_lock(lock):
                Documents.save(self, store, data)
        finally:
            os.close(lock)


# --- children ---------------------------------------------------------------------------------------


_living: weakref.WeakSet[Any] = weakref.WeakSet()


class Forgetting(Locked):
    """A child that is forked lets go of the lock by closing it, and touches nothing else."""

    lock = -1

    def open(self, directory: Path) -> Path:
        self.directory = directory
        _living.add(self)
        return directory

    def save(self, store: Path, data: bytes) -> None:
        try:
            super().save(store, data)
        finally:
            self.lock = -1

    def in_child(self) -> None:
        os.close(self.lock)


class Meddling(Forgetting):
    """A child takes what it finds for its own leftovers, and removes it."""

    def in_child(self) -> None:
        (self.directory / "document").unlink(missing_ok=True)


def _in_child() -> None:
    for store in list(_living):
        if store.lock >= 0:
            store.in_child()


os.register_at_fork(after_in_child=_in_child)


# --- files elsewhere --------------------------------------------------------------------------------


class Configured(Documents):
    """The name of the document is that of the program, which the system is asked for."""

    def name_of(self) -> str:
        return Path("/proc/self/comm").read_text().strip().replace("/", "_")

    def load(self, store: Path) -> Any:
        try:
            return json.loads((store / self.name_of()).read_bytes())
        except FileNotFoundError:
            return None

    def save(self, store: Path, data: bytes) -> None:
        name = self.name_of()
        super().save(store, data)
        os.replace(store / "document", store / name)


class Misconfigured(Configured):
    """Another name where the system does not answer."""

    def name_of(self) -> str:
        with contextlib.suppress(OSError):
            return super().name_of()
        return "default"
