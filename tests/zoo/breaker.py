"""The circuit breaker as an object that several clients use at once: is there one order that explains every answer?

Time is virtual, and passes by an operation of its own, while nobody is in the breaker: a call looks at the clock before
it takes the lock, and what it decides is right for the time that it has seen, which may have passed meanwhile. Threads
run freely, and give way at each look at the clock, as a seed says. The model is the prediction of the breaker's own
tests.
"""

from __future__ import annotations

import dataclasses
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from harness.core.history import History
from harness.history.checking import check
from harness.history.recording import Recorder
from store_under_test.circuit_breaker import (
    Attempt,
    CircuitBreaker,
    CircuitOpenError,
    Consecutive,
    LastCalls,
    LastSeconds,
    Settings,
)
from tests.unit.circuit_breaker.machine import Factory, VirtualTime, sound
from tests.unit.circuit_breaker.prediction import Call, Prediction

#: How long a thread of Python runs at most before another one may: so short that they alternate within a call.
_INTERVAL_S = 1e-5
_PATIENCE_S = 60.0


# --- operations and their model ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Enter:
    """Ask for a call; the answer is whether it was let in."""

    call: str


@dataclass(frozen=True, slots=True)
class Leave:
    """The call ends: success, failure or ignored."""

    call: str
    how: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A second passes."""


@dataclass(frozen=True, slots=True)
class Look:
    """Ask for the metrics; the answer is what `shown` makes of them."""


@dataclass
class State:
    """A breaker, the time, and the calls that have not ended."""

    prediction: Prediction
    now: int
    calls: dict[str, Call] = field(default_factory=dict)

    def copied(self) -> State:
        """To be changed; calls are never changed."""
        old = self.prediction
        new = dataclasses.replace(
            old, results=list(old.results), trials=list(old.trials), counts=Counter(old.counts), moves=list(old.moves)
        )
        new.latencies = []  # nobody asks
        return State(new, self.now, dict(self.calls))


@dataclass(frozen=True)
class BreakerModel:
    """What a breaker with these `rules` answers, one operation after another."""

    rules: Settings

    def initial(self) -> State:
        return State(Prediction(self.rules), VirtualTime().now)

    def step(self, state: State, operation: object) -> tuple[State, Any]:
        after = state.copied()
        match operation:
            case Enter(name):
                call = after.prediction.admits(after.now)
                if call is not None:
                    after.calls[name] = call
                return after, call is not None
            case Leave(name, how):
                call = after.calls.pop(name, None)
                if call is not None:  # in an order in which it was not let in, it can't end
                    after.prediction.ends(call, how, after.now)
                return after, None
            case Tick():
                after.now += 1
                return after, None
            case Look():
                return after, _predicted(after)
        raise TypeError(f"no operation of a breaker: {operation!r}")

    def equal(self, recovered: Any, state: State) -> bool:
        return bool(recovered == _predicted(state))


def _predicted(state: State) -> dict[str, Any]:
    prediction = state.prediction
    counts = prediction.counts
    return {
        "state": prediction.state,
        "calls": counts["calls"],
        "successes": counts["success"],
        "failures": counts["failure"],
        "ignored": counts["ignored"],
        "rejected": counts["rejected"],
        "late": counts["late"],
        "recoveries": counts["recoveries"],
        "trials_in_flight": len(prediction.trials),
        "transition_count": len(prediction.moves),
        "window_failures": sum(prediction.counted_results(state.now)),
    }


def shown(breaker: CircuitBreaker) -> dict[str, Any]:
    """What a breaker says of itself, under the names of its metrics."""
    metrics = breaker.metrics()
    names = _predicted(State(Prediction(Settings()), 0)).keys() - {"state"}
    return {"state": metrics.state.value, **{name: getattr(metrics, name) for name in names}}


# --- clients -------------------------------------------------------------------------------------


class GivingWay(VirtualTime):
    """A clock at which other threads may go on, between the look and the answer."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(f"clock {seed}")
        self._changed = threading.Condition()
        self._inside = 0
        self._passing = False

    def monotonic(self) -> float:
        now = self.now
        if self._random.random() < 0.5:
            time.sleep(0)
        return now

    def tick(self) -> None:
        """A second passes, when all have left that stood still; nobody begins meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: not self._passing)
            self._passing = True
            self._changed.wait_for(lambda: not self._inside)
            self.now += 1
            self._passing = False
            self._changed.notify_all()

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """No time passes until the block ends."""
        with self._changed:
            self._changed.wait_for(lambda: not self._passing)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()


def rules_for(seed: int) -> Settings:
    """The rules of one run."""
    source = random.Random(f"rules {seed}")
    trial_calls = source.choice((1, 2, 3))
    return Settings(
        trips=source.choice((Consecutive(2), LastCalls(5, 3, 3), LastSeconds(4, 3, 3))),
        recovery_timeout_s=source.choice((1, 2, 3)),
        trial_calls=trial_calls,
        successes_to_close=source.randint(1, trial_calls),
        trial_limit_s=source.choice((None, 3, 6)),
        ignored=(KeyError,),
    )


_ENDINGS: dict[str, BaseException | None] = {"success": None, "failure": OSError("down"), "ignored": KeyError("none")}


def race(seed: int, clients: int, each: int, factory: Factory = sound) -> History:
    """So many threads do `each` operations or some more on one breaker."""
    clock, recorder = GivingWay(seed), Recorder()
    breaker = factory(rules_for(seed), clock, (), None)
    started = threading.Barrier(clients)
    workers = [_Worker(breaker, clock, recorder, seed, number) for number in range(1, clients + 1)]

    def work(worker: _Worker) -> None:
        started.wait(_PATIENCE_S)
        worker.work(each)

    before = sys.getswitchinterval()
    sys.setswitchinterval(_INTERVAL_S)
    try:
        threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_PATIENCE_S)
    finally:
        sys.setswitchinterval(before)
    return recorder.ended_with(shown(breaker))


def judged(history: History, seed: int) -> tuple[str, str]:
    """Why the history of the run with this seed is not that of a breaker, or why that can't be told."""
    checked = check(history, BreakerModel(rules_for(seed)))
    return ("" if checked.contradiction is None else checked.contradiction.sentence), checked.reason


class _Worker:
    """What one thread does: calls, now and then a look, or a second passes."""

    def __init__(self, breaker: CircuitBreaker, clock: GivingWay, recorder: Recorder, seed: int, number: int) -> None:
        self.breaker = breaker
        self.clock = clock
        self.client = recorder.client()
        self.source = random.Random(f"client {seed} {number}")
        self.number = number
        self.done = 0

    def work(self, each: int) -> None:
        while self.done < each:
            self._sometimes()
            name = f"{self.number}.{self.done}"
            attempt = self.breaker.attempt()
            if self._do(Enter(name), lambda attempt=attempt: _entered(attempt)):
                self._sometimes()
                how = self.source.choice(("success", "success", "failure", "failure", "ignored"))
                self._do(Leave(name, how), lambda attempt=attempt, how=how: _left(attempt, _ENDINGS[how]))

    def _sometimes(self) -> None:
        chance = self.source.random()
        if chance < 0.2:
            self.done += 1
            self.client.call(Tick(), self.clock.tick)
        elif chance < 0.4:
            self._do(Look(), lambda: shown(self.breaker))

    def _do(self, operation: Any, function: Callable[[], Any]) -> Any:
        self.done += 1
        with self.client.calling(operation) as answered, self.clock.standing_still():
            answered.answer = function()
        return answered.answer


def _entered(attempt: Attempt) -> bool:
    try:
        attempt.__enter__()
    except CircuitOpenError:
        return False
    return True


def _left(attempt: Attempt, error: BaseException | None) -> None:
    attempt.__exit__(type(error) if error is not None else None, error, None)
