"""Which files a recovery opens: states that differ only in files that it never opens are one state for it.

An audit hook (PEP 578) sees every open by Python code, however it is made. To be on the safe side
files are told apart by their last name only, and a file that is renamed or linked counts as
opened. Sizes and the order of modification times stay part of what is compared, because
they can be seen without opening. What native code opens is not seen; a sample of the states that were skipped is
judged in fresh interpreters like any other.
"""

from __future__ import annotations

import os
import sys
from typing import Any

_NAMING = ("os.rename", "os.link", "os.symlink")
_PROCESSES = (
    "os.fork",
    "os.posix_spawn",
    "os.system",
    "subprocess.Popen",
    "ctypes.dlopen",
    "sqlite3.connect",
)


class OpenWatch:
    """Collects the last names of the files that are opened while it is active. One for each process."""

    def __init__(self) -> None:
        self._active = False
        self._paths: list[Any] = []
        self._blind = False
        sys.addaudithook(self._audit)

    def start(self) -> None:
        self._paths.clear()
        self._blind = False
        self._active = True

    def stop(self) -> frozenset[str] | None:
        """The last names opened since `start`; `None` if something may have been opened unseen."""
        self._active = False
        if self._blind:
            return None
        return frozenset(os.fsdecode(path).rpartition("/")[2] for path in self._paths)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._active:
            return
        if event == "open":
            self._note(arguments[0])
        elif event in _NAMING:
            self._note(arguments[0])
            self._note(arguments[1])
        elif event in _PROCESSES:
            self._blind = True

    def _note(self, path: Any) -> None:
        if isinstance(path, str | bytes):
            self._paths.append(path)
        elif not isinstance(path, int):
            self._blind = True


_watch: list[OpenWatch] = []


def open_watch() -> OpenWatch:
    """The watch of this process; an audit hook can't be removed, so there is only one."""
    if not _watch:
        _watch.append(OpenWatch())
    return _watch[0]
