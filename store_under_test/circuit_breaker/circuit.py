"""The states of a circuit and what moves it from one to the other. No clock, no lock, no call: those are `breaker`'s.

Automatic: CLOSED -> OPEN at the threshold; OPEN -> HALF_OPEN by the first call at or after the recovery timeout;
HALF_OPEN -> CLOSED by enough successful trials, HALF_OPEN -> OPEN by a failed or overdue one. By an operator: any
state -> FORCED_OPEN, FORCED_CLOSED, or CLOSED (`reset`). What an operator has forced stays until an operator's next
word.

Every transition and every reset begins a new generation. A ticket carries the generation that admitted it, and a result
from an earlier one changes nothing here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from store_under_test.circuit_breaker.settings import Settings
from store_under_test.circuit_breaker.windows import Window, window_for


class State(Enum):
    """Where a circuit is."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    FORCED_OPEN = "forced open"
    FORCED_CLOSED = "forced closed"


class Outcome(Enum):
    """What a call that was admitted says about the dependency."""

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of state: the `number`-th, at `at_s` seconds of the breaker's monotonic clock."""

    number: int
    before: State
    after: State
    at_s: float
    reason: str

    @property
    def is_recovery(self) -> bool:
        """Whether trials have shown that the dependency is well again."""
        return self.before is State.HALF_OPEN and self.after is State.CLOSED and self.reason == TRIALS_SUCCEEDED


@dataclass(frozen=True, slots=True)
class Ticket:
    """The permission to make one call."""

    number: int
    generation: int
    started_s: float


@dataclass(frozen=True, slots=True)
class SavedState:
    """What survives a restart: plain values, fit for JSON. `remaining_s` is how long it stays open yet.

    A time of a monotonic clock means nothing to the next boot, so none is in it.
    """

    state: str
    remaining_s: float = 0.0


THRESHOLD_REACHED = "the threshold is reached"
WAIT_IS_OVER = "the recovery timeout is over"
TRIALS_SUCCEEDED = "the trials succeeded"
TRIAL_FAILED = "a trial failed"
TRIAL_OVERDUE = "a trial did not end in time"
BY_OPERATOR = "an operator said so"

_ADMITTING = (State.CLOSED, State.FORCED_CLOSED)


class Circuit:
    """One circuit. Not safe for threads: its owner holds a lock. A time that goes back is taken for the latest."""

    def __init__(self, settings: Settings, now_s: float, saved: SavedState | None = None) -> None:
        self.settings = settings
        self.state = State.CLOSED
        self.generation = 0
        self._now_s = now_s
        self._until_s = now_s  # when OPEN ends
        self._tickets = 0
        self._transitions: list[Transition] = []
        self._transition_count = 0
        self._begin()
        if saved is not None:
            self._restore(saved)

    def admit(self, now_s: float) -> Ticket | None:
        """The permission for one call, or `None` if it is rejected."""
        now_s = self._advanced(now_s)
        if self.state is State.OPEN and self._wait_is_over(now_s):
            self._move(State.HALF_OPEN, now_s, WAIT_IS_OVER)
        if self.state is State.HALF_OPEN and any(self._is_overdue(start_s, now_s) for start_s in self._trials.values()):
            self._move(State.OPEN, now_s, TRIAL_OVERDUE)
        is_trial = self.state is State.HALF_OPEN
        if not (self.state in _ADMITTING or (is_trial and self._has_free_slot())):
            return None
        self._tickets += 1
        if is_trial:
            self._trials[self._tickets] = now_s
        return Ticket(self._tickets, self.generation, now_s)

    def settle(self, ticket: Ticket, outcome: Outcome, now_s: float) -> bool:
        """The result of an admitted call; each ticket once. Whether it counted: `False` says that it came too late."""
        now_s = self._advanced(now_s)
        if not self._is_current(ticket):
            return False
        trial_started_s = self._trials.pop(ticket.number, None)
        if outcome is not Outcome.IGNORED:
            is_overdue = trial_started_s is not None and self._is_overdue(trial_started_s, now_s)
            self._judge(outcome is Outcome.FAILURE or is_overdue, now_s)
        return True

    def force(self, state: State, now_s: float) -> None:
        """An operator's word: FORCED_OPEN, FORCED_CLOSED, or CLOSED, which also forgets what was counted."""
        now_s = self._advanced(now_s)
        if self.state is not state:
            self._move(state, now_s, BY_OPERATOR)
        elif state is State.CLOSED:
            self._begin()

    def failures(self, now_s: float) -> int:
        """How many failures count towards the threshold; 0 unless it is closed."""
        return self._window.failures(self._advanced(now_s)) if self.state is State.CLOSED else 0

    @property
    def trials_in_flight(self) -> int:
        """Trial calls that have not ended."""
        return len(self._trials)

    def retry_after_s(self, now_s: float) -> float | None:
        """Seconds until a trial is possible, if that is known."""
        return max(0.0, self._until_s - self._advanced(now_s)) if self.state is State.OPEN else None

    def saved(self, now_s: float) -> SavedState:
        """What to keep for the next start. One in the middle of its trials is saved as one that may begin them."""
        state = State.OPEN if self.state is State.HALF_OPEN else self.state
        return SavedState(state.value, self.retry_after_s(now_s) or 0.0)

    def take_transitions(self) -> list[Transition]:
        """The transitions since the last time this was asked, oldest first."""
        taken, self._transitions = self._transitions, []
        return taken

    def _judge(self, failed: bool, now_s: float) -> None:
        if self.state is State.CLOSED:
            self._window.add(failed, now_s)
            if self._window.is_met(now_s):
                self._move(State.OPEN, now_s, THRESHOLD_REACHED)
        elif self.state is State.HALF_OPEN:
            self._judge_trial(failed, now_s)

    def _judge_trial(self, failed: bool, now_s: float) -> None:
        if failed:
            self._move(State.OPEN, now_s, TRIAL_FAILED)
            return
        self._successes += 1
        if self._successes >= self.settings.successes_to_close:
            self._move(State.CLOSED, now_s, TRIALS_SUCCEEDED)

    def _is_current(self, ticket: Ticket) -> bool:
        return ticket.generation == self.generation

    def _wait_is_over(self, now_s: float) -> bool:
        return now_s >= self._until_s

    def _has_free_slot(self) -> bool:
        return len(self._trials) + self._successes < self.settings.trial_calls

    def _is_overdue(self, started_s: float, now_s: float) -> bool:
        limit_s = self.settings.trial_limit_s
        return limit_s is not None and now_s - started_s >= limit_s

    def _move(self, state: State, now_s: float, reason: str) -> None:
        before, self.state = self.state, state
        self._transition_count += 1
        self._transitions.append(Transition(self._transition_count, before, state, now_s, reason))
        if state is State.OPEN:
            self._until_s = now_s + self.settings.recovery_timeout_s
        self._begin()

    def _begin(self) -> None:
        """A new generation, in which nothing has happened."""
        self.generation += 1
        self._window: Window = window_for(self.settings.trips)
        self._trials: dict[int, float] = {}
        self._successes = 0

    def _restore(self, saved: SavedState) -> None:
        self.state = State(saved.state)
        if self.state is State.HALF_OPEN:
            raise ValueError("a half-open circuit is saved as an open one: its trials ended with the process")
        wait_s = self.settings.recovery_timeout_s
        remaining_s = wait_s if math.isnan(saved.remaining_s) else min(max(0.0, saved.remaining_s), wait_s)
        self._until_s = self._now_s + remaining_s

    def _advanced(self, now_s: float) -> float:
        """`now_s`, or the latest time seen: threads bring their times in any order."""
        self._now_s = max(self._now_s, now_s)
        return self._now_s
