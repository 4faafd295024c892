"""Restoring what redundancy can: what `verify` lays over in memory, written.

Damaged bytes are kept beside before they are overwritten. Parity that is damaged is made anew from a segment
that is sound, and the mirror is made equal to the active segment. All of it can be interrupted anywhere and done
again: no step writes to what it reads from, and each is durable before the next. What cannot be restored stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from store_under_test.event_store import files, lease, mirror, parity, sealed
from store_under_test.event_store.copies import opened, reader
from store_under_test.event_store.derived_checks import DERIVED, Check
from store_under_test.event_store.errors import DamagedError
from store_under_test.event_store.lease import Patience
from store_under_test.event_store.reports import Report
from store_under_test.event_store.twins import sound_header
from store_under_test.event_store.verify import verify, walk


def repair(
    directory: str | os.PathLike[str], checks: Iterable[Check] = DERIVED, patience: Patience | None = None
) -> tuple[Report, Report]:
    """Restore what redundancy can, durably; the reports from before and after.

    Raises `LockedError` if the log is open, and what `verify` raises. May be interrupted, and done again.
    """
    path = os.path.abspath(os.fspath(directory))
    checks = tuple(checks)
    descriptor = files.open_directory(path)
    try:
        held = lease.acquire(path, descriptor, patience or Patience())
        try:
            before = verify(path, checks)
            if not before.is_sound:
                restore(path)
                _forget_derived(path, checks)
            return before, verify(path, checks)
        finally:
            held.release()
    finally:
        files.close_quietly(descriptor)


def _forget_derived(directory: str, checks: Iterable[Check]) -> None:
    """Remove what is made from the log and damaged: the next opening makes it anew, or reads the log instead."""
    for name in {extent.name for check in checks for extent in check(directory)}:
        files.logger.warning("%s is damaged, and removed", os.path.join(directory, name))
        files.remove_quietly(os.path.join(directory, name))


def restore(directory: str) -> None:
    """Everything that mirror and parity can do, segment by segment, the newest first."""
    for place in walk(directory):
        path = os.path.join(directory, place.name)
        _restore_segment(path, place.end_offset, is_active=place.following is None)
        if os.path.exists(path):
            with opened(path) as descriptor:
                place.header = sound_header(reader(descriptor), path)


def _restore_segment(path: str, end_offset: int | None, *, is_active: bool) -> None:
    has_mirror = os.path.exists(mirror.path_of(path))
    if has_mirror:
        try:
            mirror.heal(path)
        except DamagedError as damage:
            files.logger.warning("%s", damage)
    if not os.path.exists(path):
        return
    sealed.mend(path)
    if end_offset is not None:
        _renew_parity(path, end_offset)
    if is_active and has_mirror:
        files.close_quietly(mirror.follow(path))


def _renew_parity(path: str, end_offset: int) -> None:
    content, table = sealed.table_of(path)
    is_sound = table is not None and table.layout.covered == end_offset and not parity.unsound_parts(content, table)
    if content and not is_sound and not sealed.make(path, end_offset):
        files.logger.warning("the parity of %s is damaged, and so is the segment", path)
