"""Arrivals: seeded, in order, at the rate that was asked for, made slice by slice."""

from __future__ import annotations

import itertools
import statistics

import pytest

from harness import UsageError
from harness.measure.arrivals import (
    BURST_EVERY_S,
    BURST_S,
    DAY_S,
    KINDS,
    SECOND_NS,
    SLICE_ARRIVALS,
    Schedule,
    in_bursts,
    over_the_day,
)


def times_s(schedule: Schedule, slices: int) -> list[float]:
    return [arrival.at_ns / SECOND_NS for number in range(slices) for arrival in schedule.slice(number)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_schedule(kind: str) -> None:
    """A slice depends on nothing but the seed and its number, so a killed run can go on at any."""
    one, same, other = (Schedule(50.0, kind, clients=3, seed=seed) for seed in (7, 7, 8))

    assert one.slice(5) == same.slice(5)
    assert kind == "uniform" or one.slice(5) != other.slice(5)
    assert one.slice(5) != one.slice(6)


@pytest.mark.parametrize("kind", KINDS)
def test_arrivals_are_in_order_and_inside_their_slice(kind: str) -> None:
    """Nothing overlaps where one slice ends and the next begins."""
    schedule = Schedule(50.0, kind)
    moments = times_s(schedule, 6)

    assert moments == sorted(moments)
    for number in range(6):
        inside = [arrival.at_ns / SECOND_NS for arrival in schedule.slice(number)]
        assert number * schedule.slice_s <= min(inside) <= max(inside) < (number + 1) * schedule.slice_s


def test_uniform_arrivals_are_equally_far_apart_and_take_clients_in_turn() -> None:
    """Every 1/rate seconds, across slices too."""
    schedule = Schedule(4.0, "uniform", clients=3)
    arrivals = [arrival for number in range(2) for arrival in schedule.slice(number)]

    gaps = {later.at_ns - earlier.at_ns for earlier, later in itertools.pairwise(arrivals)}
    assert gaps == {SECOND_NS // 4}
    assert [arrival.client for arrival in arrivals[:6]] == [0, 1, 2, 0, 1, 2]


def test_poisson_gaps_are_exponential() -> None:
    """The mean gap is 1/rate, and gaps vary as much as they are long."""
    moments = times_s(Schedule(20.0), 40)
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]

    assert statistics.fmean(gaps) == pytest.approx(1 / 20, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(1 / 20, rel=0.05)


def test_clients_share_the_load_equally() -> None:
    """Each client has its part of a random schedule."""
    schedule = Schedule(100.0, clients=4)
    clients = [arrival.client for number in range(40) for arrival in schedule.slice(number)]

    for client in range(4):
        assert clients.count(client) / len(clients) == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(("relative", "period_s"), [(in_bursts, BURST_EVERY_S), (over_the_day, DAY_S)])
def test_rates_over_time_have_the_mean_that_was_asked_for(relative: object, period_s: float) -> None:
    """Over a whole period the relative rate is 1 on average."""
    assert callable(relative)
    moments = [period_s * (index + 0.5) / 960 for index in range(960)]

    assert statistics.fmean(map(relative, moments)) == pytest.approx(1.0)


def test_bursts_are_dense_and_the_rest_is_not() -> None:
    """Within a burst ten times as many arrivals in the same time, and the mean rate as asked."""
    schedule = Schedule(50.0, "bursts")
    slices = round(10 * BURST_EVERY_S / schedule.slice_s)
    moments = times_s(schedule, slices)
    inside = sum(moment % BURST_EVERY_S < BURST_S for moment in moments)
    outside = len(moments) - inside

    assert inside / BURST_S / (outside / (BURST_EVERY_S - BURST_S)) == pytest.approx(10, rel=0.1)
    assert len(moments) / (slices * schedule.slice_s) == pytest.approx(50, rel=0.05)


def test_a_day_has_busy_hours_and_quiet_ones() -> None:
    """A run begins at 08:00, ten o'clock is the peak, and night comes after sixteen hours."""
    schedule = Schedule(0.1, "business-hours")
    moments = times_s(schedule, round(DAY_S / schedule.slice_s))
    peak, night = (sum(hour <= moment / 3600 < hour + 1 for moment in moments) for hour in (2, 17))

    assert peak > 8 * night
    assert len(moments) == pytest.approx(DAY_S * 0.1, rel=0.05)


def test_slices_hold_as_many_as_they_should() -> None:
    """So that memory does not depend on the rate."""
    for rate in (0.01, 10_000.0):
        sizes = [len(Schedule(rate).slice(number)) for number in range(20)]
        assert statistics.fmean(sizes) == pytest.approx(SLICE_ARRIVALS, rel=0.1)


@pytest.mark.parametrize(
    ("rate", "kind", "clients", "told"),
    [
        (0.0, "poisson", 1, "a rate of 0 "),
        (-1.0, "poisson", 1, "a rate of -1 "),
        (float("nan"), "poisson", 1, "a rate of nan "),
        (float("inf"), "poisson", 1, "a rate of inf "),
        (1.0, "sometimes", 1, "'sometimes'"),
        (1.0, "poisson", 0, "0 clients"),
    ],
)
def test_what_makes_no_load_is_refused(rate: float, kind: str, clients: int, told: str) -> None:
    """One sentence that names what is wrong."""
    with pytest.raises(UsageError, match=told):
        Schedule(rate, kind, clients)
