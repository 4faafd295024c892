"""Clocks that go wrong: the wall clock jumps, stands, runs at another rate; a machine restarts.

The wall clock is what people set: it jumps when it is corrected, its local form repeats or skips an hour twice a year,
and it leaves the range of 32 bits in 2038. The monotonic clock only promises to go on, and begins anew when a machine
starts (clock_gettime(2)). How far clocks are off in practice: Jepsen, "nemesis.time", bumps of up to 2^18 ms, strobes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

NANOSECONDS = 1_000_000_000
_HOUR, _DAY, _YEAR = 3_600, 86_400, 31_557_600
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _seconds(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return int((datetime(year, month, day, hour, minute, tzinfo=UTC) - _EPOCH).total_seconds())


#: When a trial begins, for the store; nothing happens to clocks near it.
START_S = _seconds(2026, 7, 1, 12)
#: The rules of most of Europe: summer time begins and ends at 01:00 UTC (tzset(3) has the form).
ZONE = "CET-1CEST,M3.5.0,M10.5.0/3"
_BEFORE_AUTUMN_S = _seconds(2026, 10, 25, 0, 30)
_BEFORE_SPRING_S = _seconds(2026, 3, 29, 0, 30)
_OVER_THE_CHANGE_S = 1_801
#: A clock that stands goes on after this long, as one does that the machine reads rarely.
STANDS_S = 5.0
#: A call that waits longer than this, while time passes at once, will not return.
PATIENCE_S = 60.0
#: Readings in one call after which it is taken for waiting: time then passes faster.
_PATIENT_READINGS = 5_000
_HASTE_NS = NANOSECONDS // 200
#: Whoever sleeps again and again in one call oversleeps by this part of what it has slept, as on a busy machine.
_HURRY = 25


class ClockShape(Enum):
    """What a clock does. `amount` of a `ClockFault` means what is said here."""

    STEP = "the wall clock is set"  # by `amount` seconds
    SUMMER_ENDS = "summer time ends: local time repeats an hour"
    SUMMER_BEGINS = "summer time begins: local time skips an hour"
    STANDS = "the wall clock stands still"
    RATE = "the wall clock runs"  # `amount` times as fast
    RESTART = "the machine restarts: the monotonic clock begins anew"  # and the wall clock is `amount` s off


class ClockMoment(Enum):
    """When it does so. `index` of a `ClockFault` counts what is said here."""

    BETWEEN = "before step"  # number `index` of the workload
    INSIDE = "inside a step, at I/O call"  # number `index` of the workload
    REOPEN = "while the store is closed, before step"
    HELD = "while another process is inside its operation, at I/O call"  # `index` of that operation
    WAITING = "while one process waits for another, inside its operation at I/O call"


@dataclass(frozen=True, slots=True)
class ClockFault:
    """One thing that a clock does, and when."""

    shape: ClockShape
    amount: float
    moment: ClockMoment
    index: int

    def describe(self) -> str:
        return f"{self.action()} {self.moment.value} {self.index + 1}"

    def action(self) -> str:
        match self.shape:
            case ClockShape.STEP:
                return f"{self.shape.value} {how_far(self.amount)}"
            case ClockShape.RATE:
                return f"{self.shape.value} {self.amount:g} times as fast"
            case ClockShape.RESTART if self.amount:
                return f"{self.shape.value}, and the wall clock is {how_far(self.amount)} then"
        return str(self.shape.value)

    @property
    def start_s(self) -> int:
        """When a trial with this fault begins, seconds since 1970."""
        return {ClockShape.SUMMER_ENDS: _BEFORE_AUTUMN_S, ClockShape.SUMMER_BEGINS: _BEFORE_SPRING_S}.get(
            self.shape, START_S
        )

    @property
    def zone(self) -> str:
        """The time zone that the store lives in, empty for that of the machine."""
        return ZONE if self.shape in (ClockShape.SUMMER_ENDS, ClockShape.SUMMER_BEGINS) else ""


def how_far(seconds: float) -> str:
    """A step of a clock in words, such as "1 hour back"."""
    for size, name in ((_YEAR, "year"), (_DAY, "day"), (_HOUR, "hour"), (60, "minute"), (1, "second")):
        if abs(seconds) >= size:
            count = abs(seconds) / size
            amount = f"{count:.4g} {name}{'' if count == 1 else 's'}"
            break
    else:
        amount = f"{abs(seconds):g} seconds"
    date = _EPOCH + timedelta(seconds=START_S + seconds)
    return f"{amount} {'back' if seconds < 0 else 'forward'}{f', to {date.year}' if abs(seconds) > _YEAR else ''}"


# --- which faults -------------------------------------------------------------------------------

#: Steps that are tried everywhere, and those that are tried at a few places: seconds to years, before 1970, and beyond
#: what 31 and 32 bits hold.
_EVERYWHERE = (-float(_HOUR), float(_HOUR))
_FAR = (-(START_S + float(_DAY)), 2.0**31 - START_S + 60, 2.0**32 - START_S + 60)
_ELSEWHERE = (-2.0, -float(_DAY), -float(_YEAR), 2.0, float(_DAY), float(_YEAR), *_FAR)
_SHAPES = (ClockShape.SUMMER_ENDS, ClockShape.SUMMER_BEGINS, ClockShape.STANDS)
_RATES = (0.5, 3.0)
#: Places in a workload for what is tried everywhere, and for the rest.
_PLACES, _FEW_PLACES = 8, 2
#: Steps while somebody holds a lock, and while somebody waits for it.
_CONTENDED = (
    (float(_YEAR), ClockMoment.HELD),
    (-float(_HOUR), ClockMoment.HELD),
    (-float(_HOUR), ClockMoment.WAITING),
)


def clock_faults(steps: int, calls: int) -> list[ClockFault]:
    """What is tried on a workload of so many steps that makes so many I/O calls, the likeliest to matter first."""
    step, between, reopen = ClockShape.STEP, ClockMoment.BETWEEN, ClockMoment.REOPEN
    everywhere = spaced(range(1, max(2, steps)), _PLACES)
    return [
        *(ClockFault(step, amount, between, index) for amount in _EVERYWHERE for index in everywhere),
        *(ClockFault(step, amount, between, index) for amount, index in _turns(_ELSEWHERE, everywhere)),
        *(ClockFault(shape, 0.0, between, index) for shape, index in _turns(_SHAPES, everywhere)),
        *(ClockFault(ClockShape.RATE, rate, between, 0) for rate in _RATES),
        *(ClockFault(step, amount, reopen, index) for amount, index in _turns((*_EVERYWHERE, *_FAR), everywhere)),
        *(ClockFault(ClockShape.RESTART, off, reopen, index) for off, index in _turns((0.0, _DAY, -_DAY), everywhere)),
        *(
            ClockFault(step, amount, ClockMoment.INSIDE, index)
            for amount in _EVERYWHERE
            for index in spaced(range(calls), _PLACES)
        ),
    ]


def _turns(items: tuple[Any, ...], places: list[int]) -> Iterator[tuple[Any, int]]:
    """Each item at a few of the places, in turn."""
    for number, item in enumerate(items):
        for turn in range(min(_FEW_PLACES, len(places))):
            yield item, places[(number * _FEW_PLACES + turn) % len(places)]


def spaced(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the items, from all parts of the list."""
    if len(items) <= most:
        return list(items)
    return [items[number * len(items) // most] for number in range(most)]


def contended_faults(index: int) -> list[ClockFault]:
    """Everything for two processes of which one stops at the I/O call `index` of its operation."""
    return [ClockFault(ClockShape.STEP, amount, moment, index) for amount, moment in _CONTENDED]


# --- summer time --------------------------------------------------------------------------------


def seconds_to_change(shape: ClockShape, wall_s: float) -> float:
    """How long it is from `wall_s`, seconds since 1970, to the next change of this kind in `ZONE`."""
    month = 10 if shape is ClockShape.SUMMER_ENDS else 3
    year = (_EPOCH + timedelta(seconds=wall_s)).year
    return next(change for change in (_change_s(year, month), _change_s(year + 1, month)) if change > wall_s) - wall_s


def _change_s(year: int, month: int) -> float:
    """01:00 UTC on the last Sunday of a month of 31 days."""
    last = datetime(year, month, 31, 1, tzinfo=UTC)
    return (last - timedelta(days=(last.weekday() + 1) % 7) - _EPOCH).total_seconds()


# --- the clock of a trial -----------------------------------------------------------------------


class Waited(BaseException):
    """A call has waited longer than `PATIENCE_S`. No `Exception`, because a store must not take it for its own."""


@dataclass(frozen=True, slots=True)
class ClockState:
    """What another process has to know so that the clocks go on there, all but one in nanoseconds."""

    start_ns: int
    origin_ns: int
    anchor_ns: int
    wall_ns: int
    waited_ns: int
    rate: float


@dataclass(slots=True)
class Clock:
    """The clocks of one trial: they follow `source_ns`, the real monotonic clock, but for what a fault does to them.

    Whoever sleeps does not: time passes at once (`wait`). With `sees` only those readers notice the fault for whom
    it is true; the others read what the wall clock would have said without it.
    """

    source_ns: Callable[[], int]
    start_s: int = START_S
    sees: Callable[[Any], bool] | None = None
    waited_ns: int = 0
    shift_ns: int = 0
    readers: list[Any] = field(default_factory=list)
    last_reader: Any = None
    applied: bool = False
    overdue: bool = False
    on_wait: Callable[[], None] = lambda: None
    _rate: float = 1.0
    _start_ns: int = 0
    _origin_ns: int = 0
    _anchor_ns: int = 0
    _wall_ns: int = 0
    _readings: int = 0
    _waited_here_ns: int = 0

    def __post_init__(self) -> None:
        self._origin_ns = self._anchor_ns = self.source_ns()
        self._start_ns = self._wall_ns = self.start_s * NANOSECONDS

    @classmethod
    def going_on(cls, source_ns: Callable[[], int], wall_ns: int) -> Clock:
        """A clock that shows `wall_ns` now, and nothing has happened to it."""
        clock = cls(source_ns)
        clock._start_ns = clock._wall_ns = wall_ns
        return clock

    @classmethod
    def resumed(cls, source_ns: Callable[[], int], state: ClockState) -> Clock:
        """The clock of another process by the same real clock."""
        clock = cls.going_on(source_ns, state.wall_ns)
        clock._start_ns, clock._origin_ns, clock._anchor_ns = state.start_ns, state.origin_ns, state.anchor_ns
        clock.waited_ns, clock._rate, clock.applied = state.waited_ns, state.rate, True
        return clock

    def state(self) -> ClockState:
        """For `resumed`."""
        return ClockState(
            self._start_ns, self._origin_ns, self._anchor_ns, self._wall_ns, self.waited_ns, self._rate
        )

    def wall_ns(self, reader: Any = None) -> int:
        """The wall clock, nanoseconds since 1970; `reader` is who asks. Raises `Waited`."""
        self.last_reader = reader
        self._count()
        if self.applied:
            self.readers.append(reader)
            if self.sees is not None and not self.sees(reader):
                return self.true_ns()
        return self.shown_ns()

    def shown_ns(self) -> int:
        """The wall clock, read by nobody in particular."""
        passed = self._now_ns() - self._anchor_ns
        if self._rate == 0 and passed > STANDS_S * NANOSECONDS:
            self._set(self._wall_ns, 1.0)
            passed = 0
        return self._wall_ns + (passed if self._rate == 1.0 else int(passed * self._rate))

    def true_ns(self) -> int:
        """What the wall clock would show if nothing had happened to it."""
        return self._start_ns + self._now_ns() - self._origin_ns

    def monotonic_ns(self, real_ns: int) -> int:
        """What a monotonic clock shows that really shows `real_ns`. Raises `Waited`."""
        self._count()
        return max(0, real_ns + self.waited_ns + self.shift_ns)

    def wait(self, seconds: float, waiter: Any = None) -> None:
        """Time passes, because `waiter` sleeps. Raises `Waited` when a call has waited for too long."""
        self.last_reader = waiter or self.last_reader
        passed_ns = max(int(seconds * NANOSECONDS), self._waited_here_ns // _HURRY)
        self.waited_ns += passed_ns
        self._waited_here_ns += passed_ns
        if self._waited_here_ns > PATIENCE_S * NANOSECONDS:
            self.overdue = True
            raise Waited(f"waited for more than {PATIENCE_S:g} seconds")
        self.on_wait()

    def begin_call(self) -> None:
        """A call into the store begins: it has not waited yet."""
        self._readings = self._waited_here_ns = 0

    def apply(self, fault: ClockFault) -> None:
        """It happens now."""
        self.applied = True
        match fault.shape:
            case ClockShape.STEP:
                self._set(self.shown_ns() + int(fault.amount * NANOSECONDS))
            case ClockShape.SUMMER_ENDS | ClockShape.SUMMER_BEGINS:
                self.waited_ns += _OVER_THE_CHANGE_S * NANOSECONDS
            case ClockShape.STANDS:
                self._set(self.shown_ns(), 0.0)
            case ClockShape.RATE:
                self._set(self.shown_ns(), fault.amount)
            case ClockShape.RESTART:
                self.shift_ns = -(self.source_ns() + self.waited_ns) + NANOSECONDS
                self._set(self.shown_ns() + int(fault.amount * NANOSECONDS))

    def pass_change(self, shape: ClockShape) -> None:
        """Time passes until half an hour before the next change of summer time; from there, over it."""
        self.applied = True
        self._set(self.shown_ns())
        left_s = seconds_to_change(shape, self._wall_ns / NANOSECONDS)
        passes_s = _OVER_THE_CHANGE_S if left_s < _OVER_THE_CHANGE_S else left_s - _OVER_THE_CHANGE_S + 1
        self.waited_ns += int(passes_s * NANOSECONDS)

    def put_right(self) -> None:
        """Somebody has set the wall clock right."""
        self._set(self.true_ns(), 1.0)

    def _set(self, wall_ns: int, rate: float = 1.0) -> None:
        self._anchor_ns, self._wall_ns, self._rate = self._now_ns(), wall_ns, rate

    def _now_ns(self) -> int:
        return self.source_ns() + self.waited_ns

    def _count(self) -> None:
        self._readings += 1
        if self._readings > _PATIENT_READINGS:
            self.wait(_HASTE_NS / NANOSECONDS)
