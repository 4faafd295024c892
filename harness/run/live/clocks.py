"""Clocks that go wrong while a store works: everything acknowledged must be there, in order, after a clean close.

A workload runs by a clock of its own (`timepiece`); the fault happens at its moment, and the store is closed, opened
and judged as after any other run. An operation that refuses to work by such a clock fails, which is no loss; only when
nothing works any more after somebody has set the clock right is the store broken.

Which reading of the clock did the harm is found by experiment: the trial is repeated with the fault visible to the
readings of one line alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.core.operations import Sync
from harness.core.trace import CallSite, Trace, empty_image
from harness.core.workload import Workload
from harness.inject.clocks import (
    PATIENCE_S,
    ClockFault,
    ClockMoment,
    ClockShape,
    clock_faults,
    contended_faults,
    spaced,
)
from harness.judge.classify import Violation, classify
from harness.judge.oracle import Window, window
from harness.judge.recovery import judge
from harness.record.scan import scan
from harness.run.containment import CAN_FORK
from harness.run.exploring import spare_operations
from harness.run.live import timepiece
from harness.run.live.bench import Bench, Client
from harness.run.live.contended import Encounter, Pair, overdue
from harness.run.live.damage import oracle_for
from harness.run.live.session import Session
from harness.run.live.timepiece import sites_of
from harness.run.live.values import Exhibit, Struck, Trial
from harness.run.recovering import StoreFailed

#: Lines that are tried, one by one, as the one whose reading did the harm.
_SUSPECTS = 8
#: Faults for a store that looks at no clock and at no time of a file: they can hardly matter to it.
_FEW = 8
#: I/O calls of an operation at which one process stops while another goes on.
_STOPS = 5
_CONTENDED = (ClockMoment.HELD, ClockMoment.WAITING)
#: The number of a call that no operation makes.
_NEVER = 1_000_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial showed, and the session, which knows who looked at clocks."""

    violation: Violation | None
    session: Session


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
        self.causes: dict[str, CallSite] = {}
        self.pair: Pair | None = None
        self.calm: dict[int, Encounter] = {}  # what two processes do while clocks go right, by the call of the stop

    def rehearse(self) -> str:
        """Run the workload by a clock that goes right; why nothing can be tried, or nothing."""
        reason = timepiece.probe()
        if reason:
            return reason
        session = Session.begin(self.bench, None)
        session.clock.applied = True  # nothing happens to it, but its readers are listed
        outcome = self._outcome(session, None)
        self.client, self.calls = session.client, session.calls
        self.curious = bool(session.clock.readers or session.files.looked)
        wrong = [*self.client.elsewhere, *self.client.errors.values()]
        if outcome.violation is not None:
            wrong.append(f"{outcome.violation.sentence}, without any fault")
        if not wrong and self.bench.contract.writers == "processes" and CAN_FORK:
            pair = Pair(self.bench, self.workload)
            self.pair = pair if len(pair.operations) == 2 else None
        return wrong[0] if wrong else ""

    @property
    def operations(self) -> int:
        return len(self.client.operations)

    def faults(self) -> Iterator[ClockFault]:
        every = clock_faults(len(self.workload.steps), self.calls)
        yield from every if self.curious else spaced(every, _FEW)
        if self.pair is not None:
            for index in spaced(range(self._calm(_NEVER).calls), _STOPS):
                calm = self._calm(index)
                if calm.stopped and not calm.alone and calm.violation is None:
                    yield from contended_faults(index)

    # --- one fault -----------------------------------------------------------------------------

    def attempt(self, fault: ClockFault) -> Trial:
        if fault.moment in _CONTENDED:
            return self._contended(fault)
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
            violation = self._judge(session, shown)
        self.bench.surroundings.restore()
        return Outcome(violation, session)

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
        session.calls = session.files.calls
        with contextlib.suppress(StoreFailed):
            shown.append(session.bench.recoverer().read())
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

    def _owed(self, client: Client) -> Window:
        count = len(client.operations)
        syncs = [index + 1 for index, item in enumerate(client.operations) if isinstance(item, Sync)]
        return window(self.promise, acknowledged=count, begun=count, synced=max(syncs, default=0))

    def _judge(self, session: Session, shown: list[Any]) -> Violation | None:
        """What the store has shown by the clock as it was, and whether it works after somebody has set it right.

        New operations that come out wrong then are no news: each fault between operations has asked for that.
        """
        client, owed = session.client, self._owed(session.client)
        oracle = oracle_for(self.bench.adapter, tuple(client.operations), client.errors)
        for state in shown:
            if not any(owed.lowest <= count <= owed.highest for count in oracle.matches(state)):
                return classify(oracle, state, owed)
        if not session.clock.overdue:
            session.clock.put_right()
            done = Trace(empty_image(), (), tuple(client.operations), "", 0, client.errors)
            spare = spare_operations(self.bench.adapter.model, done)
            recovery = session.bench.recoverer().recover(oracle, spare)
            if recovery.problem == "not_writable" and not recovery.raised:
                recovery = dataclasses.replace(recovery, problem="")
            violation = judge(oracle, recovery, owed)
        if session.clock.overdue:
            return Violation("hang", f"a call waited for more than {PATIENCE_S:g} seconds by the monotonic clock")
        return violation

    # --- two processes -------------------------------------------------------------------------

    def _contended(self, fault: ClockFault) -> Trial:
        """One encounter of two processes. What goes wrong without the fault as well is not its doing."""
        calm = self._calm(fault.index)
        if self.pair is None or not calm.stopped or calm.violation is not None:
            return Trial(0)
        session = Session.begin(self.bench, fault)
        met = self.pair.meet(session, fault)
        violation = met.violation
        if met.overdue and not calm.overdue:
            violation = overdue()
        fired = int(met.stopped and session.clock.applied)
        struck = self._struck(session, fault)
        if violation is None or not fired:
            return Trial(fired, struck=struck, promise=self.promise)
        left = scan(self.bench.directory)
        outcome = Outcome(violation, session)
        return Trial(fired, violation, self._cause(fault, outcome), self._met(fault, violation, met, left), struck)

    def _calm(self, index: int) -> Encounter:
        assert self.pair is not None
        if index not in self.calm:
            fault = ClockFault(ClockShape.STEP, 0.0, ClockMoment.HELD, index)
            self.calm[index] = self.pair.meet(Session.begin(self.bench, fault), fault, happens=False)
        return self.calm[index]

    def _met(self, fault: ClockFault, violation: Violation, met: Encounter, left: Any) -> Exhibit:
        return Exhibit(
            lines=met.lines,
            told="Two processes had the store open, and each issued one operation.",
            called="No process died, and no call of the operating system failed.",
            reached=f"{_capital(fault.action())} {fault.moment.value} {fault.index + 1}.",
            found=f"{_capital(violation.sentence)}.",
            expected="Both have to be there, in whatever order, or the one that could not be done raises an exception.",
            recovered=left,
        )

    # --- whose reading did the harm ------------------------------------------------------------

    def _cause(self, fault: ClockFault, outcome: Outcome) -> CallSite | None:
        """The last line that has to see the fault for the same kind of violation; where file times alone do the harm,
        the last line that looked at them; of a hang, the last line that read the clock, or slept."""
        assert outcome.violation is not None
        session, kind = outcome.session, outcome.violation.kind
        if kind == "hang":
            waiting = [session.clock.last_reader, *session.clock.readers]
            return next(iter(reversed(sites_of(waiting).values())), None)
        suspects = list(reversed(sites_of(session.clock.readers).values()))[:_SUSPECTS]
        looked = list(reversed(sites_of(session.files.looked).values()))
        known = self.causes.get(kind)
        if known is not None and known in (*suspects, *looked):
            return known
        guilty = (site for site in suspects if self._same(fault, kind, site))
        by_time = (site for site in looked[:1] if self._same(fault, kind, None))
        last = sites_of([session.files.last]).values()
        cause = next(itertools.chain(guilty, by_time, suspects, looked, last), None)
        if cause is not None:
            self.causes[kind] = cause
        return cause

    def _same(self, fault: ClockFault, kind: str, site: CallSite | None) -> bool:
        def sees(reader: Any) -> bool:
            return site is not None and site in sites_of([reader]).values()

        session = Session.begin(self.bench, fault, sees)
        if fault.moment in _CONTENDED and self.pair is not None:
            violation = self.pair.meet(session, fault).violation
        else:
            violation = self._outcome(session, fault).violation
        return violation is not None and violation.kind == kind

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
