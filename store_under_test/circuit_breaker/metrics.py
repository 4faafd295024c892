"""What a breaker counts. One lock, the breaker's, guards all of it, so that a snapshot adds up.

calls = successes + failures + ignored + rejected + in_flight, at every moment. Results that came too late to decide
anything are in these counts as well, and in `late`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from store_under_test.circuit_breaker.circuit import Outcome, State, Transition

RECENT_LATENCIES = 256
RECENT_TRANSITIONS = 256


@dataclass(frozen=True, slots=True)
class Latencies:
    """How long the admitted calls took that have ended, in seconds; `recent_s` are the last ones, oldest first."""

    count: int = 0
    total_s: float = 0.0
    longest_s: float = 0.0
    recent_s: tuple[float, ...] = ()

    @property
    def mean_s(self) -> float | None:
        """Of all calls; `None` if there is none."""
        return self.total_s / self.count if self.count else None

    def percentile_s(self, percent: float) -> float | None:
        """Of the recent calls, by nearest rank; `None` if there is none. `ValueError` unless 0 < `percent` <= 100."""
        if not 0 < percent <= 100:
            raise ValueError(f"{percent} is no percentile: it must be above 0 and at most 100")
        ordered = sorted(self.recent_s)
        return ordered[math.ceil(len(ordered) * percent / 100) - 1] if ordered else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """One moment of a breaker. Counts are since it was made, whatever its state was meanwhile.

    `window_failures` is how many failures count towards the threshold. `transitions` are the last ones, oldest first;
    `transition_count` is of all of them, `entered` of those that led to each state. A recovery is a circuit that was
    closed by its trials.
    """

    state: State
    generation: int
    window_failures: int
    trials_in_flight: int
    calls: int
    successes: int
    failures: int
    ignored: int
    rejected: int
    in_flight: int
    late: int
    fallbacks: int
    recoveries: int
    listener_errors: int
    latencies: Latencies
    transition_count: int
    entered: Mapping[State, int]
    transitions: tuple[Transition, ...]

    @property
    def success_rate(self) -> float | None:
        """Successes among the results that say something, from 0 to 1; `None` if there is none."""
        told = self.successes + self.failures
        return self.successes / told if told else None


class Tally:
    """The counts. Not safe for threads: its owner holds a lock."""

    def __init__(self) -> None:
        self.calls = self.rejected = self.late = self.fallbacks = self.recoveries = self.transition_count = 0
        self.outcomes = dict.fromkeys(Outcome, 0)
        self._entered = dict.fromkeys(State, 0)
        self._total_s = self._longest_s = 0.0
        self._recent_s: deque[float] = deque(maxlen=RECENT_LATENCIES)
        self._transitions: deque[Transition] = deque(maxlen=RECENT_TRANSITIONS)

    def asked(self, *, admitted: bool) -> None:
        """A call came."""
        self.calls += 1
        self.rejected += not admitted

    def ended(self, outcome: Outcome, latency_s: float, *, late: bool) -> None:
        """An admitted call has ended."""
        self.outcomes[outcome] += 1
        self.late += late
        self._total_s += latency_s
        self._longest_s = max(self._longest_s, latency_s)
        self._recent_s.append(latency_s)

    def moved(self, transition: Transition) -> None:
        """The circuit changed its state."""
        self.transition_count += 1
        self._entered[transition.after] += 1
        self.recoveries += transition.is_recovery
        self._transitions.append(transition)

    def metrics(
        self, *, state: State, generation: int, window_failures: int, trials_in_flight: int, listener_errors: int
    ) -> Metrics:
        """A frozen copy, with what the circuit says beside it."""
        ended = sum(self.outcomes.values())
        return Metrics(
            state=state,
            generation=generation,
            window_failures=window_failures,
            trials_in_flight=trials_in_flight,
            calls=self.calls,
            successes=self.outcomes[Outcome.SUCCESS],
            failures=self.outcomes[Outcome.FAILURE],
            ignored=self.outcomes[Outcome.IGNORED],
            rejected=self.rejected,
            in_flight=self.calls - self.rejected - ended,
            late=self.late,
            fallbacks=self.fallbacks,
            recoveries=self.recoveries,
            listener_errors=listener_errors,
            latencies=Latencies(ended, self._total_s, self._longest_s, tuple(self._recent_s)),
            transition_count=self.transition_count,
            entered=dict(self._entered),
            transitions=tuple(self._transitions),
        )
