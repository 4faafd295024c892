"""Breakers with one planted defect each, made from the sound one by changing what the name says."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Any

from store_under_test.circuit_breaker import (
    CircuitBreaker,
    Consecutive,
    Outcome,
    SavedState,
    Settings,
    State,
    Ticket,
    Transition,
)
from store_under_test.circuit_breaker.circuit import Circuit
from store_under_test.circuit_breaker.listeners import Announcer
from tests.unit.circuit_breaker.machine import Factory, VirtualTime

TICK = 1


def of_breaker(kind: type[CircuitBreaker], *, wall: bool = False) -> Factory:
    """A factory of such breakers, `wall`: on the clock that people set."""

    def make(
        rules: Settings, time: VirtualTime, listeners: Iterable[Callable[[Transition], object]], saved: Any
    ) -> CircuitBreaker:
        clock = time.wall if wall else time.monotonic
        return kind(rules, clock=clock, listeners=listeners, saved=saved)

    return make


def of_circuit(kind: type[Circuit]) -> Factory:
    """A factory of breakers around such a circuit."""
    return of_breaker(type("Defective", (CircuitBreaker,), {"circuit_type": kind}))


def of_announcer(kind: type[Announcer]) -> Factory:
    """A factory of breakers with such listeners."""
    return of_breaker(type("Defective", (CircuitBreaker,), {"announcer_type": kind}))


# --- states ------------------------------------------------------------------------------------


class ClosesWithoutTrial(Circuit):
    """After the wait it is closed at once."""

    def admit(self, now_s: float) -> Ticket | None:
        if self.state is State.OPEN and self._wait_is_over(now_s):
            self._move(State.CLOSED, now_s, "the wait is over")
        return super().admit(now_s)


class ForgivesATrial(Circuit):
    """A failed trial closes it as well."""

    def _judge_trial(self, failed: bool, now_s: float) -> None:
        super()._judge_trial(False, now_s)


class OneTrialIsEnough(Circuit):
    """The first good trial closes it, whatever the settings ask for."""

    def _judge_trial(self, failed: bool, now_s: float) -> None:
        self._successes = self.settings.successes_to_close
        super()._judge_trial(failed, now_s)


class OneTickEarly(Circuit):
    """A trial before the wait is over."""

    def _wait_is_over(self, now_s: float) -> bool:
        return super()._wait_is_over(now_s + TICK)


class OneTickLate(Circuit):
    """No trial at the very moment."""

    def _wait_is_over(self, now_s: float) -> bool:
        return now_s > self._until_s


class OneTrialTooMany(Circuit):
    """Off by one in the quota."""

    def _has_free_slot(self) -> bool:
        return len(self._trials) + self._successes <= self.settings.trial_calls


class TrialsStarve(Circuit):
    """A trial that says nothing keeps its place."""

    def settle(self, ticket: Ticket, outcome: Outcome, now_s: float) -> bool:
        is_trial = ticket.number in self._trials
        counted = super().settle(ticket, outcome, now_s)
        if is_trial and outcome is Outcome.IGNORED and counted:
            self._trials[ticket.number] = math.inf
        return counted


class LateResultsCount(Circuit):
    """A result decides in whatever state it meets."""

    def _is_current(self, ticket: Ticket) -> bool:
        return True


class HangingTrialsHold(Circuit):
    """The limit of a trial is never looked at."""

    def _is_overdue(self, started_s: float, now_s: float) -> bool:
        return False


class AutomaticWins(Circuit):
    """What an operator has opened is tried again like anything else."""

    def force(self, state: State, now_s: float) -> None:
        super().force(State.OPEN if state is State.FORCED_OPEN else state, now_s)


class ResetKeepsCounts(Circuit):
    """A reset of a closed circuit forgets nothing."""

    def force(self, state: State, now_s: float) -> None:
        if self.state is not state:
            super().force(state, now_s)


class WaitsAnewAfterRestart(Circuit):
    """Another boot's deadline is believed, however far it is."""

    def _restore(self, saved: SavedState) -> None:
        super()._restore(saved)
        self._until_s = self._now_s + self.settings.recovery_timeout_s + saved.remaining_s


# --- the threshold -------------------------------------------------------------------------------


class _OtherThreshold:
    """Sees the failures of a window as one more or less."""

    def __init__(self, window: Any, more: int) -> None:
        self._window, self._more = window, more

    def add(self, failed: bool, now_s: float) -> None:
        self._window.add(failed, now_s)

    def failures(self, now_s: float) -> int:
        count: int = self._window.failures(now_s)
        return count

    def is_met(self, now_s: float) -> bool:
        return self.failures(now_s) + self._more >= self._window._rule.failures and self._has_enough()

    def _has_enough(self) -> bool:
        rule = self._window._rule
        return isinstance(rule, Consecutive) or len(self._window._results) >= rule.minimum_calls


class OneFailureMore(Circuit):
    """Opens beyond the threshold, not at it."""

    def _begin(self) -> None:
        super()._begin()
        self._window = _OtherThreshold(self._window, -1)


class OneFailureLess(Circuit):
    """Opens before the threshold."""

    def _begin(self) -> None:
        super()._begin()
        self._window = _OtherThreshold(self._window, 1)


class NoMinimum(Circuit):
    """Opens on the first results."""

    def _begin(self) -> None:
        super()._begin()
        self._window = _OtherThreshold(self._window, 0)
        self._window._has_enough = lambda: True  # type: ignore[method-assign]


class NothingFallsOut(Circuit):
    """Old failures count for ever."""

    def _begin(self) -> None:
        super()._begin()
        if not isinstance(self.settings.trips, Consecutive):
            self._window._is_outside = lambda oldest_s, now_s: False  # type: ignore[attr-defined]


# --- calls and counts ----------------------------------------------------------------------------


class WedgedByCancellation(CircuitBreaker):
    """Only exceptions end a slot."""

    def _settle(self, ticket: Ticket, error: BaseException | None) -> None:
        if error is None or isinstance(error, Exception):
            super()._settle(ticket, error)


class CancellationIsFailure(CircuitBreaker):
    """A caller that gives up speaks against the dependency."""

    def _outcome(self, error: BaseException | None, latency_s: float) -> Outcome:
        is_cancelled = isinstance(error, asyncio.CancelledError)
        return Outcome.FAILURE if is_cancelled else super()._outcome(error, latency_s)


class BusinessErrorIsSuccess(CircuitBreaker):
    """What says nothing closes the circuit."""

    def _outcome(self, error: BaseException | None, latency_s: float) -> Outcome:
        found = super()._outcome(error, latency_s)
        return Outcome.SUCCESS if found is Outcome.IGNORED else found


class SlowIsSuccess(CircuitBreaker):
    """How long it took is not looked at."""

    def _outcome(self, error: BaseException | None, latency_s: float) -> Outcome:
        return super()._outcome(error, 0.0)


class LostCount(CircuitBreaker):
    """A rejected call is none."""

    def _admit(self) -> Ticket:
        before = self._tally.rejected
        try:
            return super()._admit()
        finally:
            self._tally.rejected = before


class CheckThenAct(CircuitBreaker):
    """Asks whether a trial is free, looks at the clock, and takes it: two may come in between."""

    def _admit(self) -> Ticket:
        free = self._circuit._has_free_slot() or self.state is State.OPEN
        if not free or self.state is not State.HALF_OPEN:
            return super()._admit()
        self._clock()
        now_s = self._clock()
        ticket = Ticket(-self._tally.calls, self._circuit.generation, now_s)
        self._tally.asked(admitted=True)
        self._circuit._trials[ticket.number] = now_s
        return ticket


class MetricsStartAnew(CircuitBreaker):
    """What was counted is gone with each transition."""

    def _note_transitions(self) -> None:
        if self._circuit._transitions:
            self._tally.outcomes = dict.fromkeys(Outcome, 0)
        super()._note_transitions()


class ToldUnderTheLock(CircuitBreaker):
    """Listeners are called before the lock is free: one that uses the breaker waits for ever."""

    def _note_transitions(self) -> None:
        super()._note_transitions()
        self._announcer.deliver()


# --- listeners -----------------------------------------------------------------------------------


class RaisingListenerBreaks(Announcer):
    """Its exception reaches whoever made the call."""

    def _tell(self, listener: Any, transition: Transition) -> None:
        listener(transition)


class RaisingListenerIsLast(Announcer):
    """Its exception ends the delivery: those after it hear nothing."""

    def _tell(self, listener: Any, transition: Transition) -> None:
        before = self.errors
        super()._tell(listener, transition)
        if self.errors > before:
            self._pending.clear()


class ToldTwice(Announcer):
    """Each transition twice."""

    def _tell(self, listener: Any, transition: Transition) -> None:
        super()._tell(listener, transition)
        super()._tell(listener, transition)


_OF_CIRCUIT: tuple[type[Circuit], ...] = (
    *(ClosesWithoutTrial, ForgivesATrial, OneTrialIsEnough, OneTickEarly, OneTickLate, OneTrialTooMany, TrialsStarve),
    *(LateResultsCount, HangingTrialsHold, AutomaticWins, ResetKeepsCounts, WaitsAnewAfterRestart),
    *(OneFailureMore, OneFailureLess, NoMinimum, NothingFallsOut),
)
_OF_BREAKER: tuple[type[CircuitBreaker], ...] = (
    *(WedgedByCancellation, CancellationIsFailure, BusinessErrorIsSuccess, SlowIsSuccess),
    *(LostCount, CheckThenAct, MetricsStartAnew, ToldUnderTheLock),
)

DEFECTS: dict[str, Factory] = {
    "WallClock": of_breaker(CircuitBreaker, wall=True),
    **{kind.__name__: of_circuit(kind) for kind in _OF_CIRCUIT},
    **{kind.__name__: of_breaker(kind) for kind in _OF_BREAKER},
    **{kind.__name__: of_announcer(kind) for kind in (RaisingListenerBreaks, RaisingListenerIsLast, ToldTwice)},
}
