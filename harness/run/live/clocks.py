"""Clocks that go wrong while a store works: everything acknowledged must be there, in order, after a clean close.

A workload runs by a clock of its own (`timepiece`); the fault happens at its moment, and the store is closed, opened and
judged as after any other run. An operation that refuses to work by such a clock fails, which is no loss; only when
nothing works any more after somebody has set the clock right is the store broken.

Which reading of the clock did the harm is found by experiment: the trial is repeated with the fault visible to the
readings of one line alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.core.operations import Sync
from harness.core.trace import CallSite, Trace, empty_image
from harness.core.workload import Workload
from harness.inject.clocks import PATIENCE_S, Clock, ClockFault, ClockMoment, ClockShape, clock_faults
from harness.judge.classify import Violation, classify
from harness.judge.oracle import Oracle, Window, window
from harness.judge.recovery import Recovery, judge
from harness.record import kernel
from harness.record.scan import scan
from harness.run.exploring import spare_operations
from harness.run.live import real_clocks, timepiece
from harness.run.live.bench import Bench, Client
from harness.run.live.damage import oracle_for
from harness.run.live.timepiece import FileTimes, sites_of
from harness.run.live.values import Exhibit, Struck, Trial
from harness.run.recovering import Board

#: Lines that are tried, one by one, as the one whose reading did the harm.
_SUSPECTS = 8
#: Faults for a store that looks at no clock and at no time of a file: they can hardly matter to it.
_FEW = 8
#: I/O calls inside which a clock is changed.
_CALLS = 12


@dataclass(slots=True)
class ClockBoard:
    """A board that also tells the clock when a call begins."""

    board: Board
    clock: Clock

    def enter(self, unit: int, phase: str) -> None:
        self.clock.begin_call()
        self.board.enter(unit, phase)

    def leave(self) -> None:
        self.board.leave()

    def adopt(self) -> None:
        self.board.adopt()


@dataclass(slots=True)
class Session:
    """One trial: its clock, the gate that dates files, and a client that goes by that clock."""

    clock: Clock
    files: FileTimes
    bench: Bench
    client: Client

    @classmethod
    def begin(cls, bench: Bench, fault: ClockFault | None, sees: Callable[[Any], bool] | None = None) -> Session:
        clock = Clock(real_clocks.monotonic_ns, sees=sees)
        if fault is not None:
            clock = Clock(real_clocks.monotonic_ns, fault.start_s, sees)
        files = FileTimes(clock)
        if fault is not None and fault.moment is ClockMoment.INSIDE:
            files = FileTimes(clock, fault.index, lambda: clock.apply(fault))
        bench = dataclasses.replace(bench, board=ClockBoard(bench.board, clock))
        return cls(clock, files, bench, Client(bench))

    @contextlib.contextmanager
    def running(self, fault: ClockFault | None) -> Iterator[None]:
        with timepiece.engaged(self.clock, "" if fault is None else fault.zone), kernel.engage(self.files):
            yield


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial showed: the violation, the readers of the clock after the fault, and who looked at file times."""

    violation: Violation | None
    session: Session
    recovery: Recovery


class ClockEngine:
    """Tries clock faults on one workload."""

    fault_types = (ClockFault, ClockShape, ClockMoment)

    def __init__(self, bench: Bench, workload: Workload, claim: str, promise: str) -> None:
        self.bench = bench
        self.workload = workload
        self.promise = promise
        self.client = Client(bench)
        self.calls = 0
        self.curious = False

    def rehearse(self) -> str:
        """Run the workload by a clock that goes right; why nothing can be tried, or nothing."""
        reason = timepiece.probe()
        if reason:
            return reason
        session = Session.begin(self.bench, None)
        session.clock.applied = True  # nothing happens to it, but its readers are listed
        outcome = self._outcome(session, None)
        self.client = session.client
        self.calls = session.files.calls
        self.curious = bool(session.clock.readers or session.files.looked)
        wrong = [*self.client.elsewhere, *self.client.errors.values()]
        if outcome.violation is not None:
            wrong.append(f"{outcome.violation.sentence}, without any fault")
        return wrong[0] if wrong else ""

    @property
    def operations(self) -> int:
        return len(self.client.operations)

    def faults(self) -> Iterator[ClockFault]:
        every = list(clock_faults(len(self.workload.steps), self.calls))
        inside = [fault for fault in every if fault.moment is ClockMoment.INSIDE]
        kept = set(_spaced(inside, 2 * _CALLS))
        every = [fault for fault in every if fault.moment is not ClockMoment.INSIDE or fault in kept]
        yield from every if self.curious else _spaced(every, _FEW)

    # --- one fault -----------------------------------------------------------------------------

    def attempt(self, fault: ClockFault) -> Trial:
        session = Session.begin(self.bench, fault)
        outcome = self._outcome(session, fault)
        fired = int(session.clock.applied)
        struck = self._struck(session, fault)
        if outcome.violation is None:
            return Trial(fired, struck=struck, promise=self.promise)
        left = scan(self.bench.directory)
        site = self._cause(fault, outcome)
        exhibit = self._exhibit(fault, outcome, left)
        return Trial(fired, outcome.violation, site, exhibit, struck, self.promise)

    def ended(self, fault: ClockFault, violation: Violation) -> Trial:
        lines = [*self.workload.describe(), f"<{fault.describe()}>"]
        told = "The operations before were acknowledged."
        expected = "It should have returned, or raised an exception."
        exhibit = Exhibit(tuple(lines), told, "", f"{_capital(fault.describe())}.", violation.sentence, expected)
        return Trial(1, violation, None, exhibit, (), self.promise)

    def _outcome(self, session: Session, fault: ClockFault | None) -> Outcome:
        self.bench.materializer.place(empty_image())
        with session.running(fault):
            shown = self._go(session, fault)
            client = session.client
            oracle = oracle_for(self.bench.adapter, tuple(client.operations), client.errors)
            owed = self._owed(client)
            recovery = self._recover(session, oracle)
            violation = self._judge(session, oracle, recovery, owed, shown)
        self.bench.surroundings.restore()
        return Outcome(violation, session, recovery)

    def _go(self, session: Session, fault: ClockFault | None) -> list[Any]:
        """The workload with the fault in it; what the store showed before it was closed, if it could be read."""
        client = session.client
        client.open()
        for index, step in enumerate((*self.workload.steps, None)):
            self._happen(session, fault, index)
            if step is not None and not session.clock.overdue:
                client.step(step)
        shown = []
        if client.is_open:
            with contextlib.suppress(Exception):
                shown.append(client.snapshot())
        client.close()
        return shown

    def _happen(self, session: Session, fault: ClockFault | None, index: int) -> None:
        if fault is None or fault.index != index:
            return
        if fault.moment is ClockMoment.REOPEN:
            session.client.close()
            session.client.lines.append("close()")
        if fault.moment in (ClockMoment.BETWEEN, ClockMoment.REOPEN):
            session.clock.apply(fault)
            session.client.lines.append(f"<{fault.action()}>")

    def _recover(self, session: Session, oracle: Oracle) -> Recovery:
        """Open it again as the clock is; if that does not work, once more after the clock was set right."""
        client = session.client
        done = Trace(empty_image(), (), tuple(client.operations), "", 0, client.errors)
        spare = spare_operations(self.bench.adapter.model, done)
        recovery = session.bench.recoverer().recover(oracle, spare)
        if recovery.problem in ("cannot_open", "not_writable") and not session.clock.overdue:
            session.clock.put_right()
            again = session.bench.recoverer().recover(oracle, spare)
            return dataclasses.replace(again, recovered=recovery.recovered or again.recovered)
        return recovery

    def _owed(self, client: Client) -> Window:
        count = len(client.operations)
        syncs = [index + 1 for index, item in enumerate(client.operations) if isinstance(item, Sync)]
        return window(self.promise, acknowledged=count, begun=count, synced=max(syncs, default=0))

    def _judge(
        self, session: Session, oracle: Oracle, recovery: Recovery, owed: Window, shown: list[Any]
    ) -> Violation | None:
        if session.clock.overdue:
            return Violation("hang", f"a call waited for more than {PATIENCE_S:g} seconds by the monotonic clock")
        for state in shown:
            if not any(owed.lowest <= count <= owed.highest for count in oracle.matches(state)):
                return classify(oracle, state, owed)
        return judge(oracle, recovery, owed)

    # --- whose reading did the harm ------------------------------------------------------------

    def _cause(self, fault: ClockFault, outcome: Outcome) -> CallSite | None:
        """The last line that has to see the fault for the same kind of violation; where file times alone do the harm,
        the last line that looked at them."""
        assert outcome.violation is not None
        readers = outcome.session.clock.readers
        suspects = list(sites_of(readers).values())[-_SUSPECTS:]
        for site in reversed(suspects):
            if self._same(fault, outcome.violation.kind, site):
                return site
        looked = list(sites_of(outcome.session.files.looked).values())
        if looked and self._same(fault, outcome.violation.kind, None):
            return looked[-1]
        last = list(sites_of([outcome.session.files.last]).values())
        return next(iter([*reversed(suspects), *reversed(looked), *last]), None)

    def _same(self, fault: ClockFault, kind: str, site: CallSite | None) -> bool:
        def sees(reader: Any) -> bool:
            return site is not None and site in sites_of([reader]).values()

        again = self._outcome(Session.begin(self.bench, fault, sees), fault)
        return again.violation is not None and again.violation.kind == kind

    def _struck(self, session: Session, fault: ClockFault) -> tuple[Struck, ...]:
        """The lines that read the clock, or the times of files, after the fault."""
        word = fault.shape.name.lower().replace("_", " ")
        readers = sites_of(session.clock.readers).values()
        looked = sites_of(session.files.looked).values()
        rows = [Struck(site, "reading the clock", word) for site in readers]
        return tuple(rows + [Struck(site, "stat", word) for site in looked])

    def _exhibit(self, fault: ClockFault, outcome: Outcome, left: Any) -> Exhibit:
        client = outcome.session.client
        assert outcome.violation is not None
        refused = len(client.errors)
        told = f"{len(client.operations) - refused} operations were acknowledged"
        told += f", {refused} raised an exception." if refused else "."
        lines = list(client.lines)
        if fault.moment is ClockMoment.INSIDE:
            lines.append(f"<{fault.describe()}>")
        return Exhibit(
            lines=(*lines, "close()", "open()"),
            told=told,
            called="No process died, and no call of the operating system failed.",
            reached=f"{_capital(fault.describe())}.",
            found=f"{_capital(outcome.violation.sentence)}.",
            expected="What is acknowledged has to be there, whatever a clock says.",
            recovered=left,
        )


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _spaced(items: list[ClockFault], most: int) -> list[ClockFault]:
    """At most so many, from all parts of the list."""
    if len(items) <= most:
        return items
    return [items[number * len(items) // most] for number in range(most)]
