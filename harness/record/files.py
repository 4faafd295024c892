"""`open` and `FileIO` that report the raw calls of file objects.

Buffered and text files are the C classes of `io`, over a `FileIO` that reports what reaches the
operating system: so the recorded writes have the real sizes and come at the real moments, also
those that a dropped file makes while it is deallocated.
"""

from __future__ import annotations

import _io
import abc
import io
import itertools
import operator
import os
import sys
import warnings
from typing import Any

from harness.record import kernel
from harness.record import originals as real
from harness.record.tap import TAP, disguise

_RealFileIO = _io.FileIO
_TextIOWrapper: Any = io.TextIOWrapper

class _FileIOType(abc.ABCMeta):
    """Files that were opened before the patch are instances too.

    Derived from `ABCMeta`, so that a class can inherit from `FileIO` and `RawIOBase` both.
    """

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _RealFileIO) if cls is FileIO else super().__instancecheck__(instance)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _RealFileIO) if cls is FileIO else super().__subclasscheck__(subclass)


class FileIO(_RealFileIO, metaclass=_FileIOType):
    __doc__ = _RealFileIO.__doc__

    def __init__(self, file: Any, mode: Any = "r", closefd: Any = True, opener: Any = None) -> None:
        session = TAP.session
        if session is None:
            opening = kernel.file_open if opener is None and not _is_number(file) else _RealFileIO.__init__
            opening(self, file, mode, closefd, opener)
            return
        if not self.closed:  # initialized twice: the old descriptor is closed
            session.handles.pop(self.fileno(), None)
        if opener is None and not _is_number(file):
            session.open_object(self, kernel.open_flags(mode), file, mode, closefd, opener)
        else:  # the opener was recorded, if it opens with a patched call
            super().__init__(file, mode, closefd, opener)

    def write(self, b: Any, /) -> Any:
        session = TAP.session
        if session is None:
            return kernel.file_write(self, b)
        return session.write("write", self.fileno(), kernel.file_write, self, b)

    def truncate(self, size: Any = None, /) -> Any:
        session = TAP.session
        if session is None:
            return kernel.file_truncate(self, size)
        return session.resize("truncate", self.fileno(), kernel.file_truncate, (self, size))

    def close(self) -> None:
        session = TAP.session
        if not self.closed and self.closefd:
            if session is not None:
                session.handles.pop(self.fileno(), None)
            if self._finalizing:  # type: ignore[attr-defined]
                _warn_unclosed(self)
        kernel.file_close(self)

    def __repr__(self) -> str:
        text = _RealFileIO.__repr__(self)
        # Since 3.13 it begins with the name of the type, which has no module for one made in Python.
        return "<_io." + text[1:] if type(self) is FileIO and text.startswith("<FileIO") else text


FileIO.__module__ = _RealFileIO.__module__


def _read(file: FileIO, size: Any = -1, /) -> Any:
    return kernel.file_read(file, size)


def _readinto(file: FileIO, buffer: Any, /) -> Any:
    return kernel.file_readinto(file, buffer)


def _readall(file: FileIO, /) -> Any:
    return kernel.file_readall(file)


def route_reads() -> None:
    """From now on what file objects read goes through the kernel as well."""
    FileIO.read, FileIO.readinto, FileIO.readall = _read, _readinto, _readall  # type: ignore[method-assign, assignment]


def unroute_reads() -> None:
    """As it was."""
    for name in {"read", "readinto", "readall"} & FileIO.__dict__.keys():
        delattr(FileIO, name)


def _is_number(file: Any) -> bool:
    """True for a descriptor, as `open` understands it."""
    if type(file) is str or hasattr(file, "__fspath__"):
        return False
    return hasattr(file, "__index__") or hasattr(file, "__int__") or hasattr(file, "__float__")


def _warn_unclosed(file: FileIO) -> None:
    """The `ResourceWarning` of a dropped file, issued for the frame that dropped it and not for `close`."""
    file._finalizing = False  # type: ignore[attr-defined]  # else the real close warns again
    try:
        warnings.warn(f"unclosed file {file!r}", ResourceWarning, stacklevel=3, source=file)
    except ResourceWarning:  # a filter makes it an error: the real close knows where to report that
        file._finalizing = True  # type: ignore[attr-defined]


class _Opener:
    """Holds `open` as a bound method, for the reason that `Tap` gives."""

    def __reduce__(self) -> str:
        return "_OPENER"

    def open(
        self,
        file: Any,
        mode: Any = "r",
        buffering: Any = -1,
        encoding: Any = None,
        errors: Any = None,
        newline: Any = None,
        closefd: Any = True,
        opener: Any = None,
    ) -> Any:
        if TAP.session is None and not kernel.engaged():
            return real.open_file(file, mode, buffering, encoding, errors, newline, closefd, opener)
        plan = _MODES.get(mode) if isinstance(mode, str) else None
        if type(buffering) is not int and hasattr(buffering, "__index__"):
            buffering = operator.index(buffering)
        if plan is None or not _is_valid(plan[2], buffering, encoding, errors, newline):
            # Refused before anything is opened, with the right exception.
            return real.open_file(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw_mode, buffered, binary = plan
        if binary and buffering == 1:
            warnings.warn(
                "line buffering (buffering=1) isn't supported in binary mode, "
                "the default buffer size will be used",
                RuntimeWarning,
                stacklevel=2,
            )
        if not binary and sys.flags.warn_default_encoding:
            encoding = io.text_encoding(encoding)
        if type(file) is not str and not _is_number(file):
            file = os.fspath(file)
        raw = FileIO(file, raw_mode, bool(closefd), opener)
        return _finish(raw, mode, buffering, buffered, binary, (encoding, errors, newline))


def _finish(raw: Any, mode: str, buffering: int, buffered: Any, binary: bool, text: Any) -> Any:
    """The layers above a raw file, as `_io.open` stacks them."""
    result: Any = raw
    try:
        line_buffering = False
        if buffering == 1 or (buffering < 0 and raw.isatty()):
            buffering, line_buffering = -1, True
        if buffering < 0:
            buffering = raw._blksize
        if buffering == 0:
            if binary:
                return result
            raise ValueError("can't have unbuffered text I/O")
        result = buffered(raw, buffering)
        if binary:
            return result
        result = _TextIOWrapper(result, *text, line_buffering)
        result.mode = mode
        return result
    except BaseException:
        result.close()
        raise


def _is_valid(binary: bool, buffering: Any, encoding: Any, errors: Any, newline: Any) -> bool:
    if type(buffering) is not int:
        return False
    if encoding is None and errors is None and newline is None:
        return True
    texts = (encoding, errors, newline)
    return not binary and all(text is None or isinstance(text, str) for text in texts)


def _modes() -> dict[str, tuple[str, Any, bool]]:
    """Every valid mode of `open` -> mode of the raw file, class of the buffer, is it binary."""
    writer = io.BufferedWriter
    layers: dict[str, Any] = {"r": io.BufferedReader, "w": writer, "x": writer, "a": writer}
    modes: dict[str, tuple[str, Any, bool]] = {}
    for letter, buffered in layers.items():
        for kind in ("", "b", "t"):
            modes.update(dict.fromkeys(_spellings(letter + kind), (letter, buffered, kind == "b")))
            plan = (letter + "+", io.BufferedRandom, kind == "b")
            modes.update(dict.fromkeys(_spellings(letter + kind + "+"), plan))
    return modes


def _spellings(letters: str) -> list[str]:
    return ["".join(letters) for letters in itertools.permutations(letters)]


_MODES = _modes()
_OPENER = _Opener()


def patched_open() -> tuple[Any, Any]:
    """The original and the patched `open`."""
    return disguise(real.open_file, _OPENER, "open")


def patched_file_io() -> tuple[Any, Any]:
    """The original and the patched `FileIO`."""
    return _RealFileIO, FileIO
