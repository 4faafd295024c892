"""Files that are made from the log: snapshots and indexes. They may be lost, never half there under their name.

A file is written to a temporary one beside it, made durable, and renamed. Whoever reads verifies checksums, so
the fsync is not for safety: it keeps a power failure from leaving a file that has to be warned about.
"""

from __future__ import annotations

import itertools
import os

from store_under_test.event_store.files import (
    close_quietly,
    open_directory,
    open_file,
    read_at,
    remove_quietly,
    size_of,
    sync,
    write_at,
)

_numbers = itertools.count()


def write_atomically(path: str, data: bytes) -> None:
    """Replace `path` by `data`. Raises `OSError` or `SyncFailedError`; then `path` is as it was."""
    temporary = f"{path}.{os.getpid()}-{next(_numbers)}.tmp"
    descriptor = open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        try:
            write_at(descriptor, data, 0)
            sync(descriptor, temporary)
        finally:
            close_quietly(descriptor)
        os.replace(temporary, path)
    except BaseException:
        remove_quietly(temporary)
        raise


def sync_directory(path: str) -> None:
    """Make the entries of a directory durable."""
    descriptor = open_directory(path)
    try:
        sync(descriptor, path)
    finally:
        close_quietly(descriptor)


def read_part(path: str, offset: int, length: int) -> bytes:
    """`length` bytes of `path` from `offset`, fewer at its end. Raises `FileNotFoundError` and other `OSError`s."""
    descriptor = open_file(path, os.O_RDONLY)
    try:
        return read_at(descriptor, length, offset)
    finally:
        close_quietly(descriptor)


def read_whole(path: str) -> bytes:
    """All of `path`."""
    descriptor = open_file(path, os.O_RDONLY)
    try:
        return read_at(descriptor, size_of(descriptor), 0)
    finally:
        close_quietly(descriptor)
