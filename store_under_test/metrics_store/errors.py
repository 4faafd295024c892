"""What the store raises. `OSError`s of the file system pass through unchanged."""

from __future__ import annotations


class MetricsStoreError(Exception):
    """Base of the store's own exceptions."""


class InvalidStateError(MetricsStoreError, ValueError):
    """A state was refused before anything was written; `field` says where, `problem` what is wrong."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field.removeprefix('.') or 'state'} {self.problem}"

    def inside(self, prefix: str) -> InvalidStateError:
        """The same problem, seen from one level further out."""
        return InvalidStateError(prefix + self.field, self.problem)


class DamagedFileError(MetricsStoreError):
    """A file does not hold what the store once wrote. The store handles it: see `recovery`."""


class UnsupportedVersionError(MetricsStoreError):
    """A sound file of a newer format version. It is neither read nor replaced nor put aside."""


class StoreClosedError(MetricsStoreError):
    """The handle was closed."""


class LockAcquisitionError(MetricsStoreError, TimeoutError):
    """The lock was not free within `timeout_s` seconds; `holder` names who has it, where known."""

    def __init__(self, path: str, timeout_s: float, holder: str | None) -> None:
        by = holder or "an unknown holder"
        super().__init__(f"{path} was not free within {timeout_s:g} s; held by {by}")
        self.path = path
        self.timeout_s = timeout_s
        self.holder = holder

    def __reduce__(self) -> tuple[type[LockAcquisitionError], tuple[str, float, str | None]]:
        return type(self), (self.path, self.timeout_s, self.holder)
