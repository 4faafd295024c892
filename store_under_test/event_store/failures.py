"""What a failure of a system call means to the store.

transient: out of descriptors or memory, an interrupt, before the fsync. That call raises; nothing changed.
degraded: disk full or quota exceeded, before the fsync. That call raises, later appends are refused, but for a try now
and then.
fatal: any other error of a write, each error of an fsync, and all after it. No more writes until it is opened again.

After a failed fsync nobody knows what is on the disk: the kernel may have dropped the pages and count them as clean,
so that trying again would succeed without anything being written (Rebello et al., ATC 2020).
"""

from __future__ import annotations

import errno
from enum import Enum

from store_under_test.event_store.errors import LeaseLostError, SyncFailedError, UnknownOutcomeError

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
NO_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})


class Failure(Enum):
    """How much of the store a failure takes with it."""

    TRANSIENT = "transient"
    DEGRADED = "degraded"
    FATAL = "fatal"


def classify(error: BaseException, *, was_written: bool) -> Failure:
    """The class of a failure; `was_written`: the frame had been handed to the kernel in full."""
    if was_written or isinstance(error, SyncFailedError | UnknownOutcomeError | LeaseLostError):
        return Failure.FATAL
    if isinstance(error, OSError):
        if error.errno in NO_SPACE:
            return Failure.DEGRADED
        return Failure.TRANSIENT if error.errno in NO_RESOURCES else Failure.FATAL
    return Failure.TRANSIENT if isinstance(error, MemoryError | KeyboardInterrupt) else Failure.FATAL
