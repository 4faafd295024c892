"""A table that several processes change in turn, under a lock file that expires.

Defect: when the lock expires is measured on the wall clock. A holder who was slow for a moment, while the clock was
set forward, has lost the lock without knowing.

What goes wrong: two writers read the same table, and the change of one of them is overwritten.
"""

from __future__ import annotations

import json
import os
import time
import uuid
import zlib
from pathlib import Path

from harness import KEY_VALUE, Contract, Delete, Get, Put

LEASE_S = 30.0
TIMEOUT_S = 8.0
POLL_S = 0.002

_held: set[str] = set()  # tokens of this process: what it left behind after an error is not held


class LockTimeout(Exception):
    """Somebody else held the lock for too long."""


class LeaseFile:
    """A lock file with the holder's process and the time at which it expires."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._token = ""

    def __enter__(self) -> LeaseFile:
        waited_since = time.monotonic()
        while not self._take():
            if not self._is_alive():
                self._path.unlink(missing_ok=True)
            elif time.monotonic() - waited_since > TIMEOUT_S:
                raise LockTimeout(f"{self._path} is held")
            else:
                time.sleep(POLL_S)
        return self

    def _take(self) -> bool:
        token = uuid.uuid4().hex
        temporary = self._path.with_name(f"lock-{token}")
        lease = {"pid": os.getpid(), "token": token, "expires": time.time() + LEASE_S}  # <- call site
        _held.add(token)
        try:
            try:
                temporary.write_text(json.dumps(lease))
                os.link(temporary, self._path)  # atomic: a lock is never seen without its content
            finally:
                temporary.unlink(missing_ok=True)
        except BaseException as error:
            _held.discard(token)
            if isinstance(error, FileExistsError):
                return False
            raise
        self._token = token
        return True

    def _is_alive(self) -> bool:
        """Whether the holder may still be at work. An unreadable lock was left by a machine that went down."""
        try:
            lease = json.loads(self._path.read_bytes())
            pid, token, expires = lease["pid"], lease["token"], lease["expires"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return False
        if time.time() > expires:  # <- call site
            return False
        if pid == os.getpid():
            return token in _held
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        return True

    def __exit__(self, *details: object) -> None:
        _held.discard(self._token)
        try:
            if json.loads(self._path.read_bytes())["token"] == self._token:
                self._path.unlink()
        except FileNotFoundError:
            pass


class SharedTable:
    """A mapping from text to text in one file, read and replaced whole under the lock."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "table"

    def load(self) -> dict[str, str]:
        """The table. Raises `ValueError` for a damaged one."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        if len(data) < 4 or data[:4] != zlib.crc32(data[4:]).to_bytes(4, "big"):
            raise ValueError(f"{self._path} is damaged")
        items: dict[str, str] = json.loads(data[4:])
        return items

    def change(self, key: str, value: str | None) -> None:
        """Set one key, or remove it if `value` is `None`; durable when it returns."""
        with LeaseFile(self._directory):
            items = {name: text for name, text in self.load().items() if name != key}
            self._publish(items if value is None else {**items, key: value})

    def _publish(self, items: dict[str, str]) -> None:
        body = json.dumps(items).encode()
        temporary = self._directory / f"table-{os.getpid()}"
        with temporary.open("wb") as out:
            out.write(zlib.crc32(body).to_bytes(4, "big") + body)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(self._path)
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Adapter:
    """Claims what it would keep if expiry went by the monotonic clock."""

    name = "d41-lock-expiry-by-wall-clock"
    model = KEY_VALUE
    contract = Contract(writers="processes")
    operations = (Put, Delete, Get)

    def open(self, directory: Path) -> SharedTable:
        return SharedTable(directory)

    def apply(self, store: SharedTable, operation: object) -> str | None:
        match operation:
            case Put(key, value):
                store.change(key, value)
            case Delete(key):
                store.change(key, None)
            case Get(key):
                return store.load().get(key)
            case _:
                raise TypeError(f"not an operation of this store: {operation!r}")
        return None

    def snapshot(self, store: SharedTable) -> dict[str, str]:
        return store.load()

    def close(self, store: SharedTable) -> None:
        """Nothing stays open between calls."""
