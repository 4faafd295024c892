"""Temporary directories that disappear even when we are killed.

Every run directory is claimed by a small file in a registry, one registry for each user in the
temporary directory. The living owner holds that file with flock(2), and the kernel lets go of the lock
when the owner dies, however it dies. So a claim that can be locked is a claim of the dead, and `sweep`
removes what it names.

The claim is written before the directory is made, and names its inode afterwards: nothing is removed
but an empty directory with that name, or the very inode that we made. The names are those of `tempfile`,
so that a store cannot tell from its path who runs it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import stat
import string
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import HarnessFault
from harness.run import containment

MEMORY_FILE_SYSTEM = Path("/dev/shm")
ENOUGH_BYTES = 256 * 2**20
_ATTEMPTS = 100
_LETTERS = string.ascii_lowercase + string.digits + "_"
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_CLAIM = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Location:
    """Where run directories are made, and why there."""

    path: Path
    in_memory: bool
    reason: str


def memory_directory(needed_bytes: int = ENOUGH_BYTES) -> Location:
    """A memory file system, if there is one with `needed_bytes` to spare, else the temporary directory."""
    refusal = _refusal(MEMORY_FILE_SYSTEM, needed_bytes)
    if refusal is None:
        return Location(MEMORY_FILE_SYSTEM, True, "a memory file system with enough room")
    return Location(Path(tempfile.gettempdir()), False, f"the temporary directory, because {refusal}")


def _refusal(path: Path, needed_bytes: int) -> str | None:
    if not os.path.ismount(path):
        return f"{path} is no mounted file system"
    if not os.access(path, os.W_OK | os.X_OK):
        return f"{path} is not writable"
    status = os.statvfs(path)
    free_bytes = status.f_bavail * status.f_frsize
    if free_bytes < needed_bytes:
        return f"{path} has {free_bytes >> 20} MiB of the {needed_bytes >> 20} MiB needed"
    return None


@contextlib.contextmanager
def run_directory(base: Path | None = None) -> Iterator[Path]:
    """A fresh, empty, private directory in `base` (default: `memory_directory()`), removed at the end.

    If we are killed before that, the next `sweep` removes it. A child process that leaves the block
    after fork(2) removes nothing. Raises `HarnessFault` if the registry is not ours.
    """
    parent = memory_directory().path if base is None else base
    owner = os.getpid()
    registry = _open_registry()
    try:
        claim, name = _new_claim(registry)
        try:
            yield _make_directory(claim, parent)
        finally:
            if os.getpid() == owner:
                _release(registry, claim, name)
            os.close(claim)
    finally:
        os.close(registry)


def sweep() -> list[Path]:
    """Remove the run directories of owners that died, and return them; end what their stores have left running.

    What cannot be removed keeps its claim, and the next sweep tries again.
    """
    registry = _open_registry()
    try:
        swept = [_sweep_claim(registry, name) for name in sorted(os.listdir(registry))]
    finally:
        os.close(registry)
    return [path for path in swept if path is not None]


def _sweep_claim(registry: int, name: str) -> Path | None:
    try:
        claim = os.open(name, _OPEN_CLAIM, dir_fd=registry)
    except OSError:  # another sweep was faster, or it is no file of ours
        return None
    try:
        if not stat.S_ISREG(os.fstat(claim).st_mode) or not _lock(claim):
            return None
        if (path := _read(claim).get("path")) is not None:
            containment.kill_family(str(path))
        return _release(registry, claim, name)
    finally:
        os.close(claim)


# --- the registry ---------------------------------------------------------------------------


def _open_registry() -> int:
    path = Path(tempfile.gettempdir()) / f"durability-harness-{os.geteuid()}"
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    try:
        registry = os.open(path, _OPEN_DIRECTORY)
    except OSError as error:
        message = f"{path} is no directory of ours ({error.strerror}): remove it or set TMPDIR."
        raise HarnessFault(message) from None
    status = os.fstat(registry)
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        os.close(registry)
        raise HarnessFault(f"{path} is open to other users: remove it or set TMPDIR.")
    return registry


def _new_claim(registry: int) -> tuple[int, str]:
    """A new claim, locked. A sweep may take it between its creation and its lock: then make another."""
    for _ in range(_ATTEMPTS):
        name = secrets.token_hex(8)
        claim = os.open(name, _OPEN_CLAIM | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=registry)
        if _lock(claim):
            return claim, name
        os.close(claim)
    raise HarnessFault("The registry of run directories is swept without end by other processes.")


def _lock(claim: int) -> bool:
    """Whether the claim is now ours: nobody else holds it, and nobody has removed it meanwhile."""
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return os.fstat(claim).st_nlink > 0


def _make_directory(claim: int, parent: Path) -> Path:
    for _ in range(_ATTEMPTS):
        path = parent.absolute() / ("tmp" + "".join(secrets.choice(_LETTERS) for _ in range(8)))
        _write(claim, {"path": os.fspath(path)})
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            os.ftruncate(claim, 0)  # somebody else's: no claim of ours
            continue
        status = path.lstat()
        _write(claim, {"path": os.fspath(path), "device": status.st_dev, "inode": status.st_ino})
        return path
    raise HarnessFault(f"{parent} takes no new directories.")


def _write(claim: int, record: dict[str, str | int]) -> None:
    # One small write over the other, and never a shorter one: a kill leaves the earlier record or the later.
    os.pwrite(claim, json.dumps(record).encode() + b"\n", 0)


def _read(claim: int) -> dict[str, str | int]:
    text = os.pread(claim, 1 << 16, 0)
    try:
        record = json.loads(text)
    except ValueError:
        return {}
    return record if isinstance(record, dict) and isinstance(record.get("path"), str) else {}


def _release(registry: int, claim: int, name: str) -> Path | None:
    """Remove what a claim names, then the claim; what has been removed. What resists keeps its claim."""
    record = _read(claim)
    if not _is_ours(record):
        os.unlink(name, dir_fd=registry)
        return None
    path = Path(str(record["path"]))
    if "inode" in record:
        gone = remove_tree(path)
    else:  # killed before the inode was known: then it is ours only while it is empty
        gone = _remove_empty(path)
    if gone or "inode" not in record:
        os.unlink(name, dir_fd=registry)
    return path if gone else None


def _is_ours(record: dict[str, str | int]) -> bool:
    """Whether the claimed directory is still there, and still the one that we made."""
    try:
        status = os.lstat(str(record["path"]))
    except (KeyError, OSError):
        return False
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return False
    return "inode" not in record or (status.st_dev, status.st_ino) == (record.get("device"), record["inode"])


def _remove_empty(path: Path) -> bool:
    with contextlib.suppress(OSError):
        path.rmdir()
    return not os.path.lexists(path)


# --- removal --------------------------------------------------------------------------------


def remove_tree(path: Path) -> bool:
    """Remove a directory with all that is in it, also what is unreadable or read-only; whether it is gone.

    Symbolic links are removed, never followed. Subdirectories are first moved up to the top, so that a
    tree of any depth takes neither stack nor descriptors.
    """
    try:
        top = _open_accessible(os.fspath(path), None)
    except OSError:
        return not os.path.lexists(path)
    try:
        _empty(top)
    finally:
        os.close(top)
    return _remove_empty(path)


def _empty(top: int) -> None:
    while subdirectories := _unlink_files(top):
        removed = [_lift_and_remove(top, name) for name in subdirectories]
        if not any(removed):  # a mount point, an immutable directory: give up
            return


def _unlink_files(directory: int) -> list[str]:
    """Unlink all but the subdirectories, whose names are returned."""
    with os.scandir(directory) as entries:
        listed = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in listed:
        if not is_directory:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=directory)
    return [name for name, is_directory in listed if is_directory]


def _lift_and_remove(top: int, name: str) -> bool:
    try:
        directory = _open_accessible(name, top)
    except OSError:
        return False
    try:
        for inner in _unlink_files(directory):
            _make_accessible(inner, directory)  # moving a directory changes its "..": needs write permission
            os.rename(inner, secrets.token_hex(16), src_dir_fd=directory, dst_dir_fd=top)
        os.rmdir(name, dir_fd=top)
    except OSError:
        return False
    finally:
        os.close(directory)
    return True


def _open_accessible(name: str, parent: int | None) -> int:
    _make_accessible(name, parent)
    return os.open(name, _OPEN_DIRECTORY, dir_fd=parent)


def _make_accessible(name: str, parent: int | None) -> None:
    """chmod u+rwx, never through a symbolic link."""
    path_only = getattr(os, "O_PATH", None)
    if path_only is None:
        os.chmod(name, 0o700, dir_fd=parent, follow_symlinks=False)
        return
    # fchmodat(2) has no AT_SYMLINK_NOFOLLOW before Linux 6.6; open(2), O_PATH, names this way around it.
    handle = os.open(name, path_only | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{handle}", 0o700)
    finally:
        os.close(handle)
