"""What becomes of limits in an endurance run: met, missed, or undecided with the reason."""

from __future__ import annotations

import pytest

from harness import Limit, Verdict
from harness.measure.enduring import MOST_SYNCS, Ruling, growth, judgeable, rulings, series, table
from harness.measure.latencies import Latencies
from harness.measure.openloop import Sample
from harness.measure.windows import Held, Reading, Window
from tests.unit.measure.virtual import MS, SECOND


def window(
    number: int,
    service_ms: float = 1.0,
    *,
    operations: int = 1000,
    bare_ms: float = 0.1,
    late_ms: float = 0.0,
    cpu_share: float = 0.1,
    open_loop: bool = True,
    descriptors: int = 3,
) -> Window:
    made = Window(number * SECOND, (number + 1) * SECOND, done=(number + 1) * operations, lasted_ns=SECOND)
    began_ns = number * SECOND
    late_ns, lasted_ns = round(late_ms * MS), round(service_ms * MS)
    for _ in range(operations):
        started_ns = began_ns + late_ns
        made.note(Sample(began_ns, began_ns, started_ns, started_ns + lasted_ns), open_loop=open_loop)
    for _ in range(20):
        made.bare.record(round(bare_ms * MS))
    made.generator_cpu_ns = round(cpu_share * SECOND)
    made.reading = Reading(1 << 20, descriptors, 4096)
    return made


def ruled(limit: Limit, windows: list[Window], *, open_loop: bool = True, held: tuple[Held, ...] = ()) -> Ruling:
    (ruling,) = rulings(windows, held, [limit], open_loop=open_loop)
    return ruling


P99 = Limit("apply_p99_ms", at_most=10)


def test_a_limit_that_is_met_is_met() -> None:
    """With what was measured, and of how many."""
    ruling = ruled(P99, [window(0), window(1)])

    assert (ruling.verdict, ruling.samples) == (Verdict.PASS, 2000)
    assert ruling.measured == pytest.approx(1.0, rel=1e-2)


def test_a_limit_that_is_missed_in_both_halves_is_missed() -> None:
    """Where neither the disk nor the generator explains it."""
    assert ruled(P99, [window(0, 50.0), window(1, 40.0)]).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("windows", "told"),
    [
        ([window(0, 50.0), window(1, 1.0)], "do not both say so (50 ms and 1 ms)"),
        ([window(0, 50.0), window(1, 50.0, bare_ms=5.0)], f"{MOST_SYNCS} bare syncs of this disk took 80"),
        ([window(0, 50.0, late_ms=2.0), window(1, 50.0, late_ms=2.0)], "late by 2 ms"),
        ([window(0, 50.0, cpu_share=0.9), window(1, 50.0, cpu_share=0.9)], "90% of a core"),
    ],
)
def test_a_miss_that_something_else_may_explain_is_undecided(windows: list[Window], told: str) -> None:
    """Half of the run, the disk, a late generator, or a busy one: each with its reason."""
    ruling = ruled(P99, windows)

    assert ruling.verdict is Verdict.UNKNOWN
    assert told in ruling.reason


def test_a_percentile_of_too_few_operations_is_undecided() -> None:
    """Neither met nor missed."""
    ruling = ruled(Limit("apply_p999_ms", at_most=10), [window(0, operations=2900)])

    assert (ruling.verdict, ruling.measured) == (Verdict.UNKNOWN, None)
    assert "2,900 operations are too few" in ruling.reason


def test_few_operations_of_which_the_longest_is_within_the_limit_are_enough() -> None:
    """3,000 without one beyond it: that 99.9 % are within is sure by 95 %. One beyond it, and they are not."""
    limit = Limit("apply_p999_ms", at_most=10)

    assert ruled(limit, [window(0, operations=3000)]).verdict is Verdict.PASS
    assert ruled(limit, [window(0, operations=3000), window(1, 11.0, operations=1)]).verdict is Verdict.UNKNOWN


def test_an_unfit_generator_does_not_take_back_what_was_met() -> None:
    """Lateness makes latencies longer, so what is within the limit is within it."""
    assert ruled(P99, [window(0, late_ms=2.0), window(1, late_ms=2.0)]).verdict is Verdict.PASS


def held(*resident: int, part: int = 0) -> tuple[Held, ...]:
    return tuple(Held(part, 100 * number, value) for number, value in enumerate(resident, 1))


GROWTH = Limit("growth_bytes_per_operation", at_most=10)


@pytest.mark.parametrize(
    ("resident", "verdict"),
    [
        ([1_000_000 + 2_000 * number for number in range(40)], Verdict.FAIL),
        ([1_000_000] * 40, Verdict.PASS),
        ([1_000_000 + 500 * number for number in range(40)], Verdict.PASS),
        ([1_000_000 + 60_000 * number for number in range(20)] + [2_200_000] * 20, Verdict.PASS),
        ([1_000_000 + (number % 5) * 60_000 for number in range(40)], Verdict.UNKNOWN),
        ([1_000_000] * 10, Verdict.UNKNOWN),
    ],
)
def test_growth_is_judged_by_its_whole_interval(resident: list[int], verdict: Verdict) -> None:
    """A leak, nothing, little, a warm-up that ends, noise too wide to tell, and a run too short."""
    assert ruled(GROWTH, [window(0)], held=held(*resident)).verdict is verdict


def test_growth_is_that_of_the_last_process() -> None:
    """A process that was started anew begins with little, and what grew before it was killed is another matter."""
    grown = held(*(1_000_000 + 9_000 * number for number in range(40)))
    calm = tuple(Held(1, 4_000 + 100 * number, 500_000) for number in range(1, 41))
    found = growth((*grown, *calm))

    assert found is not None
    assert (found.low, found.high) == (0, 0)
    assert growth(()) is None


def test_descriptors_are_judged_by_the_most_there_were() -> None:
    """One window with too many is enough; without any operation nothing is known."""
    limit = Limit("descriptors", at_most=5)

    assert ruled(limit, [window(0), window(1)]).verdict is Verdict.PASS
    assert ruled(limit, [window(0, descriptors=6), window(1)]).verdict is Verdict.FAIL
    assert ruled(limit, []).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("operations", "bare_ms", "verdict"),
    [
        ((1000, 1000), 0.001, Verdict.PASS),
        ((100, 100), 0.001, Verdict.FAIL),
        ((100, 1000), 0.001, Verdict.UNKNOWN),
        ((100, 100), 1.0, Verdict.UNKNOWN),
        ((0, 0), 0.001, Verdict.FAIL),
    ],
)
def test_throughput_is_judged_in_a_closed_loop(
    operations: tuple[int, int], bare_ms: float, verdict: Verdict
) -> None:
    """Enough; too little; too little in one half; too little, but the disk may be why; none at all."""
    windows = [
        window(number, operations=count, bare_ms=bare_ms, open_loop=False) for number, count in enumerate(operations)
    ]

    assert ruled(Limit("throughput_per_s", at_least=800), windows, open_loop=False).verdict is verdict


def test_each_loop_judges_what_it_measures() -> None:
    """Latencies in the open loop, throughput in the closed one, memory in both, opening in neither."""
    limits = {
        name: Limit(name, at_most=1)
        for name in ("apply_p99_ms", "read_p99_ms", "open_ms", "descriptors", "growth_bytes_per_operation")
    }
    limits["throughput_per_s"] = Limit("throughput_per_s", at_least=1)

    in_open = {name for name, limit in limits.items() if judgeable(limit, open_loop=True)}
    in_closed = {name for name, limit in limits.items() if judgeable(limit, open_loop=False)}
    assert in_open == {"apply_p99_ms", "descriptors", "growth_bytes_per_operation"}
    assert in_closed == {"throughput_per_s", "descriptors", "growth_bytes_per_operation"}


def test_a_series_has_a_point_for_each_window_and_counts_beside_percentiles() -> None:
    """All in JSON types; a percentile of too few is `None`."""
    made = series([window(0), window(1, 3.0, operations=30)], held(1, 2), open_loop=True)

    assert [point["operations"] for point in made["points"]] == [1000, 30]
    assert made["points"][0]["p99_ms"] == pytest.approx(1.0, rel=1e-2)
    assert made["points"][1]["p99_ms"] is None
    assert made["counts"]["response"] == 1030
    assert [row["percentile"] for row in made["percentiles"]["response"]] == [50, 75, 90, 95, 99, 100]
    assert list(made["curves"]) == [name for name in ("response", "service", "bare_sync") if name in made["counts"]]
    curve = made["curves"]["response"]
    assert curve == sorted(curve) and curve[-1] == [100.0, made["percentiles"]["response"][-1]["ms"]]
    assert (made["loop"], made["growth"]) == ("open", None)
    assert series([window(0, open_loop=False)], (), open_loop=False)["points"][0]["p50_ms"] is not None
    assert table(Latencies()) == []


def test_a_series_tells_how_memory_grew() -> None:
    """With its interval, and the method."""
    made = series([window(0)], held(*(1_000 * number for number in range(40))), open_loop=True)

    assert made["growth"]["bytes_per_operation"] == pytest.approx(10)
    assert "batch means" in made["growth"]["method"]
