"""Which line of a store made a call.

The call site is the innermost frame outside the standard library and outside this package.
Generated code (its file name is no file, such as "<string>") and frozen modules belong to no
store. Third-party libraries do: a library that writes files is the store, or part of it.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from types import CodeType, FrameType

from harness.core.trace import CallSite

HARNESS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
RECORDER = os.path.dirname(os.path.abspath(__file__)) + os.sep
_LIBRARIES = ("site-packages", "dist-packages")


def _standard_library() -> tuple[str, ...]:
    paths = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
    real = {variant for path in paths for variant in (os.path.abspath(path), os.path.realpath(path))}
    return tuple(sorted(path + os.sep for path in real))


STANDARD_LIBRARY = _standard_library()


def in_standard_library(path: str) -> bool:
    """True for a file of the standard library; installed packages below it do not count."""
    for prefix in STANDARD_LIBRARY:
        if path.startswith(prefix):
            return path[len(prefix) :].split(os.sep, 1)[0] not in _LIBRARIES
    return False


def is_store_file(path: str) -> bool:
    """True if code from the file `path` counts as the store: not generated, not ours, not Python's own."""
    if path.startswith("<"):
        return False
    full = os.path.abspath(path)
    return not full.startswith(HARNESS) and not in_standard_library(full)


class _StoreFiles(dict[str, bool]):
    """File name -> is it the store? Keyed by name: code objects hash by content, which is slow."""

    def __missing__(self, path: str) -> bool:
        self[path] = answer = is_store_file(path)
        return answer


STORE_FILES = _StoreFiles()
_getframe = sys._getframe


def store_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame of the store, from `frame` outwards; `None` if there is none."""
    while frame is not None and not STORE_FILES[frame.f_code.co_filename]:
        frame = frame.f_back
    return frame


def call_site(depth: int) -> tuple[CodeType | None, int]:
    """Code and instruction of the innermost store frame, which is at least `depth` frames up.

    The frame is asked for directly, and its code only once: each step and each look raises an audit event.
    """
    try:
        frame: FrameType | None = _getframe(depth)
    except ValueError:  # a thread that runs nothing but a patched function
        return None, 0
    while frame is not None:
        code = frame.f_code
        if STORE_FILES[code.co_filename]:
            return code, frame.f_lasti
        frame = frame.f_back
    return None, 0


#: What of the standard library hands a call on, so that the line before it is the one that made the call.
_FORWARDING = frozenset(("pathlib", "os", "io", "_pyio", "shutil", "codecs"))


def is_of_the_store(depth: int = 1) -> bool:
    """Whether a line of the store makes this call, itself or through `pathlib` and the like.

    Not so what Python does on its own account: importing, looking up time zones, showing source lines.
    """
    frame: FrameType | None = _getframe(depth)
    while frame is not None:
        file = frame.f_code.co_filename
        if STORE_FILES[file]:
            return True
        module = str(frame.f_globals.get("__name__", ""))
        if not file.startswith(HARNESS) and module.partition(".")[0] not in _FORWARDING:
            return False
        frame = frame.f_back
    return False


def caller(depth: int = 1) -> FrameType | None:
    """The innermost frame outside the recorder itself."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None and frame.f_code.co_filename.startswith(RECORDER):
        frame = frame.f_back
    return frame


class CallSites:
    """Turns (code, instruction) into `CallSite`s; the line is looked up once, after the recording."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], CallSite] = {}

    def resolve(self, code: CodeType | None, instruction: int) -> CallSite | None:
        """The site of an instruction (`frame.f_lasti`) of `code`, or `None` for no code."""
        if code is None:
            return None
        key = (id(code), instruction)  # the log keeps the code alive, so the id is unique
        site = self._known.get(key)
        if site is None:
            site = self._known[key] = CallSite(code.co_filename, _line(code, instruction), code.co_qualname)
        return site


def _line(code: CodeType, instruction: int) -> int:
    for start, end, line in code.co_lines():
        if start <= instruction < end and line is not None:
            return line
    return code.co_firstlineno
