"""Small tables that threads share under several locks: some take these in two orders, where it is hard to see."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock as MakeLock
from threading import RLock as MakeRLock
from typing import Any

from harness import KEY_VALUE, Compact, Contract, Delete, Get, Put, PutMany

#: A compaction comes at every so many changes: more than two clients make in a pair.
EVERY = 7


@dataclass
class Table:
    """What the threads share. `pairs` is replaced as a whole."""

    path: Path
    pairs: dict[str, str]
    table: Any
    file: Any
    changes: int = 0
    extra: dict[str, Any] = field(default_factory=dict)

    def change(self, operation: Any) -> None:
        match operation:
            case Put(key, value):
                self.pairs = {**self.pairs, key: value}
            case PutMany(items):
                self.pairs = {**self.pairs, **dict(items)}
            case Delete(key):
                self.pairs = {known: value for known, value in self.pairs.items() if known != key}
        self.changes += 1

    def write(self) -> None:
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps(self.pairs))
        os.replace(beside, self.path)


class Ordered:
    """Sound: the lock of the table, and then that of the file."""

    name = "ordered"
    model: Any = KEY_VALUE
    contract = Contract(power_loss=None, io_error=None, corruption=None, writers="threads")
    operations = (Put, Delete, Get)

    def locks(self) -> tuple[Any, Any]:
        return threading.Lock(), threading.Lock()

    def open(self, directory: Path) -> Table:
        path = directory / "table"
        return Table(path, json.loads(path.read_text()) if path.exists() else {}, *self.locks())

    def apply(self, store: Table, operation: Any) -> Any:
        if isinstance(operation, Get):
            return store.pairs.get(operation.key)
        if isinstance(operation, Compact):
            return self.compact(store)
        return self.change(store, operation)

    def change(self, store: Table, operation: Any) -> None:
        with store.table:
            store.change(operation)
            with store.file:
                store.write()

    def compact(self, store: Table) -> None:
        with store.table, store.file:
            store.write()

    def snapshot(self, store: Table) -> dict[str, str]:
        return dict(store.pairs)

    def close(self, store: Table) -> None:
        """Everything is in the file."""


# --- two orders -------------------------------------------------------------------------------------


class CompactsOnDemand(Ordered):
    """Defect: an operation that no two clients do at once takes the locks the other way round."""

    name = "compacts-on-demand"
    operations = (Put, Delete, Get, Compact)

    def compact(self, store: Table) -> None:
        with store.file:
            with store.table:  # <- two orders
                store.write()


class Ring(Ordered):
    """Defect: putting, removing and compacting each take two of three locks, and no two of them are at odds."""

    name = "ring"
    operations = (Put, Delete, Get, Compact)

    def open(self, directory: Path) -> Table:
        store = super().open(directory)
        store.extra.update(index=threading.Lock(), writing=threading.Lock())
        return store

    def change(self, store: Table, operation: Any) -> None:
        removes = isinstance(operation, Delete)
        with store.file if removes else store.table:
            with store.extra["index"] if removes else store.file:
                with store.extra["writing"]:
                    store.change(operation)
                    store.write()

    def compact(self, store: Table) -> None:
        with store.extra["index"], store.table:
            """There is nothing to write."""


class BoundByName(CompactsOnDemand):
    """Defect: the same with makers of locks that have another name in this module."""

    name = "bound-by-name"

    def locks(self) -> tuple[Any, Any]:
        return MakeLock(), MakeRLock()


class CompactsNowAndThen(Ordered):
    """Defect: so does a change now and then, when it has been made."""

    name = "compacts-now-and-then"

    def change(self, store: Table, operation: Any) -> None:
        super().change(store, operation)
        if store.changes % EVERY == 0:
            with store.file:
                with store.table:  # <- two orders
                    store.write()


class Helps(Ordered):
    """Defect: who finds another one on the way to its change, which has noticed that, takes the locks in another order.

    That takes three switches: the first must have begun when the second looks, go on when the second has begun, and
    stop between its two locks.
    """

    name = "helps"

    def open(self, directory: Path) -> Table:
        store = super().open(directory)
        store.extra = {"begun": set(), "noticed": False, "notes": threading.Lock()}
        return store

    def note(self, store: Table, what: str) -> bool:
        """A step, and whether the others have got as far."""
        with store.extra["notes"]:
            me = threading.get_ident()
            if what == "begin":
                store.extra["begun"].add(me)
            if what == "notice" and len(store.extra["begun"]) > 1:
                store.extra["noticed"] = True
            return bool(store.extra["noticed"])

    def change(self, store: Table, operation: Any) -> None:
        before = self.note(store, "begin")
        first = len(store.extra["begun"]) == 1
        noticed = self.note(store, "notice" if first else "look")
        inverted = noticed and not first and not before
        with store.file if inverted else store.table:
            with store.table if inverted else store.file:  # <- two orders
                store.change(operation)
                store.write()
        store.extra["begun"].discard(threading.get_ident())


class LocksAFile(Ordered):
    """Defect: the second lock is one of the kernel's, and compaction takes it first."""

    name = "locks-a-file"
    operations = (Put, Delete, Get, Compact)

    def lock(self, descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # <- two orders

    @contextmanager
    def locked(self, store: Table) -> Iterator[None]:
        descriptor = os.open(store.path.with_name("lock"), os.O_RDWR | os.O_CREAT)
        try:
            self.lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def change(self, store: Table, operation: Any) -> None:
        with store.table, self.locked(store):
            store.change(operation)
            store.write()

    def compact(self, store: Table) -> None:
        with self.locked(store), store.table:
            store.write()


# --- one order, or as good as that --------------------------------------------------------------------


class Reentrant(Ordered):
    """Sound: whoever has the lock of the table takes it once more under that of the file."""

    name = "reentrant"
    operations = (Put, Delete, Get, Compact)

    def locks(self) -> tuple[Any, Any]:
        return threading.RLock(), threading.RLock()

    def change(self, store: Table, operation: Any) -> None:
        with store.table, store.file, store.table:
            store.change(operation)
            store.write()


class Gated(CompactsOnDemand):
    """Sound: nobody takes any of the two without a third."""

    name = "gated"

    def open(self, directory: Path) -> Table:
        store = super().open(directory)
        store.extra["gate"] = threading.Lock()
        return store

    def apply(self, store: Table, operation: Any) -> Any:
        with store.extra["gate"]:
            return super().apply(store, operation)


class BacksOff(Ordered):
    """Sound: who takes the lock of the file first does not wait for that of the table, or not for long."""

    name = "backs-off"
    operations = (Put, Delete, Get, Compact)
    limit_s = -1.0

    def compact(self, store: Table) -> None:
        with store.file:
            waits = self.limit_s >= 0
            if store.table.acquire(waits, self.limit_s):
                try:
                    store.write()
                finally:
                    store.table.release()


class BacksOffLater(BacksOff):
    """Sound: the same with a limit of time."""

    name = "backs-off-later"
    limit_s = 0.001


class Waits(CompactsOnDemand):
    """Sound: the two orders never meet, because all wait by a condition for the one who is at work."""

    name = "waits"

    def open(self, directory: Path) -> Table:
        store = super().open(directory)
        store.extra.update(condition=threading.Condition(), busy=False)
        return store

    def apply(self, store: Table, operation: Any) -> Any:
        condition = store.extra["condition"]
        with condition:
            while store.extra["busy"]:
                condition.wait()
            store.extra["busy"] = True
        try:
            return super().apply(store, operation)
        finally:
            with condition:
                store.extra["busy"] = False
                condition.notify()


class LocksARecord(LocksAFile):
    """Sound among threads: such a lock belongs to the process, and keeps none of them out (fcntl(2))."""

    name = "locks-a-record"

    def lock(self, descriptor: int) -> None:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)


class KeyByKey(Ordered):
    """Sound: every key has a lock of its own, made when it is used; batches take them in the order of the keys."""

    name = "key-by-key"
    operations = (Put, PutMany, Delete, Get)

    def ordered(self, operation: Any) -> list[str]:
        return sorted({key for key, _ in operation.items} if isinstance(operation, PutMany) else {operation.key})

    def change(self, store: Table, operation: Any) -> None:
        with store.table:
            locks = [store.extra.setdefault(key, threading.Lock()) for key in self.ordered(operation)]
        for lock in locks:
            lock.acquire()  # <- two orders, if the keys have
        try:
            with store.file:
                store.change(operation)
                store.write()
        finally:
            for lock in locks:
                lock.release()


class KeyByValue(KeyByKey):
    """Defect: a batch takes them in an order of its own."""

    name = "key-by-value"

    def ordered(self, operation: Any) -> list[str]:
        if not isinstance(operation, PutMany):
            return [operation.key]
        return [key for key, _ in sorted(operation.items, key=lambda item: item[1][::-1])]
