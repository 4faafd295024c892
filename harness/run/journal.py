"""The run journal: finished pieces of work, one JSON line each, so that a killed run can be resumed.

The first line carries a fingerprint of everything that the results depend on (versions, seed, profile).
With another fingerprint the journal is worth nothing and starts anew. Each line carries a CRC-32; a line
that was torn by a kill or damaged since is skipped, which only means that its work is done again.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.core.errors import UsageError

FORMAT_VERSION = 1
_APPENDS_PER_SYNC = 256


class Journal:
    """An append-only file of (key, JSON value). One process at a time: the file is locked with flock(2)."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        """Open or create the journal. Raises `UsageError` if another run is writing it."""
        self._fingerprint = fingerprint
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._unsynced = 0
        self._started = False
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            message = f"{path} is in use by another run: wait for it, or choose another --reports."
            raise UsageError(message) from None

    def load(self) -> dict[str, Any]:
        """What earlier runs with the same fingerprint appended; of equal keys the last value."""
        lines = self._lines()
        if not lines or _parse(lines[0]) != self._header():
            return {}
        pairs = [parsed for parsed in map(_parse, lines[1:]) if isinstance(parsed, list) and len(parsed) == 2]
        return {key: value for key, value in pairs if isinstance(key, str)}

    def append(self, key: str, value: Any) -> None:
        """Add one finished piece of work. It survives a kill at once, a loss of power some time later."""
        if not self._started:
            self._start()
        self._write(_line([key, value]))
        self._unsynced += 1
        if self._unsynced >= _APPENDS_PER_SYNC:
            self._sync()

    def close(self) -> None:
        """Sync and close; closing twice is harmless."""
        if self._descriptor >= 0:
            self._sync()
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _header(self) -> dict[str, Any]:
        return {"journal": FORMAT_VERSION, "fingerprint": self._fingerprint}

    def _lines(self) -> list[bytes]:
        size = os.fstat(self._descriptor).st_size
        with open(self._descriptor, "rb", closefd=False) as file:
            file.seek(0)
            return file.read(size).split(b"\n")

    def _start(self) -> None:
        """Make the file ready for appending: our header first, and a torn last line ended."""
        lines = self._lines()
        if _parse(lines[0]) != self._header():
            os.ftruncate(self._descriptor, 0)
            self._write(_line(self._header()))
        elif lines[-1]:
            self._write(b"\n")
        self._started = True

    def _write(self, content: bytes) -> None:
        left = memoryview(content)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def _sync(self) -> None:
        os.fsync(self._descriptor)
        self._unsynced = 0


def _line(value: Any) -> bytes:
    text = json.dumps(value, separators=(",", ":")).encode()  # ASCII, so no line break is inside
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parse(line: bytes) -> Any:
    """The value of a line, `None` if it is damaged."""
    checksum, _, text = line.partition(b" ")
    try:
        return json.loads(text) if int(checksum, 16) == zlib.crc32(text) else None
    except ValueError:
        return None
