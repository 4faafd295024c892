"""What the store raises. `OSError`s of the file system pass through unchanged, but for a failed fsync.

Whatever refuses an append because of what was asked (size, version, form) is raised before anything is written.
"""

from __future__ import annotations

from typing import Any


class EventStoreError(Exception):
    """Base of the store's own exceptions. The arguments are the fields, so that each can be copied and pickled."""


class InvalidEventError(EventStoreError, ValueError):
    """An event that cannot be stored; `field` says where, `problem` what is wrong."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field} {self.problem}"


class _SizeError(EventStoreError, ValueError):
    """Something is too large: `size` against `limit`."""

    what = "it has {size}; the limit is {limit}"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(size, limit)
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return self.what.format(size=self.size, limit=self.limit)


class EventTooLargeError(_SizeError):
    """An event of more than 1 MiB, encoded."""

    what = "the event has {size} bytes; the limit is {limit}"


class BatchSizeError(_SizeError):
    """A batch of no event, or of more than 1000."""

    what = "the batch has {size} events; it must have 1 to {limit}"


class BatchTooLargeError(_SizeError):
    """A batch of more than 10 MiB, encoded."""

    what = "the batch has {size} bytes; the limit is {limit}"


class WrongVersionError(EventStoreError):
    """The aggregate has another version than the caller expected. Nothing was written."""

    def __init__(self, aggregate: str, expected: int, actual: int) -> None:
        super().__init__(aggregate, expected, actual)
        self.aggregate = aggregate
        self.expected = expected
        self.actual = actual

    def __str__(self) -> str:
        return f"{self.aggregate!r} is at version {self.actual}, not {self.expected}"


class UnknownSchemaError(EventStoreError):
    """An event of a schema version that nobody here knows how to read."""

    def __init__(self, type: str, schema_version: int, known: int) -> None:
        super().__init__(type, schema_version, known)
        self.type = type
        self.schema_version = schema_version
        self.known = known

    def __str__(self) -> str:
        return f"{self.type!r} has schema version {self.schema_version}; the newest known one is {self.known}"


class ForeignFormatError(EventStoreError):
    """A directory or file that another program, or a newer version of this one, has written. It is left alone."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class LockedError(EventStoreError, TimeoutError):
    """Another handle is open on the directory, and was for the time that the caller would wait."""

    def __init__(self, path: str, timeout_s: float, holder: str) -> None:
        super().__init__(path, timeout_s, holder)
        self.path = path
        self.timeout_s = timeout_s
        self.holder = holder

    def __str__(self) -> str:
        return f"{self.path} was not free within {self.timeout_s:g} s; held by {self.holder}"


class LeaseLostError(EventStoreError):
    """Another process took the lease over. The append may have happened or not; this handle writes no more."""


class DamagedError(EventStoreError):
    """Bytes that are not what the store once wrote: `extent` is the first one and the one after the last, in `path`."""

    def __init__(self, path: str, extent: tuple[int, int], problem: str) -> None:
        super().__init__(path, extent, problem)
        self.path = path
        self.extent = extent
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}, bytes {self.extent[0]} to {self.extent[1]}: {self.problem}"


class ReadOnlyError(EventStoreError):
    """The store takes no events at the moment, or until it is opened again; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SyncFailedError(EventStoreError):
    """An fsync failed. It is never tried again: what was written may be gone from memory and not be on the disk."""

    def __init__(self, path: str, error: OSError) -> None:
        super().__init__(path, error)
        self.path = path
        self.error = error

    def __str__(self) -> str:
        return f"fsync of {self.path} failed: {self.error}; the store refuses writes until it is opened again"


class UnknownOutcomeError(EventStoreError):
    """A segment has not got its name, or has although an error was reported. Opening the store again tells."""


class CursorExpiredError(EventStoreError):
    """A cursor points to events that retention has removed."""

    def __init__(self, sequence: int, retained_from: int) -> None:
        super().__init__(sequence, retained_from)
        self.sequence = sequence
        self.retained_from = retained_from

    def __str__(self) -> str:
        return f"events before {self.retained_from} are gone; the cursor points to {self.sequence}"


class StoreClosedError(EventStoreError):
    """The handle was closed, or belongs to the process that this one was forked from."""


def copied(error: BaseException) -> BaseException:
    """An exception like `error` for another thread: one instance must not be raised in two."""
    other: Any
    try:
        other = type(error)(*error.args)
    except Exception:
        other = EventStoreError(str(error))
    other.__cause__ = error
    return other  # type: ignore[no-any-return]
