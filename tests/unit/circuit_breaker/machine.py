"""`check`: Hypothesis drives a breaker on virtual time, call by call, against a prediction. A tick is a second."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from store_under_test.circuit_breaker import (
    Attempt,
    CircuitBreaker,
    CircuitOpenError,
    Consecutive,
    LastCalls,
    LastSeconds,
    Metrics,
    SavedState,
    Settings,
    Transition,
)
from store_under_test.circuit_breaker.listeners import logger
from tests.unit.circuit_breaker.prediction import AUTOMATIC, OPERATED, Call, Prediction

#: What must have happened at least once, or the run says nothing about it.
SOMETIMES = (
    *("boundary", "reopened", "recoveries", "late"),
    *("forced during a trial", "overdue", "raced trials", "restarted"),
)


class BusinessError(Exception):
    """An error that says nothing about the dependency."""


#: How a call may end, and what that says.
ENDINGS: dict[str, tuple[str, BaseException | None]] = {
    "success": ("success", None),
    "failure": ("failure", OSError("down")),
    "timeout": ("failure", TimeoutError()),
    "business error": ("ignored", BusinessError()),
    "cancellation": ("ignored", asyncio.CancelledError()),
    "Ctrl-C": ("ignored", KeyboardInterrupt()),
    "generator closed": ("ignored", GeneratorExit()),
}
SELDOM = ("force_open", "force_closed", "reset", "restart", "restart", "wall")
ENDING = st.sampled_from(["success", "success", "failure", "failure", *ENDINGS])


@dataclass
class VirtualTime:
    """A monotonic clock and a wall clock. `interrupt` runs inside the `reads_left`-th look at the monotonic one."""

    now: int = 1000
    offset: int = 1_700_000_000
    interrupt: Callable[[], None] | None = None
    reads_left: int = 0

    def monotonic(self) -> float:
        self.reads_left -= 1
        if self.interrupt is not None and self.reads_left == 0:
            interrupt, self.interrupt = self.interrupt, None
            interrupt()
        return self.now

    def wall(self) -> float:
        return self.now + self.offset


class Factory(Protocol):
    """Makes the breaker that is judged."""

    def __call__(
        self, rules: Settings, time: VirtualTime, listeners: Iterable[Callable[[Transition], object]], saved: Any
    ) -> CircuitBreaker: ...


def sound(
    rules: Settings, time: VirtualTime, listeners: Iterable[Callable[[Transition], object]], saved: SavedState | None
) -> CircuitBreaker:
    """The breaker as it is."""
    return CircuitBreaker(rules, clock=time.monotonic, listeners=listeners, saved=saved)


@st.composite
def trips(draw: st.DrawFn) -> Consecutive | LastCalls | LastSeconds:
    kind, failures = draw(st.sampled_from((Consecutive, LastCalls, LastSeconds))), draw(st.integers(1, 3))
    if kind is Consecutive:
        return Consecutive(failures)
    minimum = draw(st.integers(1, 4))
    if kind is LastSeconds:
        return LastSeconds(draw(st.integers(1, 5)), failures, minimum)
    return LastCalls(max(failures, minimum) + draw(st.integers(0, 2)), failures, minimum)


@st.composite
def rules_of_a_breaker(draw: st.DrawFn) -> Settings:
    trial_calls = draw(st.sampled_from((1, 2, 2, 3)))
    return Settings(
        trips=draw(trips()),
        recovery_timeout_s=draw(st.integers(1, 5)),
        trial_calls=trial_calls,
        successes_to_close=draw(st.just(trial_calls) | st.integers(1, trial_calls)),
        trial_limit_s=draw(st.none() | st.integers(3, 8)),
        slow_call_s=draw(st.none() | st.integers(1, 3)),
        ignored=(BusinessError,),
    )


class BreakerMachine(RuleBasedStateMachine):
    """Calls that overlap, time, operators, restarts; after each step everything that shows is compared."""

    def __init__(self, factory: Factory, reached: Counter[str]) -> None:
        super().__init__()
        self.factory, self.reached = factory, reached
        self.time = VirtualTime()

    @initialize(rules=rules_of_a_breaker())
    def start(self, rules: Settings) -> None:
        self._begin(Prediction(rules), None)

    def _begin(self, prediction: Prediction, saved: SavedState | None) -> None:
        self.expected = prediction
        self.locked = 0  # how often a listener was called with the lock held
        self.heard: list[tuple[str, str, float]] = []
        self.open_calls: list[tuple[Attempt, Call]] = []
        self.last_generation, self.last_failures = -1, 0
        self.breaker = self.factory(prediction.rules, self.time, (self._fail_listening, self._listen), saved)

    def _fail_listening(self, transition: Transition) -> None:
        raise ZeroDivisionError("a listener fails")

    def _listen(self, transition: Transition) -> None:
        self.locked += self.breaker._lock.locked()
        self.heard.append((transition.before.value, transition.after.value, transition.at_s))

    # --- what may happen ---------------------------------------------------------------------

    @rule()
    def begin(self) -> None:
        """A call is asked for; what it gives is left open."""
        attempt = self.breaker.attempt()
        error = raised_by(attempt.__enter__)
        call = self.expected.admits(self.time.now)
        if call is None:
            assert isinstance(error, CircuitOpenError), "a call was let in that had to be rejected"
            assert error.state == self.expected.state
            waits = self.expected.reopens_at - self.time.now if self.expected.state == "open" else None
            assert error.retry_after_s == waits
        else:
            assert error is None, f"a call was not let in: {error!r}"
            self.open_calls.append((attempt, call))

    @precondition(lambda self: self.expected.state in ("open", "half-open"))
    @rule(reads=st.integers(1, 2), first=st.booleans())
    def begin_while_another_begins(self, reads: int, first: bool) -> None:
        """A second thread comes just while the first one looks at the clock; there may be a trial before."""
        if first:
            self.time.now = max(self.time.now, self.expected.reopens_at)
            self.begin()
        trials_before = len(self.expected.trials)
        self.time.interrupt, self.time.reads_left = self.begin, reads
        self.begin()
        raced = self.time.interrupt is None and len(self.expected.trials) > trials_before
        self.reached["raced trials"] += raced
        self.time.interrupt = None

    @precondition(lambda self: self.open_calls)
    @rule(data=st.data(), how=ENDING)
    def end(self, data: st.DataObject, how: str) -> None:
        """One of the open calls ends."""
        self._end(data.draw(st.integers(0, len(self.open_calls) - 1)), how)

    def _end(self, which: int, how: str) -> None:
        attempt, call = self.open_calls.pop(which)
        outcome, error = ENDINGS[how]
        self.expected.ends(call, outcome, self.time.now)
        raised = raised_by(lambda: attempt.__exit__(type(error) if error else None, error, None))
        assert raised is None, f"ending a call raised {raised!r}"
        self._grows_by_one()

    @rule(calls=st.lists(st.tuples(ENDING, st.sampled_from((0, 0, 1, 2, 3))), min_size=1, max_size=5))
    def call(self, calls: list[tuple[str, int]]) -> None:
        """Whole calls with pauses: the dependency is touched only if let in, its error passes through."""
        for how, pause in calls:
            self._call(how)
            self.time.now += pause

    def _call(self, how: str) -> None:
        outcome, error = ENDINGS[how]
        call = self.expected.admits(self.time.now)
        touched: list[None] = []

        def dependency() -> None:
            touched.append(None)
            if error is not None:
                raise error

        raised = raised_by(lambda: self.breaker.call(dependency))
        assert len(touched) == (call is not None), "the dependency was touched although the call was to be rejected"
        if call is None:
            assert isinstance(raised, CircuitOpenError)
            return
        assert raised is error
        self.expected.ends(call, outcome, self.time.now)
        self._grows_by_one()

    @rule(ticks=st.integers(1, 3))
    def wait(self, ticks: int) -> None:
        self.time.now += ticks

    @precondition(lambda self: self.expected.state == "open" and self.expected.reopens_at > self.time.now)
    @rule(early=st.booleans())
    def wait_to_the_boundary(self, early: bool) -> None:
        """To the tick at which a trial is possible, or the one before; and a call comes then."""
        self.time.now = max(self.time.now, self.expected.reopens_at - early)
        self.begin()

    @precondition(lambda self: self.expected.state == "closed")
    @rule(first=st.integers(0, 2), between=st.sampled_from(("", "reset", "success", "wait")))
    def fail_until_it_opens(self, first: int, between: str) -> None:
        """Some failures, what may make them count no more, and then more failures than any threshold asks for."""
        for _ in range(first):
            self._call("failure")
        if between == "reset":
            self._operate("reset")
        elif between == "wait":
            self.time.now += 5
        elif between:
            self._call(between)
        for _ in range(5):
            self._call("failure")

    @precondition(lambda self: self.expected.state in ("open", "half-open"))
    @rule(
        how=st.lists(ENDING, min_size=1, max_size=3),
        late=st.integers(0, 4),
        last=st.booleans(),
        operator=st.sampled_from((*[""] * 5, "force_open", "force_closed", "reset")),
    )
    def try_it(self, how: list[str], late: int, last: bool, operator: str) -> None:
        """Trials that end some time later, the last or the first of them first; an operator may come before that."""
        self.time.now = max(self.time.now, self.expected.reopens_at)
        for _ in how:
            self.begin()
        self.time.now += late
        if operator:
            self._operate(operator)
        for ending in how:
            if self.open_calls:
                self._end(-1 if last else 0, ending)

    @precondition(lambda self: self.open_calls and self.expected.rules.trial_limit_s is not None)
    @rule()
    def hang(self) -> None:
        """The calls in flight take longer than a trial may; then another one comes."""
        self.time.now += int(self.expected.rules.trial_limit_s or 0)
        self.begin()

    @rule(what=st.sampled_from(SELDOM), number=st.integers(0, 9))
    def seldom(self, what: str, number: int) -> None:
        """What would keep everything else from happening if it came more often."""
        if what == "restart":
            self._restart(700 * number)
            if self.expected.state == "open":
                self.time.now = self.expected.reopens_at
                self.begin()
        elif what == "wall":
            self.time.offset += 3 * (number - 5)
        else:
            self._operate(what)
            if number > 1 and what != "reset":
                self.begin()
                self._operate("reset")

    def _operate(self, what: str) -> None:
        raised = raised_by(getattr(self.breaker, what))
        assert raised is None, f"{what} raised {raised!r}"
        state = {"force_open": "forced open", "force_closed": "forced closed", "reset": "closed"}[what]
        self.expected.operated(state, self.time.now)

    def _restart(self, boot: int) -> None:
        """Another process goes on with what was saved; its monotonic clock begins anywhere."""
        saved, before = self.breaker.saved(), self.expected
        then, self.time.now = self.time.now, boot
        self.note_reached()
        self.reached["restarted"] += before.state != "closed"
        self._begin(before.restarted(then, boot), saved)

    # --- what must hold ------------------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "breaker"):
            metrics = self.shows_what_was_predicted()
            self.keeps_its_own_rules(metrics)
            self.tells_of_each_transition_once_and_in_order(metrics)

    def shows_what_was_predicted(self) -> Metrics:
        expected, metrics = self.expected, self.breaker.metrics()
        assert metrics.state.value == self.breaker.state.value == expected.state
        for name, count in {
            "calls": expected.counts["calls"],
            "successes": expected.counts["success"],
            "failures": expected.counts["failure"],
            "ignored": expected.counts["ignored"],
            "rejected": expected.counts["rejected"],
            "late": expected.counts["late"],
            "recoveries": expected.counts["recoveries"],
            "in_flight": len(self.open_calls),
            "trials_in_flight": len(expected.trials),
            "transition_count": len(expected.moves),
            "listener_errors": len(expected.moves),
            "window_failures": sum(expected.counted_results(self.time.now)),
        }.items():
            assert getattr(metrics, name) == count, f"{name} is {getattr(metrics, name)}, not {count}"
        assert list(metrics.latencies.recent_s) == expected.latencies[-256:]
        assert metrics.latencies.count == len(expected.latencies)
        assert metrics.latencies.total_s == sum(expected.latencies)
        return metrics

    def keeps_its_own_rules(self, metrics: Metrics) -> None:
        """What holds for every breaker, whatever was predicted."""
        rules = self.expected.rules
        told = metrics.successes + metrics.failures + metrics.ignored + metrics.rejected
        assert told + metrics.in_flight == metrics.calls
        assert metrics.trials_in_flight <= rules.trial_calls
        assert all(latency >= 0 for latency in metrics.latencies.recent_s)
        assert metrics.generation >= self.last_generation
        self.last_generation = metrics.generation

    def _grows_by_one(self) -> None:
        """After a result failures in a row are one more, as many as before, or none; in a window some may fall out."""
        count = self.breaker.metrics().window_failures
        assert count <= self.last_failures + 1
        if isinstance(self.expected.rules.trips, Consecutive):
            assert count in (0, self.last_failures, self.last_failures + 1)
        self.last_failures = count

    def tells_of_each_transition_once_and_in_order(self, metrics: Metrics) -> None:
        moves = [(it.before.value, it.after.value, it.at_s) for it in metrics.transitions]
        assert moves == self.expected.moves[-256:], f"transitions {moves}, not {self.expected.moves}"
        assert not self.locked, "a listener was called while the breaker was locked"
        assert self.heard == self.expected.moves, f"told of {self.heard}, not of {self.expected.moves}"
        assert all((before, after) in AUTOMATIC or after in OPERATED for before, after, _ in moves)

    def note_reached(self) -> None:
        for name in SOMETIMES:
            self.reached[name] += self.expected.counts[name]

    def teardown(self) -> None:
        """The dependency is well again and one call comes each second: the circuit closes, whatever hangs still."""
        if not hasattr(self, "breaker"):
            return
        self.note_reached()
        rules = self.expected.rules
        if self.expected.state.startswith("forced"):
            self.breaker.reset()
        if rules.trial_limit_s is None:
            for attempt, _ in self.open_calls:
                attempt.__exit__(asyncio.CancelledError, asyncio.CancelledError(), None)
        longest_s = 2 * (rules.recovery_timeout_s + (rules.trial_limit_s or 0) + rules.trial_calls + 8)
        for _ in range(int(longest_s)):
            self.time.now += 1
            raised_by(lambda: self.breaker.call(lambda: None))
        assert self.breaker.state.value == "closed", f"still {self.breaker.state.value} after {longest_s} s of health"


def raised_by(function: Callable[[], object]) -> BaseException | None:
    """What it raised, also if that is no `Exception`."""
    try:
        function()
    except BaseException as error:
        return error
    return None


def check(factory: Factory, *, examples: int = 70, steps: int = 20, seed: int | None = None) -> Counter[str]:
    """`AssertionError` with the steps that show it, if the breaker breaks a rule; else how often things happened.

    The same programs each time, others for each `seed`.
    """
    reached: Counter[str] = Counter()
    logger.disabled = True  # a listener fails at each transition
    try:
        _run(factory, reached, examples, steps, seed)
    finally:
        logger.disabled = False
    return reached


def _run(factory: Factory, reached: Counter[str], examples: int, steps: int, seed: int | None) -> None:
    def machine() -> BreakerMachine:
        return BreakerMachine(factory, reached)

    run_state_machine_as_test(
        machine if seed is None else seeded(seed)(machine),  # type: ignore[arg-type]
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
