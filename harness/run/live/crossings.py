"""What the runs of one workload have shown about orders of locks, and the schedules on which a cycle may strike.

The requests of all runs are joined (`harness.judge.lock_order`). Any client may call any operation, so each request for
locks that every run has counts as one by a thread of its own; what is known within one run only is joined there.

A cycle is tried with just the operations in which it was seen: where they met, with the same turns; then each alone on
the state that the workload begins with; then after all that had been done before one of them, because what a store does
now and then comes at its time. Either may begin.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.inject.writers import Crossing, Stand
from harness.judge.lock_order import Cycle, Hold, Link, Request, cycles, place
from harness.run.live.lanes import Lane
from harness.run.live.lockwatch import LATER

#: Schedules for one cycle, requests of all runs that are compared, and requests that differ in their operations alone.
TRIED_MOST = 8
_REQUESTS_MOST = 1_000
_ALIKE = 3
_NOTHING = Lane(0, ())


@dataclass(frozen=True, slots=True)
class Scene:
    """What threads do in one run, and on which schedule; `before` is done first, by nobody who takes turns.

    `in_turn`: each begins when the one before has ended. `failing` is the number of a call of the first, 0 for none.
    """

    lanes: tuple[Lane, ...]
    before: Lane = _NOTHING
    switches: tuple[int, ...] = ()
    stands: tuple[Stand, ...] = ()
    in_turn: bool = False
    failing: int = 0


@dataclass(frozen=True, slots=True)
class _Origin:
    """An operation that asked for a lock, and what had been done before it; or the turns, in a run of the workload."""

    operation: Any
    before: tuple[Any, ...] = ()
    switches: tuple[int, ...] | None = None


@dataclass(slots=True)
class _Possible:
    """Cycles at the same lines."""

    cycles: list[Cycle] = field(default_factory=list)
    tried: int = 0


class LockOrders:
    """Collects requests, joins them, and gives the schedules that are worth trying."""

    def __init__(self) -> None:
        self._common: list[Request] = []
        self._kinds: dict[Any, set[type]] = {}
        self._lines: set[Link] = set()
        self._possible: dict[frozenset[Link], _Possible] = {}
        self._struck: list[frozenset[str]] = []
        self._runs = 0
        self.is_complete = True

    @property
    def count(self) -> int:
        """How many orders were seen, as pairs of lines: one lock was taken in the first, and the next in the second."""
        return len(self._lines)

    # --- what was seen ---------------------------------------------------------------------------

    def add(self, scene: Scene, requests: Sequence[Request], *, complete: bool = True) -> None:
        """What one run has shown; `origin` is the place of a thread and the number of its operation (`LockWatch`)."""
        self._runs += 1
        self.is_complete = self.is_complete and complete
        self._lines.update((place(hold.site), place(each.wanted.site)) for each in requests for hold in each.held)
        local = [self._placed(scene, request, request.thread) for request in requests if _is_local(request)]
        common = [
            self._placed(scene, request, f"request {number}")
            for number, request in enumerate(requests)
            if not _is_local(request) and self._is_new(request, _operation(scene, request))
        ]
        if not (local or common):
            return
        self._common += common
        for cycle in cycles((*self._common, *local)):
            alike = self._possible.setdefault(frozenset(cycle.links), _Possible()).cycles
            if len(alike) < _ALIKE and cycle not in alike:
                alike.append(cycle)

    def _is_new(self, request: Request, operation: Any) -> bool:
        """Whether nothing like this was seen, or not often of other kinds of operations."""
        what = (*map(_anonymous, request.held), _anonymous(request.wanted))
        if what not in self._kinds and len(self._kinds) >= _REQUESTS_MOST:
            self.is_complete = False
            return False
        kinds = self._kinds.setdefault(what, set())
        if type(operation) in kinds or len(kinds) >= _ALIKE:
            return False
        kinds.add(type(operation))
        return True

    def _placed(self, scene: Scene, request: Request, thread: str) -> Request:
        """The same among those of other runs."""
        run = f"run {self._runs} "
        held = tuple(_placed(hold, run) for hold in request.held)
        return Request(run + thread, held, _placed(request.wanted, run), _origin(scene, request))

    # --- what is tried ---------------------------------------------------------------------------

    def deadlocked(self, lines: Iterable[str]) -> None:
        """Threads wait for each other for ever in these lines (`harness.judge.lock_order.place`)."""
        self._struck.append(frozenset(lines))

    def crossings(self) -> Iterator[Crossing]:
        """The schedules for all cycles; those for one end as soon as it has struck."""
        for links, possible in list(self._possible.items()):
            for crossing in _crossings(possible.cycles):
                if possible.tried >= TRIED_MOST or self._has_struck(links):
                    break
                possible.tried += 1
                yield crossing

    def notes(self) -> list[str]:
        """A sentence for each cycle that did not strike."""
        found = [
            f"lock order: {possible.cycles[0].sentence()}; {_without_success(possible.tried)}"
            for links, possible in self._possible.items()
            if not self._has_struck(links)
        ]
        return found if self.is_complete else [*found, "lock order: there were more orders of locks than are compared"]

    def _has_struck(self, links: frozenset[Link]) -> bool:
        return any({asking for _, asking in links} <= lines for lines in self._struck)


def _without_success(tried: int) -> str:
    return f"none of {tried} schedules made it strike" if tried else "there was no time to try it"


def _is_local(request: Request) -> bool:
    """Whether some of the locks are only known within their run."""
    return any(hold.lock.startswith(LATER) for hold in (*request.held, request.wanted))


def _anonymous(hold: Hold) -> Hold:
    """Without the file through which it is held, which is another one each time."""
    return dataclasses.replace(hold, holder="") if hold.holder.startswith(LATER) else hold


def _placed(hold: Hold, run: str) -> Hold:
    lock = run + hold.lock if hold.lock.startswith(LATER) else hold.lock
    holder = run + hold.holder if hold.holder.startswith(LATER) else hold.holder
    return dataclasses.replace(hold, lock=lock, holder=holder)


# --- operations ---------------------------------------------------------------------------------


def _operation(scene: Scene, request: Request) -> Any:
    where, number = request.origin
    return dict(scene.lanes[where].numbered).get(number)


def _origin(scene: Scene, request: Request) -> _Origin:
    where, number = request.origin
    operation = _operation(scene, request)
    if not scene.in_turn:
        return _Origin(operation, switches=scene.switches)
    own = Lane(0, tuple(item for item in scene.lanes[where].numbered if item[0] < number))
    return _Origin(operation, tuple(each for lane in (*scene.lanes[:where], own) for _, each in lane.numbered))


def _crossings(alike: Sequence[Cycle]) -> Iterator[Crossing]:
    """The schedules for cycles at the same lines, those of all of them in turn, none twice."""
    known: list[Crossing] = []
    rows = [list(_of_cycle(cycle)) for cycle in alike]
    for rank in range(max(map(len, rows), default=0)):
        for row in rows:
            if rank < len(row) and row[rank] not in known:
                known.append(row[rank])
                yield row[rank]


def _of_cycle(cycle: Cycle) -> Iterator[Crossing]:
    stands = tuple(Stand(*link) for link in cycle.links)
    origins: list[_Origin] = [request.origin for request in cycle.requests]
    met = [origin.switches for origin in origins if origin.switches is not None]
    if len(met) == len(origins):
        yield from (Crossing(stands, switches=switches) for switches in sorted(met, key=len, reverse=True))
    for before in ((), *sorted((origin.before for origin in origins), key=len, reverse=True)):
        for first in range(len(origins)):
            meeting = (*origins[first:], *origins[:first])
            yield Crossing(stands, before, tuple(origin.operation for origin in meeting))
