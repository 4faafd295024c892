"""The clock of a trial, and the faults of one."""

from __future__ import annotations

import pickle

import pytest

from harness.inject.clocks import (
    NANOSECONDS,
    PATIENCE_S,
    STANDS_S,
    START_S,
    Clock,
    ClockFault,
    ClockMoment,
    ClockShape,
    Waited,
    clock_faults,
    contended_faults,
    spaced,
)


class Source:
    """The real monotonic clock, in the hands of a test."""

    def __init__(self, now_ns: int = 1000 * NANOSECONDS) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def passes(self, seconds: float) -> None:
        self.now_ns += int(seconds * NANOSECONDS)


def fault(shape: ClockShape, amount: float = 0.0) -> ClockFault:
    return ClockFault(shape, amount, ClockMoment.BETWEEN, 0)


def seconds(clock: Clock) -> float:
    return clock.wall_ns() / NANOSECONDS - START_S


def test_a_clock_goes_as_the_real_one_does() -> None:
    source = Source()
    clock = Clock(source)
    source.passes(3)
    assert seconds(clock) == 3
    assert clock.monotonic_ns(source()) == source()


def test_steps_add_up_and_can_be_put_right() -> None:
    source = Source()
    clock = Clock(source)
    clock.apply(fault(ClockShape.STEP, -3600))
    clock.apply(fault(ClockShape.STEP, 60))
    source.passes(1)
    assert seconds(clock) == 1 - 3540
    clock.put_right()
    source.passes(1)
    assert seconds(clock) == 2 and clock.true_ns() == clock.shown_ns()


def test_a_clock_that_stands_goes_on_after_a_while() -> None:
    """A call that waits for it to go on must not wait for ever."""
    source = Source()
    clock = Clock(source)
    clock.apply(fault(ClockShape.STANDS))
    source.passes(STANDS_S / 2)
    assert seconds(clock) == 0
    source.passes(STANDS_S)
    assert seconds(clock) == 0
    source.passes(1)
    assert seconds(clock) == 1


@pytest.mark.parametrize("rate", [0.5, 3.0])
def test_rates(rate: float) -> None:
    source = Source()
    clock = Clock(source)
    clock.apply(fault(ClockShape.RATE, rate))
    source.passes(10)
    assert seconds(clock) == 10 * rate


def test_a_restart_begins_the_monotonic_clock_anew() -> None:
    source = Source()
    clock = Clock(source)
    clock.apply(fault(ClockShape.RESTART, 86_400))
    assert clock.monotonic_ns(source()) == NANOSECONDS
    assert clock.monotonic_ns(0) == 0
    assert seconds(clock) == 86_400


def test_only_some_readers_see_the_fault() -> None:
    clock = Clock(Source(), sees=lambda reader: reader == "a")
    clock.apply(fault(ClockShape.STEP, 7))
    assert [(clock.wall_ns(who) // NANOSECONDS) - START_S for who in ("a", "b")] == [7, 0]
    assert clock.readers == ["a", "b"] and clock.last_reader == "b"


def test_waiting_passes_at_once_and_ends_when_it_takes_too_long() -> None:
    waited: list[int] = []
    clock = Clock(Source(), on_wait=lambda: waited.append(1))
    clock.wait(PATIENCE_S - 1, "who sleeps")
    assert seconds(clock) == PATIENCE_S - 1 and waited == [1]
    clock.begin_call()
    clock.wait(2)
    assert not clock.overdue
    with pytest.raises(Waited):
        clock.wait(PATIENCE_S)
    assert clock.overdue


def test_reading_a_clock_again_and_again_is_waiting() -> None:
    """A loop that spins until the clock says something else comes to an end, one way or the other."""
    clock = Clock(Source())
    with pytest.raises(Waited):
        while True:
            clock.wall_ns()
    assert seconds_of(clock) >= PATIENCE_S
    patient = Clock(Source())
    while patient.wall_ns() < (START_S + 3) * NANOSECONDS:
        pass
    assert not patient.overdue


def seconds_of(clock: Clock) -> float:
    return clock.waited_ns / NANOSECONDS


def test_faults_are_the_same_each_time_and_have_words() -> None:
    faults = clock_faults(4, 20)
    assert faults == clock_faults(4, 20) == pickle.loads(pickle.dumps(faults))
    assert len(set(faults)) == len(faults) < 100
    assert {item.shape for item in faults} == set(ClockShape)
    assert len({item.describe() for item in faults}) == len(faults)
    assert all(1 <= item.index < 4 for item in faults if item.moment is ClockMoment.REOPEN)
    assert [item.moment for item in contended_faults(3)].count(ClockMoment.HELD) == 2
    assert clock_faults(1, 0)


def test_words() -> None:
    assert fault(ClockShape.STEP, -3600).describe() == "the wall clock is set 1 hour back before step 1"
    assert fault(ClockShape.STEP, 2.0**31 - START_S + 60).action().endswith("forward, to 2038")
    assert fault(ClockShape.STEP, -0.25).action() == "the wall clock is set 0.25 seconds back"
    assert fault(ClockShape.RATE, 3.0).action() == "the wall clock runs 3 times as fast"
    assert fault(ClockShape.RESTART, -86_400.0).action().endswith("the wall clock is 1 day back then")
    assert fault(ClockShape.RESTART).action() == ClockShape.RESTART.value


def test_spaced_takes_from_all_parts() -> None:
    assert spaced(range(3), 5) == [0, 1, 2]
    assert spaced(range(100), 4) == [0, 25, 50, 75]
