"""Small stores that say nothing when something is short, or let go of nothing."""

from __future__ import annotations

import collections
import functools
import json
import os
import tempfile
import threading
from pathlib import Path
from typing import Any, ClassVar

from harness import Contract, Delete
from tests.stores.honest import Sound

PROMISES = Contract(power_loss=None, corruption=None)
PADDING_BYTES = 1 << 26


class Careful(Sound):
    """Raises what goes wrong, and keeps nothing."""

    name = "careful"
    contract = PROMISES


class Hushed(Careful):
    """Says nothing when it could not save."""

    name = "hushed"

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        try:
            super().write(path, pairs)
        except OSError:
            return


class OneFileEach(Careful):
    """A file for each key; one that is not there need not be deleted."""

    name = "one file each"

    def open(self, directory: Path) -> Path:
        return directory

    def apply(self, store: Path, operation: Any) -> None:
        path = store / operation.key.encode().hex()
        if isinstance(operation, Delete):
            path.unlink(missing_ok=True)
            return
        temporary = path.with_suffix(".new")
        temporary.write_text(operation.value, encoding="utf-8", newline="")
        temporary.replace(path)

    def snapshot(self, store: Path) -> Any:
        files = [path for path in store.iterdir() if not path.suffix]
        return {bytes.fromhex(path.name).decode(): path.read_bytes().decode() for path in files}


class InMemory(Careful):
    """Reads its file when it is opened, and never again; no file is no pairs."""

    name = "in memory"

    def open(self, directory: Path) -> Any:
        path = directory / "pairs.json"
        return [path, self.read(path)]

    def apply(self, store: Any, operation: Any) -> None:
        changed = self.changed(store[1], operation)
        self.write(store[0], changed)
        store[1] = changed

    def snapshot(self, store: Any) -> Any:
        return dict(store[1])


class Forgetful(Careful):
    """Saves from a thread; that there was none it does not tell."""

    name = "forgetful"

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        saving = threading.Thread(target=super().write, args=(path, pairs))
        try:
            saving.start()
        except RuntimeError:
            return
        saving.join()


class Greedy(Careful):
    """Builds a large text for each save."""

    name = "greedy"

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        padding = bytearray(PADDING_BYTES)
        super().write(path, pairs)
        del padding


class KeepsDescriptors(Careful):
    name = "keeps-descriptors"
    kept: list[Any]

    def open(self, directory: Path) -> Path:
        type(self).kept = getattr(self, "kept", [])
        self.kept.append(os.open(directory, os.O_RDONLY))
        return super().open(directory)


class KeepsFew(Careful):
    """A cache of a bounded number."""

    name = "keeps-few"
    kept: collections.deque[int]

    def open(self, directory: Path) -> Path:
        type(self).kept = getattr(self, "kept", collections.deque())
        self.kept.append(os.open(directory, os.O_RDONLY))
        if len(self.kept) == 12:
            os.close(self.kept.popleft())
        return super().open(directory)


class KeepsChanges(Careful):
    """A file for each change, all of them read when it is opened: that is where the pairs are."""

    name = "keeps-changes"

    def open(self, directory: Path) -> Path:
        return directory

    def apply(self, store: Path, operation: Any) -> None:
        change = [operation.key, None if isinstance(operation, Delete) else operation.value]
        temporary = store / "new"
        temporary.write_text(json.dumps(change))
        temporary.replace(store / f"{len(self.changes(store)):08}")

    def snapshot(self, store: Path) -> Any:
        return {key: value for key, value in dict(self.changes(store)).items() if value is not None}

    def changes(self, store: Path) -> list[Any]:
        return [json.loads(path.read_text()) for path in sorted(store.glob("0*"))]


class KeepsOneInForty(Careful):
    """A descriptor is forgotten at every fortieth opening."""

    name = "keeps-one-in-forty"
    kept: list[int]
    openings = 0

    def open(self, directory: Path) -> Path:
        type(self).kept = getattr(self, "kept", [])
        type(self).openings += 1
        if self.openings % 40 == 0:
            self.kept.append(os.open(directory, os.O_RDONLY))
        return super().open(directory)


class LeavesOneInForty(Careful):
    """A file is left behind at every fortieth opening."""

    name = "leaves-one-in-forty"
    openings = 0

    def open(self, directory: Path) -> Path:
        type(self).openings += 1
        if self.openings % 40 == 0:
            os.close(tempfile.mkstemp(dir=directory)[0])
        return super().open(directory)


class CachesMany(Careful):
    """A cache of a bounded number that takes hundreds of openings to fill, and a file of a new name at each of them."""

    name = "caches-many"
    openings = 0

    @staticmethod
    @functools.lru_cache(512)
    def known(number: int) -> bytes:
        return bytes(1000)

    def open(self, directory: Path) -> Path:
        type(self).openings += 1
        self.known(self.openings)
        temporary = tempfile.mkstemp(dir=directory, prefix="a long name " * 10)
        os.close(temporary[0])
        os.unlink(temporary[1])
        return super().open(directory)


class KeepsFiles(Careful):
    name = "keeps-files"

    def open(self, directory: Path) -> Path:
        os.close(tempfile.mkstemp(dir=directory)[0])
        return super().open(directory)


class KeepsVersions(Careful):
    """Leaves a file behind for each save."""

    name = "keeps-versions"

    def write(self, path: Path, pairs: dict[str, str]) -> None:
        os.close(tempfile.mkstemp(dir=path.parent)[0])
        super().write(path, pairs)


class KeepsThreads(Careful):
    """They end when a test says so."""

    name = "keeps-threads"
    over = threading.Event()
    kept: ClassVar[list[threading.Thread]] = []

    def open(self, directory: Path) -> Path:
        self.kept.append(threading.Thread(target=self.over.wait, daemon=True))
        self.kept[-1].start()
        return super().open(directory)


class KeepsMemory(Careful):
    name = "keeps-memory"
    kept: list[bytes]

    def open(self, directory: Path) -> Path:
        type(self).kept = getattr(self, "kept", [])
        self.kept.append(bytes(1000))
        return super().open(directory)
