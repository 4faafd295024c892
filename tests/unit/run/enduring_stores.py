"""Small stores for endurance runs: a log in one file, sound, and with a defect that only time or a kill shows."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path
from typing import Any, ClassVar

from harness import (
    DOCUMENT,
    KEY_VALUE,
    LOG,
    Append,
    Compact,
    Contract,
    Delete,
    Get,
    Limit,
    Put,
    PutMany,
    Sync,
    Unsupported,
)


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


class SoundLog:
    """Appends to one file. `kill_at` and `fail_at` are numbers of operations, `effect` tells whether these happen."""

    name = "sound-log"
    model = LOG
    contract = Contract()
    limits: ClassVar[tuple[Limit, ...]] = ()
    kill_at: ClassVar[int] = -1
    fail_at: ClassVar[frozenset[int]] = frozenset()
    effect: ClassVar[bool] = True
    applied: ClassVar[int] = 0

    def measured_operations(self, random: random.Random, count: int) -> list[Any]:
        return [Append(f"{random.randrange(10**9)}") for _ in range(count)]

    def open(self, directory: Path) -> Path:
        return directory / "log"

    def apply(self, store: Path, operation: Any) -> None:
        cls = type(self)
        number = cls.applied
        cls.applied += 1
        if number == self.kill_at and not self.effect:
            raise Killed
        if number in self.fail_at and not self.effect:
            raise OSError("no")
        self.do(store, operation)
        if number == self.kill_at:
            raise Killed
        if number in self.fail_at:
            raise OSError("late")

    def do(self, store: Path, operation: Any) -> None:
        if isinstance(operation, Append):
            with open(store, "a", encoding="utf-8") as file:
                file.write(json.dumps(operation.record) + "\n")

    def snapshot(self, store: Path) -> list[str]:
        lines = store.read_text(encoding="utf-8").splitlines() if store.exists() else []
        return [json.loads(line) for line in lines]

    def close(self, store: Path) -> None:
        pass


class ForgettingLog(SoundLog):
    """Has lost the last record, which was acknowledged, whenever it is opened again."""

    name = "forgetting-log"

    def open(self, directory: Path) -> Path:
        store = super().open(directory)
        kept = self.snapshot(store)[:-1]
        store.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
        return store


class PrefixLog(ForgettingLog):
    """The same, and its contract says so for kills. What was closed in order it keeps."""

    name = "prefix-log"
    contract = Contract(process_crash="prefix", power_loss="prefix")
    closed: ClassVar[bool] = False

    def open(self, directory: Path) -> Path:
        store = directory / "log" if type(self).closed else super().open(directory)
        type(self).closed = False
        return store

    def close(self, store: Path) -> None:
        type(self).closed = True


class SyncedLog(PrefixLog):
    """Keeps what a completed sync covers: every tenth operation is one."""

    name = "synced-log"
    contract = Contract(process_crash="synced", power_loss="synced")
    operations = (Append, Sync)

    def measured_operations(self, random: random.Random, count: int) -> list[Any]:
        return [Sync() if n % 10 == 9 else Append(f"{random.randrange(10**9)}") for n in range(count)]


class SwappingLog(SoundLog):
    """Swaps the first two records when it is opened: what no number of operations leads to."""

    name = "swapping-log"

    def open(self, directory: Path) -> Path:
        store = super().open(directory)
        records = self.snapshot(store)
        records[:2] = records[1::-1]
        store.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        return store


class UnopenableLog(SoundLog):
    """Can be opened once."""

    name = "unopenable-log"

    def open(self, directory: Path) -> Path:
        if (directory / "log").exists():
            raise ValueError("who wrote this?")
        return super().open(directory)


class ChoosyLog(SoundLog):
    """Takes only even numbers, and maintenance."""

    name = "choosy-log"
    operations = (Append, Compact)

    def do(self, store: Path, operation: Any) -> None:
        if isinstance(operation, Append) and int(operation.record) % 2:
            raise Unsupported("odd")
        super().do(store, operation)


class LimitedLog(SoundLog):
    """Promises what every machine can keep, and what none can."""

    name = "limited-log"
    limits = (
        Limit("descriptors", at_most=100),
        Limit("apply_p50_ms", at_most=60_000),
        Limit("growth_bytes_per_operation", at_most=10**9),
        Limit("throughput_per_s", at_least=0.001),
        Limit("open_ms", at_most=1),
    )


class LoadlessLog(SoundLog):
    """Gives no operation."""

    name = "loadless-log"

    def measured_operations(self, random: random.Random, count: int) -> list[Any]:
        return []


class RaisingLog(SoundLog):
    """Fails to give one."""

    name = "raising-log"

    def measured_operations(self, random: random.Random, count: int) -> list[Any]:
        return [Append("x" * (1 // (count - count)))]


class SharedLog(SoundLog):
    """The same for several threads."""

    name = "shared-log"
    contract = Contract(process_crash="acknowledged", writers="threads")
    _counting: ClassVar[threading.Lock] = threading.Lock()

    def apply(self, store: Path, operation: Any) -> None:
        with self._counting:
            super().apply(store, operation)


class ReplacingLog(SharedLog):
    """Two threads append at once, and both write where they have found the end: what one of them was told is gone.

    The first append of each waits for that of the other between reading and writing. From then on all is in order.
    """

    name = "replacing-log"
    together: ClassVar[threading.Barrier] = threading.Barrier(2)
    met: ClassVar[set[str]] = set()

    def apply(self, store: Path, operation: Any) -> None:
        caller = operation.record.partition("-")[0]
        if caller in self.met:
            super().apply(store, operation)
            return
        self.met.add(caller)
        found = store.read_bytes() if store.exists() else b""
        self.together.wait()
        with self._counting:
            store.write_bytes(found + json.dumps(operation.record).encode() + b"\n")
        self.together.wait()


class SharedMap(SharedLog):
    """Keys and values, as a log of what was set."""

    name = "shared-map"
    model = KEY_VALUE

    def measured_operations(self, random: random.Random, count: int) -> list[Any]:
        keys = [f"key {random.randrange(5)}" for _ in range(count)]
        made: list[Any] = [Delete(key) if n % 7 == 6 else Put(key, f"{n}") for n, key in enumerate(keys)]
        made[::5] = [PutMany(((key, "a"), ("other", key))) for key in keys[::5]]
        made[3::9] = [Get(key) for key in keys[3::9]]
        return made

    def do(self, store: Path, operation: Any) -> None:
        items: list[tuple[str, str | None]] = []
        match operation:
            case Put(key, value):
                items = [(key, value)]
            case PutMany(several):
                items = list(several)
            case Delete(key):
                items = [(key, None)]
        with open(store, "a", encoding="utf-8") as file:
            file.write("".join(json.dumps(item) + "\n" for item in items))

    def snapshot(self, store: Path) -> Any:
        found = dict(json.loads(line) for line in store.read_text().splitlines()) if store.exists() else {}
        return {key: value for key, value in found.items() if value is not None}


class ConfusedMap(SharedMap):
    """Has one key for all callers."""

    name = "confused-map"

    def do(self, store: Path, operation: Any) -> None:
        super().do(store, Put("0-key 1", operation.value) if isinstance(operation, Put) else operation)


class SharedDocument(SharedLog):
    """A model of which the operations can't be kept apart."""

    name = "shared-document"
    model = DOCUMENT
