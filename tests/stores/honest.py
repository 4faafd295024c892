"""Small stores that hide nothing: one keeps its promises, the others lose data in plain sight."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness import KEY_VALUE, Contract, Delete, Put

CRASHES = Contract(io_error=None, corruption=None)
KILLS = Contract(power_loss=None, io_error=None, corruption=None)


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Sound:
    """All pairs in one JSON file, which is written beside, synced and renamed."""

    name = "sound"
    model: Any = KEY_VALUE
    contract = CRASHES

    def open(self, directory: Path) -> Path:
        return directory / "pairs.json"

    def apply(self, store: Path, operation: Any) -> None:
        self.write(store, self.changed(self.read(store), operation))

    def snapshot(self, store: Path) -> Any:
        return self.read(store)

    def close(self, store: Path) -> None:
        return None

    def read(self, path: Path) -> dict[str, str]:
        pairs: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return pairs

    def changed(self, pairs: dict[str, str], operation: Any) -> dict[str, str]:
        match operation:
            case Put(key, value):
                return {**pairs, key: value}
            case Delete(key):
                return {known: value for known, value in pairs.items() if known != key}
        raise TypeError(operation)

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        beside = path.with_name("pairs.new")
        with open(beside, "w", encoding="utf-8") as stream:
            json.dump(pairs, stream)
            stream.flush()
            self.sync(stream.fileno())
        os.replace(beside, path)
        sync_directory(path.parent)

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)


class InPlace(Sound):
    """Overwrites its only copy: a kill between truncation and write leaves an empty file."""

    name = "in-place"
    contract = KILLS

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        path.write_text(json.dumps(pairs), encoding="utf-8")


class NoSync(Sound):
    """Renames what was never synced: only a loss of power shows it."""

    name = "no-sync"

    def sync(self, descriptor: int) -> None:
        return None


class Tidy(Sound):
    """Removes what a crash left over when it opens: its recovery writes."""

    name = "tidy"

    def open(self, directory: Path) -> Path:
        beside = directory / "pairs.new"
        if beside.exists():
            self.finish(beside, directory / "pairs.json")
        return super().open(directory)

    def finish(self, beside: Path, path: Path) -> None:
        beside.unlink()


class RepairsBadly(Tidy):
    """Completes what a crash interrupted, in place and without a second copy: only a second crash shows it."""

    name = "repairs-badly"
    contract = KILLS

    def finish(self, beside: Path, path: Path) -> None:
        text = beside.read_text(encoding="utf-8")
        beside.unlink()
        if text.endswith("}"):
            path.write_text(text, encoding="utf-8")
