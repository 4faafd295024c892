"""Schedules of faults: which begin at which call of a store, several at once and one after another.

The nemesis of a test, in the words of Jepsen, is the process that makes everything fail at the worst moments. Here it
is a value: a schedule can be generated from a seed, written by hand, put on a certificate, and run again. Time is
counted in I/O calls of the store about its directory, over all processes of a run, because calls come in the same
order on every machine. What carries a fault out is an `Injector`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.core.errors import UsageError

#: Faults of one generated schedule: at least and at most so many.
STRIKES = (2, 4)
#: How many calls a fault that lasts goes on for, at most.
LASTING_CALLS = 4


class Injector(Protocol):
    """One fault, switched on and off in the process that runs the store.

    `start` begins it and `stop` takes it back: afterwards the process is as it was before, however often `stop` is
    called. `fired` counts how often it struck; one that never did proves nothing. What an injector changes outside of
    its process has to vanish with the process or lie in the run's directory, because a run may be killed at any time.
    """

    fired: int

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def describe(self) -> str: ...


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A fault that a schedule can name: the claim that it puts to the test, and what it does, in words.

    `lasts` says that it may go on for several calls; others strike once. `ends` says that the process is gone then.
    `at_rest` says that it strikes while no process runs: after the next fault that ends one. `off_s` is how far it sets
    the wall clock, in seconds.
    """

    claim: str
    does: str
    lasts: bool = False
    ends: bool = False
    at_rest: bool = False
    off_s: float = 0.0


_HOUR_S = 3_600.0

FAULTS: dict[str, FaultKind] = {
    "kill": FaultKind("process_crash", "the process is killed", ends=True),
    "kill-in-write": FaultKind("process_crash", "the process is killed inside a write", ends=True),
    "stall": FaultKind("process_crash", "the process is stopped for a while"),
    "eio": FaultKind("io_error", "reads, writes and syncs fail with EIO", lasts=True),
    "enospc": FaultKind("io_error", "what needs room fails with ENOSPC", lasts=True),
    "short-write": FaultKind("io_error", "writes are cut to half", lasts=True),
    "full-disk": FaultKind("io_error", "a file grows by half of one write, then the disk is full", lasts=True),
    "emfile": FaultKind("io_error", "what needs a new descriptor fails with EMFILE", lasts=True),
    "fsync-eio": FaultKind("io_error", "syncs of files and directories fail with EIO", lasts=True),
    "clock-forward": FaultKind("process_crash", "the wall clock is an hour ahead", lasts=True, off_s=_HOUR_S),
    "clock-back": FaultKind("process_crash", "the wall clock is an hour behind", lasts=True, off_s=-_HOUR_S),
    "damage": FaultKind("corruption", "a file is damaged after the next kill", at_rest=True),
}
#: The weakest claim of a schedule is the first of these that one of its faults is about.
_WEAKEST_FIRST = ("corruption", "io_error", "process_crash")


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault by name, from the call `start` to the call `stop`, both included, and on until it has struck once."""

    fault: str
    start: int
    stop: int

    def describe(self) -> str:
        at = f"{self.start}" if self.start == self.stop else f"{self.start}-{self.stop}"
        return f"{self.fault}@{at}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Faults over the calls of a run."""

    strikes: tuple[Strike, ...]

    def describe(self) -> str:
        """The schedule as `parse` reads it."""
        return ", ".join(strike.describe() for strike in self.strikes)

    @property
    def claim(self) -> str:
        """The weakest claim that its faults leave: about damage, else about calls that fail, else about kills."""
        return next(claim for claim in _WEAKEST_FIRST if claim in self.claims)

    @property
    def claims(self) -> frozenset[str]:
        """All claims that its faults are about."""
        return frozenset(FAULTS[strike.fault].claim for strike in self.strikes)

    def without(self, claim: str) -> Schedule:
        """The schedule without the faults that `claim` is about."""
        return Schedule(tuple(strike for strike in self.strikes if FAULTS[strike.fault].claim != claim))

    def starting_at(self, call: int) -> Schedule:
        """The same faults at the same distances, the first of them at `call`."""
        by = call - min(strike.start for strike in self.strikes)
        return Schedule(tuple(Strike(one.fault, one.start + by, one.stop + by) for one in self.strikes))

    @property
    def kills(self) -> int:
        return sum(FAULTS[strike.fault].ends for strike in self.strikes)

    def at_rest(self, before: int, calls: int) -> Strike | None:
        """What strikes at rest after a process was killed at call number `calls`; the last kill was at `before`."""
        at_rest = (strike for strike in self.strikes if FAULTS[strike.fault].at_rest)
        return next((strike for strike in at_rest if before < strike.start <= calls), None)

    def never_fired(self, calls: int) -> str:
        """Why nothing is known where no strike came, in words."""
        return f"the schedule {self.describe()!r} never fired: the workload made {calls} calls"


# --- by hand ------------------------------------------------------------------------------------

_STRIKE = re.compile(r"(?P<fault>[\w-]+)@(?P<start>\d+)(-(?P<stop>\d+))?")


def parse(text: str) -> Schedule:
    """A schedule like "eio@3-7, kill@12". Raises `UsageError`, one sentence, for what is none."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise UsageError('the schedule names no fault: write one like "eio@3-7, kill@12".')
    schedule = Schedule(tuple(sorted(map(_strike, parts), key=lambda strike: strike.start)))
    for strike in schedule.strikes:
        if FAULTS[strike.fault].at_rest and not _followed_by_a_kill(strike, schedule):
            raise UsageError(
                f"{strike.describe()!r} never fires: files are damaged after a kill, so name one at call "
                f'{strike.start} or later, like "kill@{strike.start}, {strike.describe()}".'
            )
    return schedule


def _followed_by_a_kill(strike: Strike, schedule: Schedule) -> bool:
    return any(FAULTS[other.fault].ends and other.start >= strike.start for other in schedule.strikes)


def _strike(text: str) -> Strike:
    found = _STRIKE.fullmatch(text)
    if found is None:
        raise UsageError(f'{text!r} is no strike: write a fault and its calls, like "kill@12" or "eio@3-7".')
    fault, start = found["fault"], int(found["start"])
    require_fault(fault)
    stop = int(found["stop"] or start)
    if start < 1 or stop < start:
        raise UsageError(f"{text!r} never fires: calls are counted from 1, and the last is not before the first.")
    if stop > start and not FAULTS[fault].lasts:
        raise UsageError(f"{text!r} can't last: {fault} strikes once, so name one call.")
    return Strike(fault, start, stop)


def require_fault(name: str) -> None:
    """Raise `UsageError` if there is no such fault."""
    if name not in FAULTS:
        raise UsageError(f"there is no fault {name!r}: say one of {', '.join(FAULTS)}.")


# --- from a seed --------------------------------------------------------------------------------


def schedules(names: Sequence[str], *, calls: int, count: int, seed: int) -> Iterator[Schedule]:
    """So many schedules over a run of so many calls; each fault begins one of every `len(names)` of them."""
    if not calls:
        return
    for number in range(count):
        chosen = random.Random(f"nemesis {seed} {number}")
        faults = [names[number % len(names)]]
        faults += [chosen.choice(names) for _ in range(chosen.randint(*STRIKES) - 1)]
        faults = _with_kills(faults, names, chosen)
        strikes = _after_kills(list(_placed(faults, calls, chosen)))
        yield Schedule(tuple(sorted(strikes, key=lambda strike: strike.start)))


_ENDINGS = [name for name, kind in FAULTS.items() if kind.ends]


def _with_kills(faults: list[str], names: Sequence[str], chosen: random.Random) -> list[str]:
    """Where files may be damaged, one always is, and a process killed before it."""
    at_rest = [name for name in names if FAULTS[name].at_rest]
    if not at_rest:
        return faults
    first, others = faults[:1], faults[1:]
    needed = [chosen.choice(at_rest)] * (not FAULTS[first[0]].at_rest)
    needed += [chosen.choice(_ENDINGS)] * (not FAULTS[first[0]].ends)
    return [*first, *needed, *others][: max(len(faults), 1 + len(needed))]


def _after_kills(strikes: list[Strike]) -> Iterator[Strike]:
    """What strikes at rest is not later than the last kill, after which it strikes."""
    last = max((strike.start for strike in strikes if FAULTS[strike.fault].ends), default=0)
    for strike in strikes:
        late = FAULTS[strike.fault].at_rest and strike.start > last
        yield Strike(strike.fault, last, last) if late else strike


def _placed(faults: list[str], calls: int, chosen: random.Random) -> Iterator[Strike]:
    """Each somewhere; one in three begins where the one before it does, so that they come together.

    The first begins in the first half, so that it will find a call that it can strike.
    """
    start = chosen.randint(1, (calls + 1) // 2)
    for place, fault in enumerate(faults):
        if place and chosen.randrange(3):
            start = chosen.randint(1, calls)
        lasting = chosen.randint(0, LASTING_CALLS - 1) if FAULTS[fault].lasts else 0
        yield Strike(fault, start, start + lasting)
