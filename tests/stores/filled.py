"""Tables that several processes share, and what they do when the disk is full for one of them."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from harness import KEY_VALUE, Contract, Get, Put


class Table:
    """Read and replaced whole under a lock of the kernel's; what failed leaves nothing behind."""

    name = "table"
    model: Any = KEY_VALUE
    contract = Contract(power_loss=None, corruption=None, writers="processes")
    operations = (Put, Get)

    def open(self, directory: Path) -> Any:
        self.descriptor = -1
        self.path = directory / "table"
        return self.path

    def apply(self, store: Path, operation: Any) -> Any:
        if isinstance(operation, Get):
            return self.read().get(operation.key)
        self.lock()
        try:
            self.change({**self.read(), operation.key: operation.value})
        except BaseException:
            self.failed()
            raise
        self.unlock()
        return None

    def change(self, items: dict[str, str]) -> None:
        beside = self.path.with_name(f"table-{os.getpid()}")
        beside.write_text(json.dumps(items))
        os.replace(beside, self.path)

    def failed(self) -> None:
        self.unlock()

    def lock(self) -> None:
        self.descriptor = os.open(self.path.with_name("lock"), os.O_CREAT | os.O_RDWR)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def unlock(self) -> None:
        os.close(self.descriptor)

    def read(self) -> dict[str, str]:
        items: dict[str, str] = json.loads(self.path.read_text()) if self.path.exists() else {}
        return items

    def snapshot(self, store: Path) -> Any:
        return self.read()

    def close(self, store: Path) -> None:
        return None


class Restoring(Table):
    """Puts back what it read when it was opened, whoever wrote since then."""

    name = "restoring"

    def open(self, directory: Path) -> Any:
        path = super().open(directory)
        self.backup = self.read()
        return path

    def failed(self) -> None:
        try:
            with open(self.path, "r+") as table:
                table.write(json.dumps(self.backup))
                table.truncate()
        finally:
            super().failed()


class Clinging(Table):
    """Forgets to let go of the lock, until it is asked for the next change."""

    name = "clinging"

    def failed(self) -> None:
        return None

    def lock(self) -> None:
        if self.descriptor < 0:
            super().lock()

    def unlock(self) -> None:
        super().unlock()
        self.descriptor = -1


class LockFile(Table):
    """A lock that is a file, which is left behind; whoever finds one raises."""

    name = "lock-file"

    def failed(self) -> None:
        return None

    def lock(self) -> None:
        os.close(os.open(self.path.with_name("lock"), os.O_CREAT | os.O_EXCL))

    def unlock(self) -> None:
        self.path.with_name("lock").unlink()


class ClearsUp(LockFile):
    """The same, but its own lock goes when the store is closed."""

    name = "clears-up"

    def open(self, directory: Path) -> Any:
        self.left = False
        return super().open(directory)

    def failed(self) -> None:
        self.left = True

    def close(self, store: Path) -> None:
        if self.left:
            self.unlock()


class Barred(LockFile):
    """Can't even be opened as long as the lock is there."""

    name = "barred"

    def open(self, directory: Path) -> Any:
        if (directory / "lock").exists():
            raise OSError("locked")
        return super().open(directory)


class Swallowing(Table):
    """Takes no notice of what fails."""

    name = "swallowing"

    def apply(self, store: Path, operation: Any) -> Any:
        try:
            return super().apply(store, operation)
        except OSError:
            return None


class Racing(Table):
    """Takes no lock."""

    name = "racing"

    def lock(self) -> None:
        return None

    unlock = lock
