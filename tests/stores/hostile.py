"""Stores that do what a store under test should not do: hide, hang, fork, exit, or watch who looks."""

from __future__ import annotations

import ctypes
import json
import locale
import mmap
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from os import fsync
from pathlib import Path
from typing import Any

from harness import Delete, Put, Unsupported
from tests.stores.honest import KILLS, InPlace, Sound, Tidy, sync_directory


def lossy_write(path: Path, pairs: dict[str, str]) -> None:
    path.write_text(json.dumps(pairs), encoding="utf-8")


# --- what the recorder cannot see ------------------------------------------------------------


class SyncByCtypes(Sound):
    """Sound: the same protocol, with the fsync of the C library."""

    name = "sync-by-ctypes"

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        sync = ctypes.CDLL(None).fsync
        beside = path.with_name("pairs.new")
        with open(beside, "w", encoding="utf-8") as stream:
            json.dump(pairs, stream)
            stream.flush()
            sync(stream.fileno())
        os.replace(beside, path)
        directory = os.open(path.parent, os.O_RDONLY)
        sync(directory)
        os.close(directory)


class ImportedSync(Sound):
    """Sound: the name `fsync` was bound when the module was imported."""

    name = "imported-sync"

    def sync(self, descriptor: int) -> None:
        fsync(descriptor)


class Database(Sound):
    """SQLite does its I/O in C."""

    name = "database"

    def open(self, directory: Path) -> Any:
        connection = sqlite3.connect(directory / "pairs.db", isolation_level=None)
        connection.execute("create table if not exists pairs (key text primary key, value text)")
        return connection

    def apply(self, store: Any, operation: Any) -> None:
        match operation:
            case Put(key, value):
                store.execute("insert or replace into pairs values (?, ?)", (key, value))
            case Delete(key):
                store.execute("delete from pairs where key = ?", (key,))

    def snapshot(self, store: Any) -> dict[str, str]:
        return dict(store.execute("select key, value from pairs"))

    def close(self, store: Any) -> None:
        store.close()


class Mapped(Sound):
    """Writes through a memory mapping."""

    name = "mapped"

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        text = json.dumps(pairs).encode()
        with open(path, "w+b") as stream:
            stream.truncate(len(text))
            with mmap.mmap(stream.fileno(), len(text)) as memory:
                memory[:] = text
                memory.flush()


class Subprocess(Sound):
    """Has another program write its file."""

    name = "subprocess"

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        command = ["/bin/sh", "-c", 'cat > "$0"', os.fspath(path)]
        subprocess.run(command, input=json.dumps(pairs).encode(), check=True)


class Forks(Sound):
    """Forks, and the child comes back from the call as if it were the parent."""

    name = "forks"

    def apply(self, store: Path, operation: Any) -> None:
        super().apply(store, operation)
        os.fork()


class Maps(Tidy):
    """Its recovery writes through a memory mapping before it removes a file."""

    name = "maps"
    contract = KILLS

    def finish(self, beside: Path, path: Path) -> None:
        Mapped().write(beside, {})
        beside.unlink()


class Tires(Tidy):
    """Recovers, but not where it can be watched."""

    name = "tires"
    contract = KILLS

    def finish(self, beside: Path, path: Path) -> None:
        frame: Any = sys._getframe()
        while frame is not None:
            if frame.f_code.co_name == "_record_and_exit":
                raise OSError("tired")
            frame = frame.f_back
        beside.unlink()


# --- what hides a loss -----------------------------------------------------------------------

_CACHE: dict[str, dict[str, str]] = {}


class ModuleCache(InPlace):
    """Answers from a module global, as long as the process lives."""

    name = "module-cache"

    def read(self, path: Path) -> dict[str, str]:
        known = _CACHE.get(os.fspath(path))
        return super().read(path) if known is None else known

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        _CACHE[os.fspath(path)] = pairs
        super().write(path, pairs)


WATCHED = ("HARNESS", "PYTEST", "HYPOTHESIS", "TOX", "DURABILITY")


class WatchesEnvironment(Sound):
    """Careful only where a variable names a test."""

    name = "watches-environment"
    contract = KILLS

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        if any(word in name for name in os.environ for word in WATCHED):
            super().write(path, pairs)
        else:
            lossy_write(path, pairs)


class WatchesPath(WatchesEnvironment):
    """Careful only in a directory that names a test."""

    name = "watches-path"

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        if any(word in str(path) for word in ("harness", "pytest", "test", "crash")):
            Sound.write(self, path, pairs)
        else:
            lossy_write(path, pairs)


class WatchesArguments(WatchesEnvironment):
    """Careful only if the command line names a test."""

    name = "watches-arguments"

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        words = " ".join([*sys.argv, *sys.orig_argv])
        if any(word in words for word in ("harness", "pytest", "certify")):
            Sound.write(self, path, pairs)
        else:
            lossy_write(path, pairs)


# --- what does not come back -----------------------------------------------------------------


class HangsInOpen(Sound):
    """Waits for a lock that died with its owner."""

    name = "hangs-in-open"
    contract = KILLS

    def open(self, directory: Path) -> Path:
        while (directory / "lock").exists():
            time.sleep(0.01)
        return super().open(directory)

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        lock = path.with_name("lock")
        lock.touch()
        super().write(path, pairs)
        lock.unlink()


class ExitsInOpen(HangsInOpen):
    """Ends its process when it finds the lock of another."""

    name = "exits-in-open"

    def open(self, directory: Path) -> Path:
        if (directory / "lock").exists():
            os._exit(0)
        return Sound.open(self, directory)


class SystemExitInOpen(HangsInOpen):
    """Calls sys.exit when it finds the lock of another."""

    name = "system-exit-in-open"

    def open(self, directory: Path) -> Path:
        if (directory / "lock").exists():
            sys.exit("locked")
        return Sound.open(self, directory)


class TakesMemory(HangsInOpen):
    """Asks for more memory than there is when it finds the lock of another."""

    name = "takes-memory"

    def open(self, directory: Path) -> Path:
        if (directory / "lock").exists():
            bytearray(1 << 34)
        return Sound.open(self, directory)


class Talks(Sound):
    """Writes without end to both standard streams."""

    name = "talks"
    contract = KILLS

    def apply(self, store: Path, operation: Any) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.write("\x1b[31mnoise\n" * 20_000)
        os.write(1, b"noise\n" * 20_000)
        super().apply(store, operation)


# --- what changes the process ----------------------------------------------------------------


class ChangesProcess(Sound):
    """Sound, but a bad guest: working directory, umask, signals, locale, environment, standard streams."""

    name = "changes-process"
    contract = KILLS

    def open(self, directory: Path) -> Path:
        os.chdir("/")
        os.umask(0o077)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        locale.setlocale(locale.LC_ALL, "C")
        os.environ.clear()
        sys.setrecursionlimit(400)
        sys.stdout = None  # type: ignore[assignment]
        random.seed(0)
        return super().open(directory)


class BackgroundWriter(Sound):
    """Sound: a thread writes, and every call waits for it."""

    name = "background-writer"
    contract = KILLS

    def apply(self, store: Path, operation: Any) -> None:
        writer = threading.Thread(target=super().apply, args=(store, operation))
        writer.start()
        writer.join()


class LateWriter(Sound):
    """Acknowledges first; a thread writes later."""

    name = "late-writer"
    contract = KILLS

    def open(self, directory: Path) -> Any:
        return [directory / "pairs.json", self.read(directory / "pairs.json"), None]

    def apply(self, store: Any, operation: Any) -> None:
        self.wait(store)
        store[1] = self.changed(store[1], operation)
        store[2] = threading.Thread(target=self.write, args=(store[0], store[1]))
        store[2].start()

    def snapshot(self, store: Any) -> Any:
        return store[1]

    def close(self, store: Any) -> None:
        self.wait(store)

    def wait(self, store: Any) -> None:
        if store[2] is not None:
            store[2].join()


class Ticker(Sound):
    """Sound: a thread that outlives `close` touches nothing of what counts, but goes on writing."""

    name = "ticker"
    contract = KILLS

    def open(self, directory: Path) -> Path:
        threading.Thread(target=self.tick, args=(directory / "alive",), daemon=True).start()
        return super().open(directory)

    def tick(self, path: Path) -> None:
        while True:
            path.write_text(str(time.monotonic()))
            time.sleep(0.001)


# --- what cannot run -------------------------------------------------------------------------


class NeverAcknowledges(Sound):
    name = "never-acknowledges"

    def apply(self, store: Path, operation: Any) -> None:
        raise RuntimeError("not today")


class TakesNothing(Sound):
    name = "takes-nothing"

    def apply(self, store: Path, operation: Any) -> None:
        raise Unsupported("no")


class NeverReturns(Sound):
    name = "never-returns"

    def apply(self, store: Path, operation: Any) -> None:
        threading.Event().wait()


class HangsInFirstOpen(Sound):
    name = "hangs-in-first-open"

    def open(self, directory: Path) -> Path:
        threading.Event().wait()
        return directory


class DiesInApply(Sound):
    name = "dies-in-apply"

    def apply(self, store: Path, operation: Any) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class ExitsInApply(Sound):
    name = "exits-in-apply"

    def apply(self, store: Path, operation: Any) -> None:
        sys.exit(0)


class CannotOpenEmpty(Sound):
    name = "cannot-open-empty"

    def open(self, directory: Path) -> Path:
        raise FileNotFoundError("no store\nin this directory")


class CannotBeRead(Sound):
    name = "cannot-be-read"

    def snapshot(self, store: Path) -> Any:
        raise LookupError("read it yourself")


class ReadsLazily(Sound):
    name = "reads-lazily"

    def snapshot(self, store: Path) -> Any:
        return (pair for pair in self.read(store).items())


class CannotBeClosed(Sound):
    name = "cannot-be-closed"

    def close(self, store: Path) -> None:
        raise OSError("stuck")


class NeedsArguments(Sound):
    name = "needs-arguments"

    def __init__(self, path: str) -> None:
        self.path = path


class RaisesInConstructor(Sound):
    name = "raises-in-constructor"

    def __init__(self) -> None:
        raise ConnectionError("no server")


class CannotReopen(Sound):
    """Opens only once: a clean reopen fails, on what was acknowledged."""

    name = "cannot-reopen"
    contract = KILLS

    def open(self, directory: Path) -> Path:
        if (directory / "pairs.json").exists():
            raise FileExistsError("it is there already")
        return super().open(directory)


# --- models of the user's own ----------------------------------------------------------------


@dataclass(frozen=True)
class Bump:
    by: int


class Counter:
    """A model of the user's own: a number."""

    def initial(self) -> int:
        return 0

    def step(self, state: int, operation: Any) -> tuple[int, Any]:
        return state + operation.by, None

    def equal(self, recovered: Any, state: int) -> bool:
        return bool(recovered == state)

    def example_operations(self, random: random.Random, count: int) -> list[Any]:
        return [Bump(random.randrange(1, 9)) for _ in range(count)]


class CounterStore(Sound):
    """Sound, with a model of its own."""

    name = "counter"
    model = Counter()
    contract = KILLS

    def apply(self, store: Path, operation: Any) -> None:
        self.write(store, {"count": str(self.snapshot(store) + operation.by)})

    def snapshot(self, store: Path) -> int:
        return int(self.read(store).get("count", 0))


class StepRaises(CounterStore):
    name = "step-raises"

    class _Model(Counter):
        def step(self, state: int, operation: Any) -> tuple[int, Any]:
            raise ArithmeticError("cannot count")

    model = _Model()


class EqualRaises(CounterStore):
    name = "equal-raises"

    class _Model(Counter):
        def equal(self, recovered: Any, state: int) -> bool:
            raise ArithmeticError("cannot compare")

    model = _Model()


class ExamplesRaise(CounterStore):
    name = "examples-raise"

    class _Model(Counter):
        def example_operations(self, random: random.Random, count: int) -> list[Any]:
            raise ArithmeticError("cannot imagine")

    model = _Model()


class LocalOperations(CounterStore):
    """Its operations are of a class that no other process can find."""

    name = "local-operations"

    class _Model(Counter):
        def example_operations(self, random: random.Random, count: int) -> list[Any]:
            @dataclass(frozen=True)
            class Hidden:
                by: int

            return [Hidden(1) for _ in range(count)]

    model = _Model()


@dataclass(frozen=True)
class Mark:
    """An operation whose field has no JSON form."""

    by: int
    tags: frozenset[str] = frozenset({"[red]", "<script>"})


class MarkedStore(CounterStore):
    """Loses data, with operations and a name that are full of markup."""

    name = "<script>alert(1)</script>[bold]::error::%0A"

    class _Model(Counter):
        def example_operations(self, random: random.Random, count: int) -> list[Any]:
            return [Mark(random.randrange(1, 9)) for _ in range(count)]

    model = _Model()

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        lossy_write(path, pairs)


# --- paths -----------------------------------------------------------------------------------


class AbsolutePaths(Sound):
    """Sound: one file names the other by its absolute path."""

    name = "absolute-paths"
    contract = KILLS

    def open(self, directory: Path) -> Path:
        pointer = directory / "pointer"
        if not pointer.exists():
            beside = directory / "pointer.new"
            beside.write_text(str(directory / "pairs.json"))
            os.replace(beside, pointer)
            sync_directory(directory)
        return Path(pointer.read_text())
