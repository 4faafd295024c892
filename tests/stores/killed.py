"""Small stores for kills: some lose data or stay locked when their process dies, others keep what they promise."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from harness import LOG, Append, Contract, Sync, Unsupported
from tests.stores.honest import KILLS, Sound, Tidy

PAGES = 3 * 4096


class Lines:
    """A log of lines of JSON; what stands behind the last whole line is cut when it is opened."""

    name = "lines"
    model: Any = LOG
    contract = KILLS
    buffering = 0

    def open(self, directory: Path) -> BinaryIO:
        path = directory / "log"
        path.touch()
        whole = path.read_bytes().rpartition(b"\n")
        if whole[2]:
            os.truncate(path, len(whole[0] + whole[1]))
        stream: BinaryIO = open(path, "ab", buffering=self.buffering)
        return stream

    def apply(self, store: BinaryIO, operation: Any) -> None:
        if isinstance(operation, Append):
            store.write(json.dumps(operation.record).encode() + b"\n")

    def snapshot(self, store: BinaryIO) -> list[str]:
        store.flush()
        return [json.loads(line) for line in Path(store.name).read_bytes().splitlines()]

    def close(self, store: BinaryIO) -> None:
        store.close()


class Buffered(Lines):
    """Acknowledges what is still in a buffer of the process: a kill loses it."""

    name = "buffered"
    buffering = PAGES


class Vectored(Lines):
    """Writes a whole line with one call of writev."""

    name = "vectored"

    def apply(self, store: BinaryIO, operation: Any) -> None:
        if isinstance(operation, Append):
            os.writev(store.fileno(), [json.dumps(operation.record).encode(), b"\n"])


class SyncedLines(Buffered):
    """Promises only what stood before a sync."""

    name = "synced-lines"
    contract = Contract(process_crash="synced", power_loss=None, io_error=None, corruption=None)
    operations = (Append, Sync)

    def apply(self, store: BinaryIO, operation: Any) -> None:
        super().apply(store, operation)
        if isinstance(operation, Sync):
            store.flush()
            os.fsync(store.fileno())


class PidLock(Sound):
    """Takes a lock file that it finds for another process at work, and so never opens again after a kill."""

    name = "pid-lock"
    contract = KILLS

    def open(self, directory: Path) -> Path:
        os.close(os.open(directory / "lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        return super().open(directory)

    def close(self, store: Path) -> None:
        store.with_name("lock").unlink()


class LivingLock(PidLock):
    """Looks whether the process that left a lock file behind is still alive."""

    name = "living-lock"

    def open(self, directory: Path) -> Path:
        lock = directory / "lock"
        if lock.exists() and not self.alive(lock.read_text()):
            lock.unlink()
        own = directory / f"lock.{os.getpid()}"
        own.write_text(str(os.getpid()))
        try:
            os.link(own, lock)
        finally:
            own.unlink()
        return directory / "pairs.json"

    def alive(self, text: str) -> bool:
        try:
            os.kill(int(text), 0)
        except ProcessLookupError:
            return False
        return int(text) != os.getpid()


class WritesUnlocked(Sound):
    """Several processes may write, it says; but a writer that stands still comes back with what it had read."""

    name = "unlocked"
    contract = Contract(power_loss=None, io_error=None, corruption=None, writers="processes")


class WritesLocked(WritesUnlocked):
    """Reads, changes and writes under a lock that the kernel frees when its holder dies."""

    name = "locked"

    def apply(self, store: Path, operation: Any) -> None:
        with self.lock(store):
            super().apply(store, operation)

    @contextmanager
    def lock(self, store: Path) -> Iterator[None]:
        descriptor = os.open(store.with_name("lock"), os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class LeavesWriters(Sound):
    """Leaves a process behind that would write nonsense later, in a session of its own."""

    name = "leaves-writers"
    contract = KILLS

    def open(self, directory: Path) -> Path:
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.sigtimedwait({signal.SIGUSR1}, 60)  # by the real clock: sleeping takes no time where clocks go wrong
            (directory / "pairs.json").write_text("nonsense")
            os._exit(0)
        return super().open(directory)


class Picky(Sound):
    """Takes no empty key."""

    name = "picky"
    contract = KILLS

    def apply(self, store: Path, operation: Any) -> None:
        if not operation.key:
            raise Unsupported("empty key")
        super().apply(store, operation)


class Dies(Sound):
    """Ends its process by itself, without any fault."""

    name = "dies"
    contract = KILLS

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        os._exit(3)


class DiesRecovering(Sound):
    """Ends the process that opens it where something is left to clean up."""

    name = "dies-recovering"
    contract = KILLS

    def open(self, directory: Path) -> Path:
        if (directory / "pairs.new").exists():
            os._exit(3)
        return super().open(directory)




class Wavering(Tidy):
    """Completes what a kill interrupted, but drops it where the completion is interrupted too."""

    name = "wavering"
    contract = KILLS

    def finish(self, beside: Path, path: Path) -> None:
        doubtful = beside.with_name("pairs.doubtful")
        text = beside.read_text(encoding="utf-8")
        os.replace(beside, doubtful)
        if text.endswith("}"):
            os.replace(doubtful, path)


class SwallowsErrors(Sound):
    """Takes a write that failed for done."""

    name = "swallows-errors"
    contract = Contract(power_loss=None, corruption=None)

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        try:
            super().write(path, pairs)
        except OSError:
            return


class NeverLooksBack(Vectored):
    """Does not look how much a write has written."""

    name = "never-looks-back"
    contract = Contract(power_loss=None, corruption=None)


class Careful(Sound):
    """The sound store; what fails is said, and what is said is kept."""

    name = "careful"
    contract = Contract(power_loss=None, corruption=None)
