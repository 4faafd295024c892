"""Calls, fallbacks, decorators, listeners, metrics, settings: what a caller sees, one example each."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import math
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from store_under_test.circuit_breaker import (
    CircuitBreaker,
    CircuitOpenError,
    Consecutive,
    LastCalls,
    LastSeconds,
    Latencies,
    SavedState,
    Settings,
    State,
    Transition,
)
from tests.unit.circuit_breaker.machine import VirtualTime, raised_by

ONE_FAILURE = Settings(trips=Consecutive(1), recovery_timeout_s=10)


def fail(*_: object) -> str:
    raise OSError("down")


def opened(time: VirtualTime | None = None, **options: Any) -> CircuitBreaker:
    """A breaker that one failure has just opened."""
    breaker = CircuitBreaker(ONE_FAILURE, clock=(time or VirtualTime()).monotonic, **options)
    raised_by(lambda: breaker.call(fail))
    return breaker


def test_arguments_and_the_result_pass_through() -> None:
    """By position and by name."""
    assert CircuitBreaker().call(dict, [("a", 1)], b=2) == {"a": 1, "b": 2}


def test_a_rejected_call_says_when_to_come_again() -> None:
    """With the name of the circuit; the exception can be copied and sent to another process."""
    time = VirtualTime()
    breaker = opened(time, name="prices")
    time.now += 4
    with pytest.raises(CircuitOpenError, match="circuit 'prices' is open; a trial is possible in 6 s") as caught:
        breaker.call(fail)
    again = pickle.loads(pickle.dumps(copy.copy(caught.value)))
    assert (again.name, again.state, again.retry_after_s) == ("prices", "open", 6)
    breaker.force_open()
    with pytest.raises(CircuitOpenError, match=r"^circuit 'prices' is forced open$"):
        breaker.call(fail)


def test_a_fallback_value_stands_in_for_rejected_calls_only() -> None:
    """`None` is a value too; a failing call raises what it raised."""
    breaker = opened(fallback=None)
    assert breaker.call(fail) is None
    breaker.reset()
    with pytest.raises(OSError, match="down"):
        breaker.call(fail)
    assert breaker.metrics().fallbacks == 1


def test_a_fallback_function_gets_the_exception() -> None:
    """Also that of a call that failed, where it is asked for."""
    breaker = CircuitBreaker(ONE_FAILURE, fallback=lambda error: type(error).__name__, fallback_for=(OSError,))
    assert [breaker.call(fail), breaker.call(fail)] == ["OSError", "CircuitOpenError"]
    assert breaker.metrics().fallbacks == 2


def test_a_fallback_never_hides_an_interrupt_or_a_rejection_further_inside() -> None:
    """An inner circuit that rejects is a failure of the outer call, not a rejection of it."""
    inner = opened()
    outer = CircuitBreaker(Settings(trips=Consecutive(2)), fallback="fallback")
    assert isinstance(raised_by(lambda: outer.call(inner.call, fail)), CircuitOpenError)
    assert outer.metrics().failures == 1

    def interrupted() -> None:
        raise KeyboardInterrupt

    assert isinstance(raised_by(lambda: outer.call(interrupted)), KeyboardInterrupt)
    assert outer.metrics().ignored == 1


def test_a_decorated_function_keeps_its_name() -> None:
    """And goes through the breaker."""
    breaker = CircuitBreaker(ONE_FAILURE)
    protected = breaker.protect(fail)
    assert [type(raised_by(protected)), type(raised_by(protected))] == [OSError, CircuitOpenError]
    assert protected.__name__ == "fail"


def test_a_generator_is_refused() -> None:
    """Its calls always succeed: errors come later."""

    def numbers() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="numbers is a generator: use attempt"):
        CircuitBreaker().protect(numbers)


def test_leaving_an_attempt_twice_counts_once() -> None:
    """A second exit has no ticket."""
    breaker = CircuitBreaker()
    with breaker.attempt() as attempt:
        pass
    attempt.__exit__(None, None, None)
    assert breaker.metrics().successes == 1


# --- listeners -----------------------------------------------------------------------------------


def test_a_listener_that_uses_the_breaker_hears_all_in_order() -> None:
    """What it causes is told after what it was told."""
    heard: list[str] = []
    breaker = CircuitBreaker(ONE_FAILURE)

    def resets(transition: Transition) -> None:
        if transition.after is State.OPEN:
            breaker.reset()

    breaker.add_listener(resets)
    breaker.add_listener(lambda transition: heard.append(transition.after.value))
    raised_by(lambda: breaker.call(fail))
    assert heard == ["open", "closed"]


def test_a_listener_holds_no_lock() -> None:
    """Another thread uses the breaker while a listener takes its time."""
    answers: list[int] = []

    def asks_in_a_thread(transition: Transition) -> None:
        thread = threading.Thread(target=lambda: answers.append(breaker.metrics().failures), daemon=True)
        thread.start()
        thread.join(60)

    breaker = CircuitBreaker(ONE_FAILURE, listeners=[asks_in_a_thread])
    raised_by(lambda: breaker.call(fail))
    assert answers == [1]


def test_an_interrupt_in_a_listener_wedges_nothing() -> None:
    """It passes through; the trial's slot is free, and the rest of the news comes with the next call."""
    heard: list[str] = []
    time = VirtualTime()

    def interrupted(transition: Transition) -> None:
        if transition.after is State.HALF_OPEN:
            raise KeyboardInterrupt

    listeners: list[Callable[[Transition], object]] = [interrupted, lambda it: heard.append(it.after.value)]
    breaker = CircuitBreaker(ONE_FAILURE, clock=time.monotonic, listeners=listeners)
    raised_by(lambda: breaker.call(fail))
    time.now += 10
    assert isinstance(raised_by(lambda: breaker.call(lambda: None)), KeyboardInterrupt)
    assert (breaker.metrics().trials_in_flight, breaker.metrics().ignored) == (0, 1)
    assert breaker.call(lambda: "well") == "well"
    assert heard == ["open", "half-open", "closed"]


def test_a_failing_listener_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """And counted."""

    def broken(transition: Transition) -> None:
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR):
        breaker = opened(listeners=[broken])
    assert "a listener failed at closed -> open" in caplog.text
    assert breaker.metrics().listener_errors == 1


# --- looking -------------------------------------------------------------------------------------


def test_the_success_rate_leaves_out_what_says_nothing() -> None:
    """And is unknown before anything is known."""
    breaker = CircuitBreaker(Settings(ignored=(KeyError,)))
    assert breaker.metrics().success_rate is None
    unknown: dict[str, str] = {}
    for function in (str, str, str, fail, lambda: unknown["a"]):
        raised_by(partial(breaker.call, function))
    assert breaker.metrics().success_rate == 0.75


def test_latencies_by_nearest_rank() -> None:
    """Of the recent ones; mean and longest of all."""
    latencies = Latencies(4, 10.0, 4.0, (4.0, 1.0, 3.0, 2.0))
    assert [latencies.percentile_s(percent) for percent in (1, 25, 50, 51, 99, 100)] == [1, 1, 2, 3, 4, 4]
    assert latencies.mean_s == 2.5
    assert (Latencies().percentile_s(50), Latencies().mean_s) == (None, None)
    for percent in (0, 101, math.nan):
        with pytest.raises(ValueError, match="is no percentile"):
            latencies.percentile_s(percent)


def test_a_clock_that_goes_back_makes_no_negative_time() -> None:
    """Neither a latency nor a time of a transition."""
    time = VirtualTime()
    breaker = CircuitBreaker(ONE_FAILURE, clock=time.monotonic)
    with breaker.attempt():
        time.now -= 100
    raised_by(lambda: breaker.call(fail))
    assert breaker.metrics().latencies.recent_s == (0, 0)
    assert breaker.metrics().transitions[0].at_s == 1000


def test_a_rejection_costs_the_same_however_many_there_were() -> None:
    """Counted in calls of functions, not in time; and nothing piles up."""
    breaker = opened()
    threads = set(threading.enumerate())

    def cost() -> int:
        calls: list[str] = []
        sys.setprofile(lambda frame, event, argument: calls.append(event))
        try:
            raised_by(lambda: breaker.call(fail))
        finally:
            sys.setprofile(None)
        return len(calls)

    first = cost()
    for _ in range(500):
        raised_by(lambda: breaker.call(fail))
    assert cost() == first < 100
    assert set(threading.enumerate()) <= threads
    assert breaker.metrics().latencies.count == 1


def test_only_the_last_transitions_are_kept() -> None:
    """Their count is of all of them."""
    breaker = CircuitBreaker()
    for _ in range(200):
        breaker.force_open()
        breaker.reset()
    metrics = breaker.metrics()
    assert metrics.transition_count == 400
    assert [it.number for it in metrics.transitions] == list(range(145, 401))


def test_a_saved_state_is_json_and_is_not_believed_blindly() -> None:
    """No wait is longer than the recovery timeout, and no word is taken that is no state."""
    saved = json.loads(json.dumps(dataclasses.asdict(opened().saved())))
    assert saved == {"state": "open", "remaining_s": 10}
    for remaining_s in (1e9, math.nan, math.inf):
        time = VirtualTime()
        again = CircuitBreaker(ONE_FAILURE, clock=time.monotonic, saved=SavedState("open", remaining_s))
        assert isinstance(raised_by(partial(again.call, str)), CircuitOpenError)
        time.now += 10
        assert again.call(str) == ""
    for word in ("half-open", "ajar"):
        with pytest.raises(ValueError, match=r"half-open circuit|is not a valid State"):
            CircuitBreaker(saved=SavedState(word))


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Consecutive(0), "failures is 0: it must be at least 1"),
        (lambda: LastCalls(3, 4), "a window of 3 calls never holds 4"),
        (lambda: LastCalls(3, 1, 4), "a window of 3 calls never holds 4"),
        (lambda: LastSeconds(0, 1), "seconds is 0: it must be more than 0 seconds"),
        (lambda: LastSeconds(1, 1, 0), "minimum_calls is 0"),
        (lambda: Settings(recovery_timeout_s=math.nan), "recovery_timeout_s is nan"),
        (lambda: Settings(recovery_timeout_s=math.inf), "recovery_timeout_s is inf"),
        (lambda: Settings(trial_calls=0), "trial_calls is 0"),
        (lambda: Settings(successes_to_close=2), "1 trial calls never make 2 successes"),
        (lambda: Settings(trial_limit_s=-1), "trial_limit_s is -1"),
        (lambda: Settings(slow_call_s=0), "slow_call_s is 0"),
        (lambda: Settings(ignored=(KeyboardInterrupt,)), "KeyboardInterrupt is no Exception"),  # type: ignore[arg-type]
    ],
)
def test_senseless_settings_are_refused(make: Callable[[], object], sentence: str) -> None:
    """In one sentence."""
    with pytest.raises(ValueError, match=sentence):
        make()
