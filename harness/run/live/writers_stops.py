"""Two processes stopped one after the other, and a third that works meanwhile: locks that protect nothing.

Who waits for a lock on a file that its holder removes gets the lock of a file that nobody finds any more; the next one
makes a file of that name anew, and has a lock as well. The first stop makes somebody wait, the second holds it where it
takes itself for alone. Who waits without sleeping in the kernel makes other calls than when it is alone, so it may be
stopped elsewhere; that proves nothing, and does no harm.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator

from harness.core.history import Disturbance
from harness.core.trace import CallSite
from harness.core.workload import Workload
from harness.inject.kills import Called
from harness.inject.writers import TwoStops, two_stops
from harness.record.scan import scan
from harness.run.live import lanes, writers
from harness.run.live.bench import Bench
from harness.run.live.concurrent import Judgement
from harness.run.live.forks import Child, Told
from harness.run.live.values import Struck
from harness.run.live.writers import Met, ProcessesEngine, calls_inside, close_all, let_go

#: Clients that take part, with one operation each.
_CLIENTS = 3
_REMOVING = frozenset(("unlink", "remove", "rename", "replace"))


class TwoStopsEngine(ProcessesEngine):
    """Stops a process that holds a lock, then the one that has waited for it, for the claim "writers"."""

    fault_types: tuple[type, ...] = (TwoStops,)

    def __init__(self, bench: Bench, workload: Workload, claim: str, promise: str) -> None:
        super().__init__(bench, workload, claim, promise)
        self.lanes = [dataclasses.replace(lane, numbered=lane.numbered[:1]) for lane in self.lanes[:_CLIENTS]]
        self.second = Told()

    def rehearse(self) -> str:
        """The first client alone, and the second alone, to learn their calls."""
        refused = super().rehearse()
        if refused or len(self.lanes) < _CLIENTS:
            return refused
        self.bench.materializer.place(self.started)
        self.second = self._child(self._working(self.lanes[1])).listen(kill_after_s=writers.PATIENCE_S)
        return next(iter(self.second.troubles), "")

    @property
    def operations(self) -> int:
        return sum(len(lane.numbered) for lane in (self.beginning, *self.lanes))

    def faults(self) -> Iterator[TwoStops]:  # type: ignore[override]
        if len(self.lanes) == _CLIENTS:
            yield from two_stops(self.alone.course, self.second.course, self.inside(), calls_inside(self.second))

    def _meet(self, fault: TwoStops) -> Met:  # type: ignore[override]
        """The first stops until the second waits; when it has ended its operation, the second stops until the third has
        done its own, or waits."""
        self.bench.materializer.place(self.started)
        pipes = [os.pipe() for _ in self.lanes[1:]]
        try:
            second = self._waiting(self.lanes[1], pipes[0], fault.second, kill=False)
            others = [second, self._waiting(self.lanes[2], pipes[1])]
            moments = iter((_works(others[0], pipes[0]), _meanwhile(others, pipes[1])))
            stood: list[int] = []

            def stalled() -> None:
                stood.append(lanes.now_ns())
                next(moments, _nothing)()
                stood.append(lanes.now_ns())

            first = self._child(self._working(self.lanes[0], fault.call))
            patience_s = writers.PATIENCE_S + 4 * writers.HEAD_START_S
            told = [first.listen(kill_after_s=patience_s, stalled=stalled)]
            for moment in moments:  # the first has not stopped so often
                moment()
            told += [child.listen(kill_after_s=patience_s + child.seconds) for child in others]
        finally:
            close_all(pipes)
        disturbances = (Disturbance("client 1 stood still", *stood[:2]),) if len(stood) > 1 else ()
        return Met(list(zip(self.lanes, told, strict=True)), scan(self.bench.directory), disturbances)

    def _struck(self, met: Met, fault: TwoStops) -> tuple[Struck, ...]:
        """It fired if both stopped, and the third did something."""
        hits = [hit for _, told in met.told for _, hit, _ in told.struck]
        fired = len(hits) == 2 and bool(met.told[-1][1].parts)
        return tuple(Struck(hit.site, hit.call, hit.fault) for hit in hits) if fired else ()

    def _site(self, met: Met, judgement: Judgement) -> CallSite | None:
        """Where the first removed or replaced what it had locked, if it did, at the end of its operation."""
        told = met.told[0][1]
        called = [item for item in told.course if isinstance(item, Called) and item.locked and item.name in _REMOVING]
        return called[-1].site if called and judgement.violation is not None else super()._site(met, judgement)


def _works(child: Child, pipe: tuple[int, int]) -> Callable[[], None]:
    """It is let go, and does what it can."""

    def moment() -> None:
        let_go(pipe)
        child.hear_until_it_waits(writers.HEAD_START_S)

    return moment


def _meanwhile(others: list[Child], pipe: tuple[int, int]) -> Callable[[], None]:
    """The second gets its lock and stops, the third does what it can, and both go on."""
    second, third = others

    def moment() -> None:
        second.hear_until_it_waits(writers.HEAD_START_S)
        _works(third, pipe)()
        second.go_on()
        second.hear_until_it_waits(writers.HEAD_START_S)

    return moment


def _nothing() -> None:
    return None
