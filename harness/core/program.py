"""Programs: operations of a store with faults between them, as values that are easy to read and to paste.

A program begins with an empty directory and an open store. `source` writes it as Python.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from harness.core.contract import Contract
from harness.core.errors import UsageError
from harness.core.persistence import PRESETS

#: The errors that `FailNextCall` knows. A short write is no error: fewer bytes are written than were asked for.
CALL_ERRORS = ("EIO", "ENOSPC", "short write")
#: What becomes of data whose sync failed: its pages count as clean (ext4, XFS), the file falls back to what was last
#: synced (Btrfs), or the sync seems to work and the next one of the file reports the error. See `harness.inject.syncs`.
AFTERMATHS = ("clean", "reverted", "late")
#: What may be done to the clocks: see `TurnClock`.
TURNS = ("set", "stop", "summer ends", "summer begins", "right")
#: The farthest that the wall clock is set at once, seconds: about 317 years.
_FARTHEST_S = 1e10

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


@dataclass(frozen=True, slots=True)
class FailSync:
    """Of the next step the `nth` fsync or fdatasync fails (from 1), with one of the `AFTERMATHS` for its data.

    What a store makes of it is judged by the next `PowerCut`; other steps than operations before that end the program,
    because whether a new opening reads the disk or the pages in memory is not for a store to know.
    """

    nth: int = 1
    aftermath: str = "clean"

    def __post_init__(self) -> None:
        if self.aftermath not in AFTERMATHS:
            raise UsageError(f"no failed sync ends {self.aftermath!r}: say one of {', '.join(AFTERMATHS)}.")
        if self.nth < 1:
            raise UsageError(f"FailSync({self.nth}) can't fire: syncs are counted from 1.")


@dataclass(frozen=True, slots=True)
class TurnClock:
    """Something happens to the clocks that the store reads; `turn` is one of `TURNS`.

    "set": the wall clock is set by `seconds`, back where negative; "stop": it stands still for a while; "right": it is
    set right. "summer ends" and "summer begins": months pass until half an hour before local time repeats or skips an
    hour, or, from there, half an hour passes and the change with it.
    """

    turn: str = "set"
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.turn not in TURNS:
            raise UsageError(f"a clock can't turn {self.turn!r}: say one of {', '.join(TURNS)}.")
        if not abs(self.seconds) <= _FARTHEST_S:
            raise UsageError(f"TurnClock({self.turn!r}, {self.seconds}) is too far: say up to {_FARTHEST_S:g} seconds.")
        if self.seconds and self.turn != "set":
            raise UsageError(f"TurnClock({self.turn!r}) takes no seconds: only \"set\" does.")


FAULT_TYPES = (PowerCut, KillWriter, FailNextCall, FillDisk, FreeDisk, DamageFile, FailSync, TurnClock)
#: The promises that faults of a program are about.
CLAIMS = ("power_loss", "process_crash", "io_error", "corruption")
#: The faults of a program by name, and the promises that each of them takes: one of each group.
FAULTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "power_cut": (("power_loss",),),
    "kill": (("process_crash",),),
    "failing_call": (("io_error",),),
    "full_disk": (("io_error",),),
    "damage": (("corruption",),),
    "failed_sync": (("io_error",), ("power_loss",)),
    "clock": (("process_crash", "power_loss"),),
}


def claim_of(fault: str, promises: Mapping[str, str | None]) -> str | None:
    """The claim that a violation by `fault` breaks; `None` where not all that it takes is promised.

    A store under a strange clock is closed cleanly, which asks for less than a crash does: so whoever promises to
    survive a crash promises that.
    """
    made = [next((claim for claim in group if promises.get(claim) is not None), None) for group in FAULTS[fault]]
    return made[0] if all(made) else None


def promised_faults(promises: Mapping[str, str | None]) -> tuple[str, ...]:
    """The faults about which something is promised; `promises` by claim."""
    return tuple(name for name in FAULTS if claim_of(name, promises) is not None)


def promises_of(contract: Contract) -> dict[str, str | None]:
    """What a contract promises about the faults of a program, by claim."""
    return {claim: getattr(contract, claim) for claim in CLAIMS}


def offered_faults(contract: Contract, wanted: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """The faults about which `contract` promises something, of those `wanted`.

    Raises `UsageError` for a fault that does not exist.
    """
    for name in wanted or ():
        if name not in FAULTS:
            raise UsageError(f"there is no fault {name!r}: say some of {', '.join(FAULTS)}.")
    promised = promised_faults(promises_of(contract))
    return promised if wanted is None else tuple(name for name in wanted if name in promised)


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
