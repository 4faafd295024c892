"""What is decided about a limit: misses that are the store's, and misses that are the machine's. No time is real."""

from __future__ import annotations

import random

import pytest

from harness import Limit, Verdict
from harness.measure.closed_loop import Measured, Sampled, Times
from harness.measure.deciding import (
    Floor,
    Ruling,
    not_measured,
    rule,
    rule_amount,
    rule_growth,
    rule_median,
    rule_quantile,
    rule_throughput,
    settle,
    wants_more,
)
from harness.measure.growth import Slope
from tests.unit.measure.samples import MS, times

P50, P99 = Limit("apply_p50_ms", at_most=0.5), Limit("apply_p99_ms", at_most=10)
P999 = Limit("apply_p999_ms", at_most=10)
NO_DISK = Floor()


def floor_of(*milliseconds: float, syncs: float = 1.0) -> Floor:
    return Floor(tuple(round(value * MS) for value in milliseconds), syncs)


def slow_disk(seed: int = 0, count: int = 200) -> Floor:
    """1 to 4 ms for the sync of an operation, as on a disk of a small virtual machine."""
    source = random.Random(seed)
    return floor_of(*(source.uniform(1, 4) for _ in range(count)))


def syncing_store(own_ms: float, count: int = 2_000, every: int = 0, more_ms: float = 0.0) -> list[float]:
    """A store that syncs once in each operation on that disk; in one of `every` it takes `more_ms` besides."""
    disk = random.Random(1)
    extra = [more_ms if every and number % every == every - 1 else 0.0 for number in range(count)]
    return [disk.uniform(1, 4) + own_ms + more for more in extra]


def ruled(limit: Limit, service: list[float], floor: Floor = NO_DISK) -> Ruling:
    return rule_quantile(limit, times(service), floor)


# --- the store is to blame ------------------------------------------------------------------


def test_a_store_that_is_slow_now_and_then_misses_its_p99_on_a_slow_disk() -> None:
    """20 ms in 2 % of its operations: no sync of this disk explains them."""
    ruling = ruled(P99, syncing_store(0.1, every=50, more_ms=20), slow_disk())

    assert ruling.verdict is Verdict.FAIL and ruling.samples == 2_000
    assert ruling.measured and ruling.own and ruling.floor
    assert ruling.measured > 20 and ruling.own > 16 and 3 < ruling.floor < 4
    assert "measured 2" in ruling.reason and "the limit is at most 10 ms" in ruling.reason


def test_processor_time_is_the_stores_whatever_the_disk_does() -> None:
    """Burnt, not waited: a disk with a tail as long as that does not hide it."""
    service = syncing_store(0.1, every=50, more_ms=20)
    burnt = [20.0 if took > 20 else 0.1 for took in service]
    terrible = floor_of(*(30.0 if number % 20 == 0 else 2.0 for number in range(200)))

    assert rule_quantile(P99, times(service, None, burnt), terrible).verdict is Verdict.FAIL
    assert rule_quantile(P99, times(service), terrible).verdict is Verdict.UNKNOWN


def test_more_slow_operations_than_store_and_disk_can_give_together() -> None:
    """The floor at the same percentile would hide it; but half of all operations are slow, and few syncs."""
    service = [30.0] * 1_000 + [2.0] * 1_000
    disk = floor_of(*([2.0] * 196 + [25.0] * 4))

    assert nearly(disk.at(0.99) / MS, 25.0)
    assert ruled(P99, service, disk).verdict is Verdict.FAIL


def nearly(one: float, other: float) -> bool:
    return abs(one - other) < 1e-9


def test_a_slow_median_on_a_slow_disk_is_the_stores() -> None:
    """What is left without the disk is twice the limit."""
    assert ruled(P50, syncing_store(1.0), slow_disk()).verdict is Verdict.FAIL


def test_a_percentile_of_few_samples_is_missed_where_too_many_are_slow() -> None:
    """p99.9 of 2,000 samples, with 2 % beyond."""
    assert ruled(P999, [20.0 if number % 50 == 0 else 1.0 for number in range(2_000)]).verdict is Verdict.FAIL


# --- the machine is to blame ----------------------------------------------------------------


def test_one_sync_on_a_slow_disk_is_not_the_stores() -> None:
    """A median of 0.5 ms cannot be had with a sync of 1 to 4 ms: the reason says so."""
    ruling = ruled(P50, syncing_store(0.1), slow_disk())

    assert ruling.verdict is Verdict.UNKNOWN and not ruling.longer
    assert ruling.gist == "apply_p50_ms: the disk is too slow to tell"
    assert "the disk alone takes 2." in ruling.reason and "for the one sync of an operation" in ruling.reason


def test_a_busy_machine_is_not_the_stores() -> None:
    """Threads that could run and were not let."""
    ruling = rule_quantile(P50, times([5.0] * 2_000, [4.8] * 2_000), NO_DISK)

    assert ruling.verdict is Verdict.UNKNOWN
    assert "the machine was busy, and without waiting for a processor it is 0.2 ms" in ruling.reason


def test_a_stall_of_the_machine_is_chance() -> None:
    """One slow operation too many proves nothing, and more samples may."""
    service = [20.0] * 25 + [1.0] * 1_975
    ruling = ruled(P99, service)

    assert ruling.verdict is Verdict.UNKNOWN and ruling.longer
    assert "25 of 2,000 operations that are too slow may be chance" in ruling.reason


def test_what_only_looks_like_the_stores_is_asked_for_again() -> None:
    """Without the disk it is beyond the limit, but in so few operations that it may be chance."""
    service = [10.5] * 200 + [30.0] * 23 + [1.0] * 1_777
    ruling = ruled(P99, service, floor_of(*([1.0] * 200)))

    assert ruling.verdict is Verdict.UNKNOWN and ruling.longer and "23 of 2,000" in ruling.reason


def test_missed_io_makes_no_floor() -> None:
    """A store in C may sync without being seen: only its processor time counts."""
    blind = Floor(blind="a C extension wrote; use strace")
    ruling = ruled(P50, [5.0] * 2_000, blind)

    assert ruling.verdict is Verdict.UNKNOWN and "a C extension wrote" in ruling.reason and ruling.floor is None
    assert rule_quantile(P50, times([5.0] * 2_000, None, [4.0] * 2_000), blind).verdict is Verdict.FAIL
    assert ruled(P50, [0.1] * 2_000, blind).verdict is Verdict.PASS


# --- within the limit, and too little -------------------------------------------------------


def test_what_is_within_is_within() -> None:
    """However slow the disk is."""
    ruling = ruled(P99, [9.0] * 2_000, floor_of(100.0))

    assert ruling.verdict is Verdict.PASS and ruling.measured == 9.0 and not ruling.reason


def test_p999_takes_ten_thousand_samples() -> None:
    """Unless so many without one beyond the limit leave no doubt."""
    within = [1.0] * 2_000
    ruling = ruled(P999, within)

    assert ruling.verdict is Verdict.UNKNOWN and not ruling.longer
    assert "2,000 samples are too few (0 beyond 10 ms); 99.9 % takes 10,000" in ruling.reason
    assert ruled(P999, [1.0] * 2_995).verdict is Verdict.PASS
    assert ruled(P999, [1.0] * 9_991 + [20.0] * 9).verdict is Verdict.PASS
    assert ruled(P999, [1.0] * 2_999 + [20.0]).longer


def test_p99_of_three_hundred_samples() -> None:
    """None beyond the limit passes; one makes it a case for more."""
    assert ruled(P99, [1.0] * 300).verdict is Verdict.PASS
    few = ruled(P99, [1.0] * 299 + [20.0])
    assert few.verdict is Verdict.UNKNOWN and few.longer


def test_nothing_measured_is_unknown() -> None:
    """With the reason, and no number."""
    ruling = ruled(P99, [])

    assert ruling.verdict is Verdict.UNKNOWN and ruling.measured is None
    assert ruling.reason == ruling.gist == "apply_p99_ms: the load has no such operation, or none that returned"


def test_reasons_for_a_claim_have_no_numbers() -> None:
    """They go into the digest, and must be the same twice."""
    rulings = [
        ruled(P99, syncing_store(0.1, every=50, more_ms=20), slow_disk()),
        ruled(P50, syncing_store(0.1), slow_disk()),
        ruled(P999, [1.0] * 10),
        not_measured(P50, "no return within 10.0 s"),
    ]
    assert [any(char.isdigit() for char in ruling.gist.partition(": ")[2]) for ruling in rulings] == [False] * 4
    assert all(any(char.isdigit() for char in ruling.reason.partition(": ")[2]) for ruling in rulings)


# --- throughput, openings -------------------------------------------------------------------


def test_throughput() -> None:
    """Within, the store's, the disk's, and the machine's."""
    limit = Limit("throughput_per_s", at_least=500)

    assert rule_throughput(limit, times([1.0] * 100), NO_DISK).verdict is Verdict.PASS
    slow = rule_throughput(limit, times([5.0] * 100), floor_of(1.0))
    assert slow.verdict is Verdict.FAIL and (slow.measured, slow.floor, slow.own) == (200.0, 1000.0, 250.0)
    disk = rule_throughput(limit, times([4.0] * 100), floor_of(3.0, syncs=2))
    assert disk.verdict is Verdict.UNKNOWN
    assert "the bare disk gives 333 operations/s with the 2 syncs of each" in disk.reason
    busy = rule_throughput(limit, times([4.0] * 100, [3.5] * 100), NO_DISK)
    assert busy.verdict is Verdict.UNKNOWN and "machine was busy" in busy.reason
    blind = rule_throughput(limit, times([4.0] * 100), Floor(blind="native"))
    assert blind.verdict is Verdict.UNKNOWN and "native" in blind.reason
    burnt = rule_throughput(limit, times([4.0] * 100, None, [3.0] * 100), Floor(blind="native"))
    assert burnt.verdict is Verdict.FAIL
    assert rule_throughput(limit, Times(), NO_DISK).verdict is Verdict.UNKNOWN


def test_a_disk_that_takes_all_the_time_leaves_no_rate_of_the_stores_own() -> None:
    """More than all, by what was measured beside it."""
    ruling = rule_throughput(Limit("throughput_per_s", at_least=500), times([4.0] * 10), floor_of(5.0))

    assert ruling.verdict is Verdict.UNKNOWN and ruling.own is None


def test_openings() -> None:
    """The median of a few: within, the store's, the disk's."""
    limit = Limit("open_ms", at_most=10)

    assert rule_median(limit, times([9.0, 9.0, 90.0]), NO_DISK).verdict is Verdict.PASS
    assert rule_median(limit, times([20.0] * 5), floor_of(2.0)).verdict is Verdict.FAIL
    assert rule_median(limit, times([20.0] * 5), floor_of(15.0)).verdict is Verdict.UNKNOWN
    assert rule_median(limit, times([20.0] * 5, [15.0] * 5), NO_DISK).gist == "open_ms: the machine was busy"
    assert rule_median(limit, Times(), NO_DISK).verdict is Verdict.UNKNOWN


def test_a_replay_of_fewer_operations_proves_nothing() -> None:
    """Within the limit, that is. A miss is one with fewer operations too."""
    limit = Limit("replay_s", at_most=1, operations=1_000)

    assert rule_median(limit, times([500.0] * 5), NO_DISK, held=1_000).verdict is Verdict.PASS
    short = rule_median(limit, times([500.0] * 5), NO_DISK, held=400)
    assert short.verdict is Verdict.UNKNOWN and "held 400 operations, and the limit is for 1,000" in short.reason
    assert rule_median(limit, times([1_500.0] * 5), NO_DISK, held=400).verdict is Verdict.FAIL


# --- memory ---------------------------------------------------------------------------------


def test_amounts() -> None:
    """What no machine is to blame for; but caches that are filled once are no growth."""
    limit = Limit("resident_bytes_per_operation", at_most=100)

    assert rule_amount(limit, 90.0, 10).verdict is Verdict.PASS
    assert rule_amount(limit, 150.0, 10).verdict is Verdict.FAIL
    off = rule_amount(limit, 150.0, 10, slack=60.0)
    assert off.verdict is Verdict.UNKNOWN and off.longer and "may be off by 60 bytes" in off.reason
    assert rule_amount(limit, None, 0).verdict is Verdict.UNKNOWN


def test_growth() -> None:
    """The whole interval has to be on one side."""
    limit = Limit("growth_bytes_per_operation", at_most=100)

    assert rule_growth(limit, Slope(50, 10, 90), 9).verdict is Verdict.PASS
    assert rule_growth(limit, Slope(1024, 900, 1150), 9).verdict is Verdict.FAIL
    wide = rule_growth(limit, Slope(150, 50, 250), 9)
    assert wide.verdict is Verdict.UNKNOWN and wide.longer and "between 50 and 250" in wide.reason
    assert rule_growth(limit, None, 0).verdict is Verdict.UNKNOWN


def leaking(bytes_per_operation: int) -> Sampled:
    sampled = Sampled(apply=times([1.0] * 2_000))
    for place in range(0, 2_001, 10):
        sampled.places.append(place)
        sampled.resident.append((50 << 20) + place * bytes_per_operation // 4_096 * 4_096)
    return sampled


def test_every_metric_finds_its_numbers() -> None:
    """A store that leaks 1 KiB in each operation, and is well otherwise."""
    measured = Measured(
        sampled=leaking(1_024),
        snapshots=times([2.0] * 2_000),
        openings=times([3.0] * 5),
        replays=times([4.0] * 5),
        allocated=1_030.0,
        descriptors=2,
        held=2_200,
    )
    limits = (
        *(P50, P99, Limit("snapshot_p99_ms", at_most=3), Limit("open_ms", at_most=5), Limit("replay_s", at_most=1)),
        *(Limit("throughput_per_s", at_least=999), Limit("descriptors", at_most=2), Limit("read_p99_ms", at_most=1)),
        *(Limit(f"{kind}_bytes_per_operation", at_most=500) for kind in ("growth", "resident", "allocated")),
    )
    fast = {limit.metric: rule(limit, measured, NO_DISK, NO_DISK) for limit in limits}

    assert {name for name, ruling in fast.items() if ruling.verdict is Verdict.FAIL} == {
        *("apply_p50_ms", "growth_bytes_per_operation"),
        *("resident_bytes_per_operation", "allocated_bytes_per_operation"),
    }
    assert {name for name, ruling in fast.items() if ruling.verdict is Verdict.UNKNOWN} == {"read_p99_ms"}
    assert fast["snapshot_p99_ms"].measured == 2.0 and fast["replay_s"].measured == 0.004


def test_a_store_that_keeps_nothing_does_not_grow() -> None:
    """Within the smallest of limits."""
    measured = Measured(sampled=leaking(0))
    for kind in ("growth", "resident"):
        ruling = rule(Limit(f"{kind}_bytes_per_operation", at_most=0), measured, NO_DISK, NO_DISK)
        assert ruling.verdict is Verdict.PASS and ruling.measured == 0
    assert rule(Limit("resident_bytes_per_operation", at_most=0), Measured(), NO_DISK, NO_DISK).measured is None


def test_trouble_leaves_everything_unknown() -> None:
    """With its own words in the reason."""
    ruling = rule(P99, Measured(trouble="apply did not return (no return within 10 s)"), NO_DISK, NO_DISK)

    assert ruling.verdict is Verdict.UNKNOWN and "apply did not return" in ruling.reason
    assert ruling.gist == "apply_p99_ms: the store could not be measured"


# --- two measurements -----------------------------------------------------------------------

FAIL = Ruling(P99, Verdict.FAIL, 20.0, reason="apply_p99_ms: measured 20 ms, and the limit is at most 10 ms")
PASS = Ruling(P99, Verdict.PASS, 9.0)
MORE = Ruling(P99, Verdict.UNKNOWN, 20.0, gist="apply_p99_ms: few", longer=True)
OPEN = Ruling(P99, Verdict.UNKNOWN, 20.0, gist="apply_p99_ms: disk")


def test_a_miss_is_measured_again() -> None:
    """And so is what more samples may decide; nothing else is."""
    assert [wants_more(ruling) for ruling in (FAIL, MORE, OPEN, PASS)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        (FAIL, FAIL, Verdict.FAIL),
        (MORE, FAIL, Verdict.FAIL),
        (MORE, PASS, Verdict.PASS),
        (MORE, MORE, Verdict.UNKNOWN),
        (OPEN, None, Verdict.UNKNOWN),
        (PASS, None, Verdict.PASS),
    ],
)
def test_the_second_measurement_decides(first: Ruling, second: Ruling | None, verdict: Verdict) -> None:
    """Where there is one."""
    settled = settle(first, second)

    assert settled.ruling.verdict is verdict and settled.flaky is None


@pytest.mark.parametrize("second", [PASS, OPEN])
def test_a_miss_that_does_not_happen_again_is_flaky(second: Ruling) -> None:
    """Neither met nor missed, and told."""
    settled = settle(FAIL, second)

    assert settled.ruling.verdict is Verdict.UNKNOWN and settled.flaky is FAIL
    assert "did not happen again in a fresh process" in settled.ruling.reason


# --- how often it is wrong ------------------------------------------------------------------


def test_a_store_within_its_limit_is_hardly_ever_blamed() -> None:
    """Of 100 measurements of a store with as many slow operations as p99 just allows, a few at most are misses."""
    blamed = 0
    for seed in range(100):
        source = random.Random(f"null {seed}")
        disk = floor_of(*(source.uniform(1, 4) for _ in range(200)))
        own = [20.0 if source.random() < 0.01 else 1.0 for _ in range(2_000)]
        blamed += ruled(P99, [value + source.uniform(1, 4) for value in own], disk).verdict is Verdict.FAIL

    assert blamed <= 3


def test_a_store_that_is_twice_too_slow_is_nearly_always_blamed() -> None:
    """Twice as many slow operations as p99 allows, on the slow disk."""
    found = 0
    for seed in range(30):
        source = random.Random(f"slow {seed}")
        disk = floor_of(*(source.uniform(1, 4) for _ in range(200)))
        own = [20.0 if source.random() < 0.02 else 0.1 for _ in range(2_000)]
        found += ruled(P99, [value + source.uniform(1, 4) for value in own], disk).verdict is Verdict.FAIL

    assert found >= 27
