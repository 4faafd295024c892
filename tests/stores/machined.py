"""Small stores for programs of operations and faults: one that keeps every promise, and some that break one each."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from harness import KEY_VALUE, Contract, Delete, Put
from tests.stores.honest import sync_directory

ALL = Contract()
IO = Contract(process_crash=None, power_loss="acknowledged", corruption=None)
KILLS = Contract(power_loss=None, io_error=None, corruption=None)
DAMAGE = Contract(process_crash=None, power_loss=None, io_error=None)


class Damaged(Exception):
    """The checksum does not fit."""


class Careful:
    """Pairs in one file with a checksum, written beside, synced, renamed, the directory synced."""

    name = "careful"
    model: Any = KEY_VALUE
    contract = ALL

    def open(self, directory: Path) -> Path:
        path = directory / "pairs"
        self.read(path)
        return path

    def apply(self, store: Path, operation: Any) -> None:
        pairs = self.read(store)
        match operation:
            case Put(key, value):
                pairs[key] = value
            case Delete(key):
                pairs.pop(key, None)
        self.write(store, pairs)

    def snapshot(self, store: Path) -> Any:
        return self.read(store)

    def close(self, store: Path) -> None:
        return None

    def read(self, path: Path) -> dict[str, str]:
        if not path.exists():
            return {}
        digest, _, body = path.read_bytes().partition(b"\n")
        self.check(digest, body)
        pairs: dict[str, str] = json.loads(body)
        return pairs

    def check(self, digest: bytes, body: bytes) -> None:
        if hashlib.sha256(body).hexdigest().encode() != digest:
            raise Damaged

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        body = json.dumps(pairs).encode()
        beside = path.with_name("new")
        with open(beside, "wb") as stream:
            stream.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
            stream.flush()
            self.sync(stream.fileno())
        os.replace(beside, path)
        self.sync_names(path.parent)

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def sync_names(self, directory: Path) -> None:
        sync_directory(directory)


class NoDirectorySync(Careful):
    """Leaves it to the file system when a name is durable."""

    contract = Contract(process_crash=None, io_error=None, corruption=None)

    def sync_names(self, directory: Path) -> None:
        return None


class SwallowsSync(Careful):
    """Takes a failed fsync of the directory for a good one."""

    contract = IO

    def sync_names(self, directory: Path) -> None:
        try:
            super().sync_names(directory)
        except OSError:
            return


class SwallowsFull(Careful):
    """Says nothing when the disk is full."""

    contract = Contract(process_crash=None, power_loss=None, corruption=None)

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        try:
            super().write(path, pairs)
        except OSError:
            return


class Trusting(Careful):
    """Believes whatever the file holds."""

    contract = DAMAGE

    def read(self, path: Path) -> dict[str, str]:
        if not path.exists():
            return {}
        pairs = dict(line.split("=", 1) for line in path.read_text(errors="replace").splitlines() if "=" in line)
        return pairs

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        path.write_text("".join(f"{key}={value}\n" for key, value in pairs.items()))


class EndsWhenDamaged(Careful):
    """Ends its process over damage."""

    contract = DAMAGE

    def check(self, digest: bytes, body: bytes) -> None:
        try:
            super().check(digest, body)
        except Damaged:
            os._exit(3)


class Refuses(Careful):
    """Takes no key "k2", and never did: that is no fault of a crash."""

    contract = KILLS

    def apply(self, store: Path, operation: Any) -> None:
        if operation.key == "k2":
            raise ValueError("not this key")
        super().apply(store, operation)


class RefusesAfterCrash(Careful):
    """Writes nothing while a file of an interrupted operation lies about."""

    contract = KILLS

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        with open(path.with_name("busy"), "x"):
            super().write(path, pairs)
        os.unlink(path.with_name("busy"))


class Forgets(Careful):
    """Every second opening after an interrupted operation shows nothing."""

    contract = KILLS

    def open(self, directory: Path) -> Path:
        path = super().open(directory)
        if (directory / "new").exists():
            os.replace(directory / "new", path)
            os.truncate(path, 0)
        return path

    def check(self, digest: bytes, body: bytes) -> None:
        return None

    def read(self, path: Path) -> dict[str, str]:
        return super().read(path) if path.exists() and path.stat().st_size else {}


class Waits(Careful):
    """Waits for a lock file that a dead process left."""

    contract = KILLS

    def open(self, directory: Path) -> Path:
        while (directory / "lock").exists():
            time.sleep(0.01)
        (directory / "lock").touch()
        return super().open(directory)

    def close(self, store: Path) -> None:
        store.with_name("lock").unlink()


class Undone(Careful):
    """Can't open an empty directory."""

    def open(self, directory: Path) -> Path:
        raise OSError("never")
