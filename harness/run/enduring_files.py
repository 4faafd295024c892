"""The files of an endurance run: how far it has come, kept so that a kill at any moment loses nothing of it.

Counts live in a file that is mapped into memory: writing one costs no system call, and the kernel keeps it when the
process is killed. After the machine itself has stopped they may be old while the store is not; so they carry the id
of the boot they belong to.
"""

from __future__ import annotations

import mmap
import os
from array import array
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_WORDS = 4
_BEGUN, _ENDED, _ELAPSED, _CLOSED = range(_WORDS)
_BYTES = 8 * _WORDS
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """What changes when the machine starts again; "" where the system does not tell."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class CallerPlace:
    """Where it is kept how far one caller has come, and which of its operations had no effect."""

    progress: Path
    left_out: Path


class Place:
    """The files of one run below `root`. The store is in a directory of its own beside them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = root / "store"
        self.journal = root / "journal"
        self.progress = root / "progress"
        self.left_out = root / "left-out"
        self.floor = root / "floor"
        self.lock = root / "lock"

    def of_caller(self, number: int) -> CallerPlace:
        """The files of one of several callers."""
        return CallerPlace(self.root / f"progress-{number}", self.root / f"left-out-{number}")


class Progress:
    """How many operations have begun and ended, the time of the run, and whether the store was closed in order."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, _BYTES)
            self._memory = mmap.mmap(descriptor, _BYTES)
        finally:
            os.close(descriptor)
        self._words = memoryview(self._memory).cast("q")

    @property
    def begun(self) -> int:
        return self._words[_BEGUN]

    @property
    def in_flight(self) -> bool:
        """Whether the last operation that began has not ended."""
        return self._words[_ENDED] < self._words[_BEGUN]

    @property
    def elapsed_ns(self) -> int:
        return self._words[_ELAPSED]

    @property
    def closed(self) -> bool:
        return bool(self._words[_CLOSED])

    def begin(self, index: int) -> None:
        self._words[_BEGUN] = index + 1

    def end(self, index: int, now_ns: int) -> None:
        self._words[_ENDED] = index + 1
        self._words[_ELAPSED] = now_ns

    def at(self, now_ns: int, *, closed: bool) -> None:
        self._words[_ELAPSED] = now_ns
        self._words[_CLOSED] = closed

    def close(self) -> None:
        self._words.release()
        self._memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LeftOut:
    """The numbers of operations that had no effect, in ascending order, as 64-bit integers in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, *indices: int) -> None:
        with open(self._path, "ab", buffering=0) as file:
            file.write(array("q", indices).tobytes())

    def all(self) -> array[int]:
        """All of them; a number that a kill has cut off is ignored."""
        found = array("q")
        if self._path.exists():
            content = self._path.read_bytes()
            found.frombytes(content[: len(content) // 8 * 8])
        return found
