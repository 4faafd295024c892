"""Patched functions that start another program or a copy of this one: what it does is not seen.

These are patched, instead of watched through audit events, because an audit hook makes each look
at a frame several times slower (see `audit`).
"""

from __future__ import annotations

import _posixsubprocess
import os
from collections.abc import Callable
from typing import Any

from harness.core.trace import Blindness
from harness.record.audit import WITNESS, site_text
from harness.record.callsite import HARNESS, caller, in_standard_library, store_frame
from harness.record.tap import TAP, disguise

_fork_exec: Callable[..., Any] = _posixsubprocess.fork_exec
# Kept as names of this module: `rebind` leaves the namespaces of this package alone, but not other dictionaries.
_fork: Any = getattr(os, "fork", None)
_forkpty: Any = getattr(os, "forkpty", None)
_posix_spawn: Any = getattr(os, "posix_spawn", None)
_posix_spawnp: Any = getattr(os, "posix_spawnp", None)
_execv: Callable[..., Any] = os.execv
_execve: Callable[..., Any] = os.execve
_system: Callable[..., Any] = os.system
_NAMES = ("fork", "forkpty", "posix_spawn", "posix_spawnp", "execv", "execve", "system")

# Modules that start programs to ask the system something; those programs write no files.
_HARMLESS = ("/platform.py", "/uuid.py", "/ctypes/util.py", "/multiprocessing/resource_tracker.py")
_STARTERS = ("/subprocess.py", "/os.py", "/multiprocessing/util.py")


class Children:
    """Bound methods that note the call and do it; see `Tap` for why they are methods."""

    def fork(self) -> Any:
        _note("os.fork")
        return _fork()

    def forkpty(self) -> Any:
        _note("os.forkpty")
        return _forkpty()

    def posix_spawn(self, path: Any, argv: Any, env: Any, /, **options: Any) -> Any:
        _note("os.posix_spawn")
        return _posix_spawn(path, argv, env, **options)

    def posix_spawnp(self, path: Any, argv: Any, env: Any, /, **options: Any) -> Any:
        _note("os.posix_spawnp")
        return _posix_spawnp(path, argv, env, **options)

    def execv(self, path: Any, argv: Any, /) -> Any:
        _note("os.execv")
        return _execv(path, argv)

    def execve(self, path: Any, argv: Any, env: Any) -> Any:
        _note("os.execve")
        return _execve(path, argv, env)

    def system(self, command: Any) -> Any:
        _note("os.system")
        return _system(command)

    def fork_exec(self, *arguments: Any) -> Any:
        _note("a subprocess was started")
        return _fork_exec(*arguments)


_CHILDREN = Children()


def patched_children() -> dict[str, tuple[Any, Any]]:
    """Name -> (original, patched), for the functions of `os` that this platform has."""
    present = (name for name in _NAMES if globals()[f"_{name}"] is not None)
    return {name: disguise(globals()[f"_{name}"], _CHILDREN, name) for name in present}


def patched_fork_exec() -> tuple[Any, Any]:
    """The original and the patched function below `subprocess` and `multiprocessing`."""
    return disguise(_fork_exec, _CHILDREN, "fork_exec")


def _note(what: str) -> None:
    if TAP.session is None:
        return
    frame = caller(2)
    while frame is not None and _is_standard(frame.f_code.co_filename, _STARTERS):
        frame = frame.f_back
    if frame is not None and _is_harmless(frame.f_code.co_filename):
        return
    WITNESS.incidents[(Blindness.CHILD_PROCESS, f"{what} at {site_text(store_frame(frame))}")] = None


def _is_harmless(path: str) -> bool:
    return _is_standard(path, _HARMLESS) or path.startswith(HARNESS)


def _is_standard(path: str, endings: tuple[str, ...]) -> bool:
    return path.endswith(endings) and in_standard_library(path)
