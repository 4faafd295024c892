"""Stores that go wrong only after many operations, each with a sound twin.

`StaleTail` and `Epochs` keep pairs in a snapshot and a log of records, which is written from its start again after each
checkpoint. `Narrow` and `Serial` keep a document in two slots and know the newer one by a generation of one byte.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import DOCUMENT, KEY_VALUE, Delete, Put
from tests.stores.honest import CRASHES, sync_directory

HEADER = struct.Struct("<III")
SLOT_BYTES = 128 * 1024


@dataclass(slots=True)
class Pairs:
    directory: Path
    pairs: dict[str, str] = field(default_factory=dict)
    epoch: int = 0
    log: int = -1
    end: int = 0
    records: int = 0


class Epochs:
    """Every record carries the epoch of its checkpoint, and recovery ends at the first of another one."""

    name = "epochs"
    model = KEY_VALUE
    contract = CRASHES
    EVERY = 24  # records from one checkpoint to the next

    def open(self, directory: Path) -> Pairs:
        store = Pairs(directory)
        snapshot = directory / "snapshot.json"
        if snapshot.exists():
            kept = json.loads(snapshot.read_text(encoding="utf-8"))
            store.pairs, store.epoch = kept["pairs"], kept["epoch"]
        store.log = os.open(directory / "log", os.O_RDWR | os.O_CREAT)
        sync_directory(directory)
        self.replay(store)
        return store

    def apply(self, store: Pairs, operation: Any) -> None:
        changed = self.changed(store.pairs, operation)
        body = json.dumps([operation.key, getattr(operation, "value", None)]).encode()
        record = HEADER.pack(len(body), self.checksum(store, body), self.mark(store)) + body
        os.pwrite(store.log, record, store.end)
        os.fsync(store.log)
        store.pairs, store.end, store.records = changed, store.end + len(record), store.records + 1
        if store.records >= self.EVERY:
            self.checkpoint(store)

    def snapshot(self, store: Pairs) -> Any:
        return store.pairs

    def close(self, store: Pairs) -> None:
        os.close(store.log)

    def mark(self, store: Pairs) -> int:
        return store.epoch

    def checksum(self, store: Pairs, body: bytes) -> int:
        """With the place of the record: what a crash leaves behind the end may be a record of another place."""
        return zlib.crc32(HEADER.pack(store.end, len(body), self.mark(store)) + body)

    def changed(self, pairs: dict[str, str], operation: Any) -> dict[str, str]:
        match operation:
            case Put(key, value):
                return {**pairs, key: value}
            case Delete(key):
                return {known: value for known, value in pairs.items() if known != key}
        raise TypeError(operation)

    def checkpoint(self, store: Pairs) -> None:
        """A snapshot of all pairs; then the first record of the log is blotted out, and the rest is written over."""
        beside = store.directory / "snapshot.new"
        with open(beside, "w", encoding="utf-8") as stream:
            json.dump({"pairs": store.pairs, "epoch": store.epoch + 1}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, store.directory / "snapshot.json")
        sync_directory(store.directory)
        os.pwrite(store.log, bytes(HEADER.size), 0)
        os.fsync(store.log)
        store.epoch, store.end, store.records = store.epoch + 1, 0, 0

    def replay(self, store: Pairs) -> None:
        content = os.pread(store.log, 1 << 24, 0)
        while store.end + HEADER.size <= len(content):
            length, checksum, mark = HEADER.unpack_from(content, store.end)
            body = content[store.end + HEADER.size : store.end + HEADER.size + length]
            if not length or len(body) < length or self.checksum(store, body) != checksum or mark != self.mark(store):
                return
            key, value = json.loads(body)
            store.pairs = self.changed(store.pairs, Delete(key) if value is None else Put(key, value))
            store.end, store.records = store.end + HEADER.size + length, store.records + 1


class StaleTail(Epochs):
    """Without an epoch: where a record ends at the end of an older one, the older ones behind it are read as new."""

    name = "stale-tail"

    def mark(self, store: Pairs) -> int:
        return 0


@dataclass(slots=True)
class Slots:
    file: int
    document: Any = None
    generation: int = -1
    slot: int = 1


class Serial:
    """Generations are compared as serial numbers: the one that is less than half of all ahead is the newer."""

    name = "serial"
    model = DOCUMENT
    contract = CRASHES

    def open(self, directory: Path) -> Slots:
        store = Slots(os.open(directory / "slots", os.O_RDWR | os.O_CREAT))
        sync_directory(directory)
        for number in range(2):
            found = self.read(store, number)
            if found is not None and (store.generation < 0 or self.newer(found[0], store.generation)):
                (store.generation, store.document), store.slot = found, number
        return store

    def apply(self, store: Slots, operation: Any) -> None:
        generation, slot = (store.generation + 1) % 256, 1 - store.slot
        body = json.dumps(operation.document).encode()
        sealed = bytes((generation,)) + body
        os.pwrite(store.file, HEADER.pack(len(body), zlib.crc32(sealed), generation) + body, slot * SLOT_BYTES)
        os.fsync(store.file)
        store.document, store.generation, store.slot = json.loads(body), generation, slot

    def snapshot(self, store: Slots) -> Any:
        return store.document

    def close(self, store: Slots) -> None:
        os.close(store.file)

    def newer(self, generation: int, other: int) -> bool:
        return 0 < (generation - other) % 256 < 128

    def read(self, store: Slots, number: int) -> Any:
        content = os.pread(store.file, SLOT_BYTES, number * SLOT_BYTES)
        if len(content) < HEADER.size:
            return None
        length, checksum, generation = HEADER.unpack_from(content)
        body = content[HEADER.size : HEADER.size + length]
        if not length or zlib.crc32(bytes((generation % 256,)) + body) != checksum:
            return None
        return generation, json.loads(body)


class Narrow(Serial):
    """The greater generation is taken for the newer one, also after 255."""

    name = "narrow"

    def newer(self, generation: int, other: int) -> bool:
        return generation > other
