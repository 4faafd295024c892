"""The store's calls on the file system: reading whole files and replacing them atomically.

What is assumed of the medium, and nothing more: a rename is atomic; what was fsynced is there.
Data that was not fsynced may be lost, reordered, or be garbage; fsync of a file does not cover its
directory entry, fsync of the directory does (fsync(2); Pillai et al., OSDI 2014).
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
from dataclasses import dataclass

logger = logging.getLogger("store_under_test.metrics_store")

PRIVATE_MODE = 0o600
MAX_TEMPORARIES = 1000  # names tried; reached only if leftovers can be neither removed nor avoided

_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # no waiting on a planted FIFO
_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class FileImage:
    """The content of a file and its permission bits."""

    data: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class Paths:
    """The names that belong to one store, all in one directory."""

    directory: str
    name: str
    primary: str
    backup: str
    lock: str

    @classmethod
    def of(cls, path: str) -> Paths:
        directory, name = os.path.split(os.path.abspath(path))
        primary = os.path.join(directory, name)
        return cls(directory, name, primary, f"{primary}.bak", f"{primary}.lock")

    def quarantine(self, digest: str) -> str:
        """Where damaged bytes with this digest are kept: the same damage never takes two names."""
        return f"{self.primary}.damaged-{digest[:16]}"

    def is_quarantine(self, name: str) -> bool:
        return re.fullmatch(re.escape(self.name) + r"\.damaged-[0-9a-f]{16}", name) is not None

    def is_temporary(self, name: str) -> bool:
        """Whether `name` is one that `write_atomically` makes for a file of this store."""
        if not name.startswith("."):  # what nearly every name fails, and every opening asks
            return False
        pattern = r"\." + re.escape(self.name) + r"(\.bak|\.damaged-[0-9a-f]{16})?\.\d+\.\d+\.tmp"
        return re.fullmatch(pattern, name) is not None


def read_file(path: str) -> FileImage | None:
    """The whole file, or `None` if there is none.

    Any other `OSError` is raised: what can't be read (EIO) is neither absent nor damaged. Symbolic links
    (ELOOP) and what is no regular file are refused.
    """
    try:
        descriptor = os.open(path, _READ_FLAGS)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        return FileImage(_read_all(descriptor, status.st_size), stat.S_IMODE(status.st_mode) & 0o777)
    finally:
        os.close(descriptor)


def _read_all(descriptor: int, expected_bytes: int) -> bytes:
    chunks = []
    while chunk := os.read(descriptor, max(expected_bytes, 4096) + 1):
        chunks.append(chunk)
    return b"".join(chunks)


def write_atomically(path: str, data: bytes, mode: int | None) -> None:
    """Replace `path` by `data`: durable when this returns, and entirely old or new at every moment.

    `mode` None: 0600 less the umask. On an `OSError` the file is as it was, except that a failure of
    the last step, the fsync of the directory, leaves the new content visible and not surely durable.
    """
    temporary, descriptor = _create_temporary(path)
    try:
        _fill(descriptor, data, mode)
        os.replace(temporary, path)
    except BaseException:
        remove_quietly(temporary)
        raise
    sync_directory(os.path.dirname(path))


def _create_temporary(path: str) -> tuple[str, int]:
    """A new file beside `path`, opened. Exclusive creation neither follows nor reuses what stands there."""
    directory, name = os.path.split(path)
    for number in range(MAX_TEMPORARIES):
        temporary = os.path.join(directory, f".{name}.{os.getpid()}.{number}.tmp")
        try:
            return temporary, os.open(temporary, _CREATE_FLAGS, PRIVATE_MODE)
        except FileExistsError:
            continue
    raise FileExistsError(errno.EEXIST, f"{MAX_TEMPORARIES} temporary names are taken", path)


def _fill(descriptor: int, data: bytes, mode: int | None) -> None:
    """Write, make durable, close. A failing close fails the whole: some file systems report there."""
    try:
        _write_all(descriptor, data)
        if mode is not None:
            os.fchmod(descriptor, mode)
        # Never repeated after a failure: the pages would count as clean (Rebello et al., ATC 2020).
        # The caller drops the file instead, and the next save writes a new one.
        os.fsync(descriptor)
    except BaseException:
        close_quietly(descriptor)
        raise
    os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        written = os.write(descriptor, rest)
        if written == 0:
            raise OSError(errno.EIO, "a write made no progress")
        rest = rest[written:]


def sync_directory(directory: str) -> None:
    """Make the entries of `directory` durable."""
    descriptor = os.open(directory, _DIRECTORY_FLAGS)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_quietly(path: str) -> None:
    """Remove a temporary file if that works; what stays is removed on a later opening."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        logger.info("could not remove %s: %s", path, error)


def close_quietly(descriptor: int) -> None:
    """Close after a failure that is already on its way to the caller."""
    try:
        os.close(descriptor)
    except OSError as error:
        logger.info("could not close a temporary file: %s", error)


def stale_temporaries(paths: Paths) -> list[str]:
    """Temporary files of this store. They are stale if no writer lives: the caller must hold the lock."""
    with os.scandir(paths.directory) as entries:
        return [entry.path for entry in entries if paths.is_temporary(entry.name)]


def file_size(path: str) -> int:
    """Bytes of `path`; 0 if there is none."""
    try:
        return os.stat(path, follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0
