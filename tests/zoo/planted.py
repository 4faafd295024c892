"""Defects of the circuit breaker and of the structured log, as the series ask for them.

Those of the log that writers meet are driven by the harness, through the adapter of the sound log. The others, and all
of the breaker, are found by the checks of their own tests: for a breaker Hypothesis makes programs from a seed; the
checks of the log bring about the one course of events that shows the defect, whatever the seed.
"""

from __future__ import annotations

import inspect
import tempfile
import time
import traceback
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path

from store_under_test.structured_log import StructuredLogger
from store_under_test.structured_log.adapter import FILE_NAME, StructuredLogAdapter
from tests.unit.structured_log.checks import CHECKS
from tests.unit.structured_log.defects import DEFECTS as LOG_DEFECTS
from tests.unit.structured_log.defects import SeekAndWrite, TwoWrites

#: Programs that Hypothesis makes of one seed, at most, and steps in each.
EXAMPLES, STEPS = 500, 20
_BREAKER, _LOG = "breaker", "log"
_LONGEST_TEXT = 150


@dataclass(frozen=True, slots=True)
class Sought:
    """What came of one seed: the right finding (`told`, or "") by a `scenario`, after so many `trials` and `seconds`.

    `elsewhere` are findings of another kind or at another line that came before.
    """

    seed: int
    told: str
    scenario: str
    trials: int
    seconds: float
    elsewhere: tuple[str, ...] = ()

    @property
    def caught(self) -> bool:
        return bool(self.told)


class TwoWritesAdapter(StructuredLogAdapter):
    """A log whose file takes no lock."""

    name = "log-two-writes"
    file_type = TwoWrites

    def open(self, directory: Path) -> StructuredLogger:
        kind = type("Defective", (StructuredLogger,), {"file_type": self.file_type})
        store: StructuredLogger = kind(directory / FILE_NAME)
        self._records(store)
        return store


class SeekAndWriteAdapter(TwoWritesAdapter):
    """A log whose writers go on where they have stopped."""

    name = "log-seek-and-write"
    file_type = SeekAndWrite


#: Adapters by the defect that they hold, and the function in which it stands.
LOGS: dict[str, tuple[type[TwoWritesAdapter], Callable[..., object]]] = {
    "two writes for a record": (TwoWritesAdapter, TwoWrites.append),
    "seek and write": (SeekAndWriteAdapter, SeekAndWrite.append),
}


def lines_of(function: Callable[..., object]) -> frozenset[int]:
    """The numbers of the lines of a function."""
    source, first = inspect.getsourcelines(function)
    return frozenset(range(first, first + len(source)))


@dataclass(frozen=True, slots=True)
class Check:
    """A planted defect and the check that is to find it: `kit` is "breaker" or "log", `name` that of the defect."""

    kit: str
    name: str

    @property
    def id(self) -> str:
        return f"{self.kit}: {self.name}"

    @property
    def budget(self) -> str:
        """What is tried for one seed at most, in words."""
        return f"{EXAMPLES} programs of {STEPS} steps" if self.kit == _BREAKER else "one course of events"

    def search(self, seed: int) -> Sought:
        """Whether the check finds the defect, and how long that takes."""
        started = time.perf_counter()
        said = self.run(seed)
        return Sought(seed, said, "", 0, round(time.perf_counter() - started, 2))

    def run(self, seed: int) -> str:
        """What the check says against the defect, on one line, or nothing."""
        try:
            self._breaker(seed) if self.kit == _BREAKER else self._log()
        except AssertionError as error:
            return _told(error, said=self.kit == _BREAKER)
        return ""

    def _breaker(self, seed: int) -> None:
        from tests.unit.circuit_breaker.defects import DEFECTS  # Hypothesis takes a second to import
        from tests.unit.circuit_breaker.machine import check

        check(DEFECTS[self.name], examples=EXAMPLES, steps=STEPS, seed=seed)

    def _log(self) -> None:
        kit, check = LOG_DEFECTS[self.name]
        with tempfile.TemporaryDirectory() as folder:
            copy_context().run(CHECKS[check], kit, Path(folder))


def checks() -> tuple[Check, ...]:
    """One for each planted defect that no adapter stands for."""
    from tests.unit.circuit_breaker.defects import DEFECTS

    breakers = (Check(_BREAKER, name) for name in DEFECTS)
    logs = (Check(_LOG, name) for name in LOG_DEFECTS if name not in LOGS)
    return (*breakers, *logs)


def _told(error: AssertionError, *, said: bool) -> str:
    """The assertion that failed, or what it said: that has the same values in it for the same seed, but not where a log
    tells the time."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = str(error).partition("\n")[0] if said else ""
    return f"{place.name}: {text or place.line}"[:_LONGEST_TEXT]
