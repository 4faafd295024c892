"""What a circuit breaker should do, written a second time, plainly: it keeps everything and counts anew each time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from store_under_test.circuit_breaker import Consecutive, LastCalls, Settings

#: Which state may follow which without an operator.
AUTOMATIC = {("closed", "open"), ("open", "half-open"), ("half-open", "closed"), ("half-open", "open")}
OPERATED = ("closed", "forced open", "forced closed")


@dataclass
class Call:
    """A call that was let in."""

    spell: int
    start: int
    is_trial: bool


@dataclass
class Prediction:
    """The state of one breaker at whole seconds."""

    rules: Settings
    state: str = "closed"
    spell: int = 0
    results: list[tuple[int, bool]] = field(default_factory=list)
    reopens_at: int = 0
    trials: list[Call] = field(default_factory=list)
    good_trials: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    moves: list[tuple[str, str, int]] = field(default_factory=list)
    latencies: list[int] = field(default_factory=list)

    def admits(self, now: int) -> Call | None:
        self.counts["calls"] += 1
        if self.state == "open" and now >= self.reopens_at:
            self.counts["boundary"] += now == self.reopens_at
            self._becomes("half-open", now)
        elif self.state == "half-open" and any(self._hangs(trial, now) for trial in self.trials):
            self.counts["overdue"] += 1
            self._becomes("open", now)
        if not self._lets_in():
            self.counts["rejected"] += 1
            return None
        call = Call(self.spell, now, self.state == "half-open")
        if call.is_trial:
            self.trials.append(call)
        return call

    def _lets_in(self) -> bool:
        if self.state == "half-open":
            return len(self.trials) + self.good_trials < self.rules.trial_calls
        return self.state in ("closed", "forced closed")

    def _hangs(self, trial: Call, now: int) -> bool:
        return self.rules.trial_limit_s is not None and now >= trial.start + self.rules.trial_limit_s

    def ends(self, call: Call, how: str, now: int) -> None:
        """`how`: success, failure or ignored."""
        took = now - call.start
        if how == "success" and self.rules.slow_call_s is not None and took > self.rules.slow_call_s:
            how = "failure"
        self.counts[how] += 1
        self.latencies.append(took)
        if call.spell != self.spell:
            self.counts["late"] += 1
            return
        if call.is_trial:
            self.trials.remove(call)
        if how == "ignored":
            return
        if call.is_trial:
            self._trial_ended(how == "failure" or self._hangs(call, now), now)
        elif self.state == "closed":
            self.results.append((now, how == "failure"))
            if self._threshold_is_met(now):
                self._becomes("open", now)

    def _trial_ended(self, failed: bool, now: int) -> None:
        if failed:
            self.counts["reopened"] += 1
            self._becomes("open", now)
            return
        self.good_trials += 1
        if self.good_trials == self.rules.successes_to_close:
            self.counts["recoveries"] += 1
            self._becomes("closed", now)

    def counted_results(self, now: int) -> list[bool]:
        """The results that count towards the threshold."""
        rule, failed = self.rules.trips, [failed for _, failed in self.results]
        if isinstance(rule, Consecutive):
            last_success = max((number for number, bad in enumerate(failed) if not bad), default=-1)
            return failed[last_success + 1 :]
        if isinstance(rule, LastCalls):
            return failed[-rule.calls :]
        return [bad for when, bad in self.results if when > now - rule.seconds]

    def _threshold_is_met(self, now: int) -> bool:
        counted = self.counted_results(now)
        minimum = 1 if isinstance(self.rules.trips, Consecutive) else self.rules.trips.minimum_calls
        return sum(counted) >= self.rules.trips.failures and len(counted) >= minimum

    def operated(self, state: str, now: int) -> None:
        """An operator says what it is to be."""
        if state != self.state:
            self.counts["forced during a trial"] += bool(self.trials)
            self._becomes(state, now)
        elif state == "closed":
            self._begins()

    def restarted(self, then: int, now: int) -> Prediction:
        """What the next process begins with: `then` was the clock's time when the state was saved, `now` is its own."""
        waits = max(0, self.reopens_at - then) if self.state == "open" else 0
        state = "open" if self.state == "half-open" else self.state
        return Prediction(self.rules, state, reopens_at=now + waits)

    def _becomes(self, state: str, now: int) -> None:
        self.moves.append((self.state, state, now))
        self.state = state
        if state == "open":
            self.reopens_at = now + int(self.rules.recovery_timeout_s)
        self._begins()

    def _begins(self) -> None:
        self.spell += 1
        self.results, self.trials, self.good_trials = [], [], 0
