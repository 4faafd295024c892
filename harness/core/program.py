"""Programs: operations of a store with faults between them, as values that are easy to read and to paste.

A program begins with an empty directory and an open store. `source` writes it as Python.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import Enum
from typing import Any

from harness.core.contract import Contract
from harness.core.errors import UsageError
from harness.core.persistence import PRESETS

#: The errors that `FailNextCall` knows. A short write is no error: fewer bytes are written than were asked for.
CALL_ERRORS = ("EIO", "ENOSPC", "short write")

#: Text of one repeated character is written as a product from this length on.
_LONG = 40


@dataclass(frozen=True, slots=True)
class PowerCut:
    """The machine loses power during or after the last step. `choice` picks one of the legal contents of the disk
    under the persistence model named `model`, by its number; it wraps around where there are fewer."""

    model: str = "strict"
    choice: int = 0


@dataclass(frozen=True, slots=True)
class KillWriter:
    """The process dies during or after the last step; `choice` picks the moment, by its number."""

    choice: int = 0


@dataclass(frozen=True, slots=True)
class FailNextCall:
    """Of the next step the `nth` call that can fail with `error` does so (from 1); see `CALL_ERRORS`."""

    error: str = "EIO"
    nth: int = 1

    def __post_init__(self) -> None:
        if self.error not in CALL_ERRORS:
            raise UsageError(f"there is no error {self.error!r} for a call: say one of {', '.join(CALL_ERRORS)}.")
        if self.nth < 1:
            raise UsageError(f"FailNextCall(nth={self.nth}) can't fire: calls are counted from 1.")


@dataclass(frozen=True, slots=True)
class FillDisk:
    """From now on every call that needs room on the disk fails with ENOSPC."""


@dataclass(frozen=True, slots=True)
class FreeDisk:
    """There is room on the disk again."""


@dataclass(frozen=True, slots=True)
class DamageFile:
    """The store is closed, one file is damaged, the store is opened twice, and the file is restored.

    `choice` picks one of all damages of all files, by its number.
    """

    choice: int = 0


FAULT_TYPES = (PowerCut, KillWriter, FailNextCall, FillDisk, FreeDisk, DamageFile)
#: The faults of a program by name, and the promise that each of them is about.
FAULTS = {
    "power_cut": "power_loss",
    "kill": "process_crash",
    "failing_call": "io_error",
    "full_disk": "io_error",
    "damage": "corruption",
}


def offered_faults(contract: Contract, wanted: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """The faults about which `contract` promises something, of those `wanted`.

    Raises `UsageError` for a fault that does not exist.
    """
    for name in wanted or ():
        if name not in FAULTS:
            raise UsageError(f"there is no fault {name!r}: say some of {', '.join(FAULTS)}.")
    names = FAULTS if wanted is None else wanted
    return tuple(name for name in names if getattr(contract, FAULTS[name]) is not None)


@dataclass(frozen=True, slots=True)
class Program:
    """Steps: operations of the store's model, `Reopen`, and faults.

    With `looking` the store is read after every step, which may hide what it keeps in buffers.
    """

    steps: tuple[Any, ...]
    looking: bool = False

    def source(self, adapter: str) -> str:
        """The program as Python that fails as long as the defect is there."""
        lines = [f"    {source(step)}," for step in self.steps]
        options = ", looking=True" if self.looking else ""
        return "\n".join((f"play({adapter}, (", *lines, f"){options})"))


def source(value: Any) -> str:
    """A value as Python, whole: dataclasses with positional fields."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (source(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init)
        return f"{type(value).__name__}({', '.join(fields)})"
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, list):
        return f"[{', '.join(map(source, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(source, value))}{',' * (len(value) == 1)})"
    if isinstance(value, str) and len(value) > _LONG and len(set(value)) == 1:
        return f"{value[0]!r} * {len(value)}"
    return repr(value)


def require_model(name: str) -> None:
    """Raise `UsageError` where there is no persistence model of this name."""
    if name not in PRESETS:
        raise UsageError(f"there is no persistence model {name!r}: say one of {', '.join(PRESETS)}.")
