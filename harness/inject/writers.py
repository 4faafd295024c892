"""What may happen to clients that work on one store at the same time.

A `Pause` stops one process before one of its I/O calls while the others carry out whole operations: what goes wrong
between two processes nearly always shows with one switch at the right place (Musuvathi and Qadeer, PLDI 2007, bound the
number of preemptions for the same reason). `Turns` does the same to threads; a `Crossing` holds some back where locks
are taken in different orders. A `Race` is left to the machine.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.inject.clocks import how_far
from harness.inject.kills import Called, Course

#: More than any lock is meant to be held for; nobody would wait so long.
_HOUR_S = 3600.0
_OTHER_JUMPS = ((_HOUR_S, True), (-_HOUR_S, False), (-_HOUR_S, True))
_UNNOTICED = frozenset(("fsync", "fdatasync", "sync", "close", "fstat"))


@dataclass(frozen=True, slots=True)
class Pause:
    """The first process stops before its I/O call with this number, from 1, while the others do all they have to do.

    Then it goes on, or is `killed`. The others opened the store before it did (`early`), or once it stands still.
    """

    call: int
    early: bool = False
    killed: bool = False

    def describe(self) -> str:
        return self.told()

    def told(self, then: str = "", at_last: str = "") -> str:
        """The same with what happens once it stands still, and before it goes on."""
        end = "was killed" if self.killed else "went on"
        others = "which had opened the store before," if self.early else "which then opened the store,"
        return (
            f"one process stopped before its I/O call number {self.call}, {then}another one, {others} did its "
            f"operations, {at_last}and the first {end}"
        )


@dataclass(frozen=True, slots=True)
class TwoStops:
    """The first process stops before its I/O call number `call`, with a lock in its hands, until the second waits.

    Then it ends its operation, and the second, which has the lock now, stops before its own call number `second` while
    a third does all it has to do.
    """

    call: int
    second: int

    killed = False

    def describe(self) -> str:
        return (
            f"one process stopped before its I/O call number {self.call}, holding a lock, until another one waited, "
            f"and ended its operation; then the other one stopped before its I/O call number {self.second}, a third "
            "one did its operations, and the second went on"
        )


@dataclass(frozen=True, slots=True)
class Jump:
    """A `pause` during which somebody sets the wall clock of the machine, by so many `seconds`, before the others work.

    With `put_right` it is set right before the first process goes on: only the others have seen it wrong.
    """

    pause: Pause
    seconds: float
    put_right: bool = False

    def describe(self) -> str:
        right = "the clock was put right, " if self.put_right else ""
        return self.pause.told(f"{self.action()}, ", right)

    def action(self) -> str:
        return f"the wall clock was set {how_far(self.seconds)}"


@dataclass(frozen=True, slots=True)
class Shortage:
    """The first process stops (`pause`), and when it goes on its I/O call number `call` fails.

    With "ENOSPC" the disk is full for it from there to the end of the operation, and half of that call fits if it says
    `part`; with "EIO" that call alone fails; with "" none.
    """

    pause: Pause
    call: int
    error: str
    part: bool = False

    def describe(self) -> str:
        return f"{self.pause.describe()}; {self._failure()}"

    def _failure(self) -> str:
        if self.error != "ENOSPC":
            return f"its I/O call number {self.call} failed with {self.error}" if self.error else "no call failed"
        part = ", of which a part still fitted" if self.part else ""
        return f"the disk was full for it from its I/O call number {self.call} on{part}, until its operation had ended"


@dataclass(frozen=True, slots=True)
class Turns:
    """Threads that share one handle take turns: at the steps with these numbers, from 1, the next one goes on.

    Steps are I/O calls of the store and operations on its locks, counted over all of them.
    """

    switches: tuple[int, ...]

    def describe(self) -> str:
        steps = ", ".join(map(str, self.switches))
        return f"threads that share one handle took turns before step {steps}" if steps else "threads came in turn"


@dataclass(frozen=True, slots=True)
class Outage:
    """Threads that share one handle take turns as in `Turns`, and the power fails at any moment of that."""

    switches: tuple[int, ...]

    def describe(self) -> str:
        return f"{Turns(self.switches).describe()}, and then the power failed"


@dataclass(frozen=True, slots=True)
class Failure:
    """Threads that share one handle take turns as in `Turns`, and the I/O call number `call` of the first one fails."""

    switches: tuple[int, ...]
    call: int

    def describe(self) -> str:
        return f"{Turns(self.switches).describe()}, and I/O call number {self.call} of the first failed with EIO"


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a thread is to stand: it took a lock in the line `holding`, and is about to ask for another in `asking`.

    Lines are "file:line", without folders.
    """

    holding: str
    asking: str


@dataclass(frozen=True, slots=True)
class Crossing:
    """Threads that share one handle are held back, each at one of the `stands`, until all stand there.

    Each does one operation of `meeting`, the first begins; or, if there are none, all that it does anyway. The
    operations `before` are carried out first, one by one. `switches` are those of `Turns`. Who is held back goes on
    when nobody else can (Joshi, Park, Sen and Naik, PLDI 2009).
    """

    stands: tuple[Stand, ...]
    before: tuple[Any, ...] = ()
    meeting: tuple[Any, ...] = ()
    switches: tuple[int, ...] = ()

    def describe(self) -> str:
        operations = f", after {len(self.before)} operations," if self.before else ""
        turns = f", with turns before step {', '.join(map(str, self.switches))}" if self.switches else ""
        lines = " and ".join(f"{stand.asking} (with the lock of {stand.holding})" for stand in self.stands)
        return f"threads that share one handle{operations} were held back before {lines} until all stood there{turns}"


@dataclass(frozen=True, slots=True)
class Race:
    """Clients run freely, so many `rounds` unless something goes wrong before. With `kills` the first of them is killed
    at a seeded one of its calls."""

    number: int
    kills: bool = False
    rounds: int = 1

    def describe(self) -> str:
        killed = ", of which one was killed" if self.kills else ""
        return f"clients ran at the same time{killed} (race {self.number + 1})"


def pauses(course: Course, inside: Collection[int], *, killed: bool) -> Iterator[Pause]:
    """A pause before every call of a course, twice: the others are early at every second, then at the rest.

    What tells most comes first, and is spread over the course, so that any beginning of the list has a bit of all:
    calls `inside` operations, and no calls that nobody else can notice - stopped before one of those a process has done
    the same to the others as before the next.
    """
    numbered = list(enumerate((item for item in course if isinstance(item, Called)), 1))
    loud = [number for number, item in numbered if item.name not in _UNNOTICED]
    ordered = [*spread_first([n for n in loud if n in inside]), *spread_first([n for n in loud if n not in inside])]
    ordered += [number for number, _ in numbered if number not in set(loud)]
    for turn in (0, 1):
        for place, number in enumerate(ordered):
            yield Pause(number, early=place % 2 == turn, killed=killed)


def two_stops(
    first: Course, second: Course, inside: Collection[int], others_inside: Collection[int]
) -> Iterator[TwoStops]:
    """Where the first process has just taken a lock, and where it has held it for a while; and every call of the
    second, while it holds one, that anybody else can notice. Calls `inside` operations only."""
    held = [number for number in holding(first) if number in inside]
    others = [number for number in holding(second) if number in others_inside]
    names = dict(enumerate((item.name for item in second if isinstance(item, Called)), 1))
    calls = dict.fromkeys((held[0], held[len(held) // 2])) if held else ()
    for other in spread_first([number for number in others if names[number] not in _UNNOTICED]):
        yield from (TwoStops(call, other) for call in calls)


def holding(course: Course) -> list[int]:
    """The numbers of the calls before which a lock is held already, from 1."""
    locked = [item.locked for item in course if isinstance(item, Called)]
    return [number for number, (before, now) in enumerate(itertools.pairwise((False, *locked)), 1) if before and now]


def jumps(course: Course, inside: Collection[int]) -> Iterator[Jump]:
    """At every `pause` the clock is set forward, and does one other thing; all that can happen at as many as that."""
    for number, pause in enumerate(pauses(course, inside, killed=False)):
        yield Jump(pause, _HOUR_S)
        yield Jump(pause, *_OTHER_JUMPS[number % len(_OTHER_JUMPS)])


def shortages(targets: Mapping[str, Sequence[int]], operations: Sequence[tuple[int, int]]) -> Iterator[Shortage]:
    """Every call in `targets` fails, by error; "part" has the writes of which half may fit. `operations` are the first
    and the last call of each.

    The process stops when the operation begins, just before the call that fails, or anywhere between; the first two
    take turns, and the rest comes later.
    """
    kinds = [("ENOSPC", False, "ENOSPC"), ("EIO", False, "EIO"), ("ENOSPC", True, "part")]
    columns = [[(n, error, part) for n in spread_first(targets.get(key, ()))] for error, part, key in kinds]
    places = [place for row in itertools.zip_longest(*columns) for place in row if place is not None]
    longest = max((last - first + 1 for first, last in operations), default=0)
    for turn in range(longest):
        for number, (call, error, part) in enumerate(places):
            stops = _stops(call, operations)
            if turn < len(stops):
                pause = Pause(stops[(turn + number % 2) % len(stops)], early=(number // 2 + turn) % 2 == 0)
                yield Shortage(pause, call, error, part)


def failures(targets: Mapping[int, int]) -> Iterator[Failure]:
    """Each call in `targets` fails, by its number, with a switch at each step up to its own, which `targets` gives: the
    nearest first, calls in turn."""
    for before in range(max(targets.values(), default=0)):
        for call, step in targets.items():
            if before < step:
                yield Failure((step - before,), call)


def _stops(call: int, operations: Sequence[tuple[int, int]]) -> list[int]:
    """Where a process may stop before `call` fails: at the beginning of its operation, there, and between."""
    first = next(first for first, last in operations if first <= call <= last)
    return list(dict.fromkeys((first, call, *spread_first(range(first, call)))))


def spread_first(items: Sequence[int]) -> list[int]:
    """All items in an order of which any beginning is spread over all of them: by the bits of the place, reversed
    (van der Corput, 1935)."""
    bits = max(1, (len(items) - 1).bit_length())
    places = sorted(range(1 << bits), key=lambda place: int(f"{place:0{bits}b}"[::-1], 2))
    return [items[place] for place in places if place < len(items)]


def turns(first_steps: int, steps: int, seed: int, sampled: int) -> Iterator[Turns]:
    """Every single switch away from the first thread, which has so many of the steps; then, in a seeded sample, a
    second switch, back from the others to it."""
    singles = spread_first(range(1, first_steps + 1))
    yield from (Turns((step,)) for step in singles)
    others = steps - first_steps
    doubles = [(first, second) for first in singles for second in range(first + 1, first + others + 1)]
    chosen = random.Random(f"turns {seed}").sample(doubles, min(sampled, len(doubles)))
    yield from (Turns(switches) for switches in chosen)
