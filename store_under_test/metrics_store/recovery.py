"""What to do when the primary file is damaged or missing: primary, then backup, then a fresh state.

A crash at any call leaves every good copy in place, so that the next opening can start over:

1. Damaged files are kept under a name made of their digest, as copies. Nothing is moved away, so that a
   damaged store never looks like an empty one, and doing it twice makes no second copy.
2. The primary is replaced, atomically, by the content of the backup, or by a fresh state if the backup is
   no good either. The backup is not touched.

Each fallback is a warning in the log. What cannot be read (EIO) is not damage: the error is raised and
nothing is changed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from store_under_test.metrics_store.codec import decode
from store_under_test.metrics_store.errors import DamagedFileError
from store_under_test.metrics_store.files import FileImage, Paths, logger, read_file, write_atomically
from store_under_test.metrics_store.state import DashboardState


@dataclass(frozen=True, slots=True)
class Sound:
    """A file that holds a state."""

    image: FileImage
    state: DashboardState


@dataclass(frozen=True, slots=True)
class Damaged:
    """A file that does not."""

    image: FileImage
    reason: str


Found = Sound | Damaged | None  # None: there is no such file


def inspect(path: str) -> Found:
    """What the file holds. Raises `OSError` if it can't be read, `UnsupportedVersionError` if it is newer."""
    image = read_file(path)
    if image is None:
        return None
    try:
        return Sound(image, decode(image.data))
    except DamagedFileError as damage:
        return Damaged(image, str(damage))


def recover(paths: Paths, primary: Damaged | None, fresh: bytes) -> Sound | None:
    """Restore the primary; `None`, and nothing written, if nothing was ever saved.

    `fresh` are the bytes of a fresh state. The caller holds the lock.
    """
    backup = inspect(paths.backup)
    known = primary or backup
    if known is None:
        return None
    if primary is not None:
        quarantine(paths, paths.primary, primary)
    if isinstance(backup, Damaged):
        quarantine(paths, paths.backup, backup)
    mode = known.image.mode
    if isinstance(backup, Sound):
        return _restore(paths, FileImage(backup.image.data, mode), "the backup, which may be one save behind")
    return _restore(paths, FileImage(fresh, mode), "a fresh state")


def _restore(paths: Paths, image: FileImage, source: str) -> Sound:
    write_atomically(paths.primary, image.data, image.mode)
    logger.warning("%s was damaged or missing; it now holds %s", paths.primary, source)
    return Sound(image, decode(image.data))


def quarantine(paths: Paths, path: str, damaged: Damaged) -> None:
    """Keep a copy of the damaged content of `path`, durably, and say so."""
    kept = paths.quarantine(hashlib.sha256(damaged.image.data).hexdigest())
    write_atomically(kept, damaged.image.data, damaged.image.mode)
    logger.warning("%s is damaged (%s); its content is kept as %s", path, damaged.reason, kept)
