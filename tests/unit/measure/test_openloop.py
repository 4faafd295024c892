"""The open loop charges a store for everybody who waited; the closed loop cannot. All on virtual time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from harness.measure.arrivals import Arrival, Schedule
from harness.measure.openloop import RunClock, Sample, run_closed_loop, run_open_loop, unfit
from harness.measure.windows import Window
from tests.unit.measure.virtual import MS, SECOND, FreezingStore, VirtualClock


def arrivals(*moments_ms: int) -> list[Arrival]:
    return [Arrival(moment * MS, 0) for moment in moments_ms]


def endless(schedule: Schedule) -> Iterator[Arrival]:
    return (arrival for number in itertools.count() for arrival in schedule.slice(number))


def open_samples(clock: VirtualClock, due: list[Arrival], service_ms: int, until_ms: int) -> list[Sample]:
    samples: list[Sample] = []
    run_open_loop(due, lambda arrival: clock.work(service_ms * MS), RunClock(clock), samples.append, until_ms * MS)
    return samples


@pytest.mark.parametrize("kind", ["uniform", "poisson"])
def test_a_freezing_store_is_seen_by_the_open_loop_and_hidden_by_the_closed_one(kind: str) -> None:
    """The canary: 300 ms in every 3 s. Its 99th percentile is at least 250 ms for who comes on a schedule."""
    window, clock = Window(0), VirtualClock()
    store = FreezingStore(clock)
    run_open_loop(
        endless(Schedule(100.0, kind)),
        lambda arrival: store.call(),
        RunClock(clock),
        lambda sample: window.note(sample, open_loop=True),
        30 * SECOND,
    )
    closed, clock = Window(0), VirtualClock()
    store = FreezingStore(clock)
    run_closed_loop(
        endless(Schedule(100.0, kind)),
        lambda arrival: store.call(),
        RunClock(clock),
        lambda sample: closed.note(sample, open_loop=False),
        12 * SECOND,
    )

    response, service = window.response.at_ms(99.0), closed.service.at_ms(99.0)
    assert response is not None and service is not None
    assert response >= 250
    assert service < 2
    assert closed.response.count == closed.wait.count == 0
    assert closed.service.max_ms > 290  # it was there, once in every 3 s


def test_a_store_that_never_freezes_is_not_charged() -> None:
    """Sound behaviour: with room between arrivals response is service."""
    clock = VirtualClock()
    samples = open_samples(clock, arrivals(*range(0, 1000, 10)), service_ms=1, until_ms=1000)

    assert len(samples) == 100
    assert {sample.response_ns for sample in samples} == {MS}
    assert {sample.wait_ns for sample in samples} == {0}


def test_wait_service_and_response_are_kept_apart() -> None:
    """The second is due while the first is served: it waits for it, and response is the sum of both."""
    first, second = open_samples(VirtualClock(), arrivals(10, 12), service_ms=5, until_ms=100)

    assert (first.wait_ns, first.service_ns, first.response_ns) == (0, 5 * MS, 5 * MS)
    assert (second.wait_ns, second.service_ns, second.response_ns) == (3 * MS, 5 * MS, 8 * MS)
    assert second.lateness_ns == 0  # the store was late, not the generator


def test_what_was_not_started_counts_with_the_time_it_has_waited() -> None:
    """Overload: the run ends, and what is left did not vanish."""
    samples = open_samples(VirtualClock(), arrivals(0, 10, 20, 30), service_ms=25, until_ms=40)

    assert [sample.started for sample in samples] == [True, True, False, False]
    assert [sample.response_ns // MS for sample in samples[2:]] == [20, 10]


def test_what_is_due_after_the_end_is_not_performed() -> None:
    """The schedule has no end, the run has."""
    assert len(open_samples(VirtualClock(), arrivals(0, 10, 50, 60), service_ms=1, until_ms=50)) == 2


def test_the_generator_measures_its_own_lateness() -> None:
    """A machine that wakes it 2 ms too late: that is its lateness, and the store's response has it too."""
    samples = open_samples(VirtualClock(late_ns=2 * MS), arrivals(10, 30), service_ms=1, until_ms=100)

    assert [sample.lateness_ns for sample in samples] == [2 * MS, 2 * MS]
    assert [sample.response_ns for sample in samples] == [3 * MS, 3 * MS]


def test_processor_time_in_the_store_is_told_from_that_of_the_generator() -> None:
    """Only what is used between the two moments is the store's."""
    clock, samples = VirtualClock(), list[Sample]()
    run_open_loop(
        arrivals(0, 10), lambda arrival: clock.work(MS, cpu_ns=700), RunClock(clock), samples.append, SECOND
    )

    assert [sample.store_cpu_ns for sample in samples] == [700, 700]


def test_a_closed_loop_goes_on_at_once() -> None:
    """Each begins when the one before has ended, whatever the schedule says, until the end."""
    clock, samples = VirtualClock(), list[Sample]()
    arriving = endless(Schedule(1.0, "uniform"))
    run_closed_loop(arriving, lambda arrival: clock.work(10 * MS), RunClock(clock), samples.append, 100 * MS)

    assert [sample.started_ns // MS for sample in samples] == list(range(0, 100, 10))
    assert {sample.wait_ns for sample in samples} == {0}


def test_a_run_goes_on_where_it_ended() -> None:
    """The time of a run is its own: it begins at what had passed before."""
    clock = VirtualClock()
    run = RunClock(clock, elapsed_ns=7 * SECOND)
    run.sleep_until_ns(8 * SECOND)

    assert run.now_ns() == 8 * SECOND
    assert clock.now_ns() == 6 * SECOND


def test_in_a_pause_the_time_of_the_run_stands_still() -> None:
    """What the harness does for itself is in no latency, and no processor time of the run."""
    clock = VirtualClock()
    run = RunClock(clock)
    with run.paused():
        clock.work(3 * SECOND, cpu_ns=99)
    clock.work(MS, cpu_ns=1)

    assert (run.now_ns(), run.cpu_ns(), run.paused_ns) == (MS, 1, 3 * SECOND)


@pytest.mark.parametrize(
    ("lateness_ms", "cpu", "bound_ms", "told"),
    [
        (0.9, 0.2, 10.0, ""),
        (1.1, 0.2, 10.0, "late by 1.1 ms"),
        (1.1, 0.2, None, ""),
        (None, 0.2, 10.0, ""),
        (0.0, 0.71, 10.0, "71% of a core"),
        (0.0, 0.71, None, "71% of a core"),
        (0.0, 0.70, 10.0, ""),
    ],
)
def test_a_generator_that_could_not_give_the_load_is_unfit(
    lateness_ms: float | None, cpu: float, bound_ms: float | None, told: str
) -> None:
    """Late by more than a tenth of the smallest limit, or busy with itself for more than 70 % of a core."""
    reason = unfit(lateness_p99_ms=lateness_ms, cpu_share=cpu, smallest_bound_ms=bound_ms)

    assert told in reason if told else reason == ""
