"""Latencies and windows: merging loses nothing, percentiles need samples, and memory has a bound."""

from __future__ import annotations

import importlib.util
import json

import pytest

from harness import UsageError
from harness.measure.latencies import HIGHEST_NS, Latencies, require_library
from harness.measure.openloop import Sample
from harness.measure.windows import MOST_WINDOWS, Held, Reading, Window, coalesced, total
from tests.unit.measure.virtual import MS, SECOND


def latencies(*durations_ms: float) -> Latencies:
    made = Latencies()
    for duration in durations_ms:
        made.record(round(duration * MS))
    return made


def window(number: int, operations: int = 1, part: int = 0) -> Window:
    made = Window(number * SECOND, (number + 1) * SECOND, done=number + 1, part=part, lasted_ns=SECOND)
    for index in range(operations):
        due_ns = number * SECOND + index * MS
        made.note(Sample(due_ns, due_ns, due_ns, due_ns + (number + 1) * MS), open_loop=True)
    made.reading = Reading(1000 * number, number % 3, 10 * number)
    return made


def test_percentiles_are_within_three_digits() -> None:
    """Of 1 to 1,000 ms the median is 500 ms, and the longest is exact."""
    made = latencies(*range(1, 1001))

    assert made.at_ms(50) == pytest.approx(500, rel=1e-3)
    assert made.at_ms(99) == pytest.approx(990, rel=1e-3)
    assert (made.count, made.max_ms) == (1000, 1000)


def test_a_percentile_that_few_samples_lie_beyond_is_left_out() -> None:
    """No 99th percentile below 1,000 samples, no 99.9th below 10,000."""
    assert latencies(*[1] * 999).at_ms(99) is None
    assert latencies(*[1] * 1000).at_ms(99) == pytest.approx(1, rel=1e-3)
    assert latencies(*[1] * 9999).at_ms(99.9) is None
    assert Latencies().at_ms(50) is None


def test_what_cannot_be_counted_is_clamped_and_the_longest_is_kept() -> None:
    """Zero counts as the smallest, two hours as one; the maximum stays two hours."""
    made = Latencies()
    made.record(0)
    made.record(2 * HIGHEST_NS)

    assert (made.count, made.max_ns) == (2, 2 * HIGHEST_NS)


def test_latencies_survive_json_and_merge() -> None:
    """What is read back has the same percentiles, and merged ones are those of all samples."""
    one, two = latencies(*[1] * 600), latencies(*[100] * 600)
    back = Latencies.from_json(json.loads(json.dumps(one.to_json())))
    back.add(two)

    assert back.count == 1200
    assert back.at_ms(25) == pytest.approx(1, rel=1e-2)
    assert back.at_ms(75) == pytest.approx(100, rel=1e-2)
    assert Latencies.from_json(Latencies().to_json()).count == 0


def test_cleared_latencies_hold_nothing() -> None:
    """The same memory for the next window."""
    made = latencies(5, 6)
    made.clear()

    assert (made.count, made.max_ns) == (0, 0)


def test_without_the_library_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names what to install."""
    require_library()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="durability-harness\\[measure\\]"):
        require_library()


def test_a_window_survives_json() -> None:
    """All counts, all latencies, and the reading."""
    made = window(4, operations=30, part=2)
    back = Window.from_json(json.loads(json.dumps(made.to_json())))

    assert back.to_json() == made.to_json()
    assert (back.part, back.operations, back.reading) == (2, 30, Reading(4000, 1, 40))
    assert Held.from_json(made.to_json()) == Held(2, 5, 4000)


def test_a_window_tells_what_was_answered_from_what_was_not_started() -> None:
    """Both count as responses, only one as service."""
    made = Window(0)
    made.note(Sample(0, 0, 0, MS), open_loop=True)
    made.note(Sample(0, 9 * MS, 9 * MS, 9 * MS, started=False), open_loop=True)

    assert (made.operations, made.unstarted) == (1, 1)
    assert (made.response.count, made.service.count) == (2, 1)
    assert made.response.max_ms == 9


def test_a_window_that_begins_anew_has_forgotten_everything() -> None:
    """Counts, latencies, and where it began."""
    made = window(3, operations=5)
    made.begin(9 * SECOND)

    assert (made.from_ns, made.operations, made.lasted_ns, made.response.count) == (9 * SECOND, 0, 0, 0)


def test_merged_windows_hold_all_that_they_held_apart() -> None:
    """Operations and samples add up, memory is that of the last, descriptors are the most there were."""
    windows = [window(number, operations=2) for number in range(5)]
    whole = total(windows)

    assert (whole.from_ns, whole.to_ns, whole.done) == (0, 5 * SECOND, 5)
    assert (whole.operations, whole.response.count, whole.seconds) == (10, 10, 5.0)
    assert whole.reading == Reading(4000, 2, 40)
    assert whole.throughput_per_s == 2.0
    assert total([]).throughput_per_s == 0.0 == total([]).cpu_share


@pytest.mark.parametrize("count", [1, 2, MOST_WINDOWS, MOST_WINDOWS + 1, MOST_WINDOWS + 2, 2 * MOST_WINDOWS + 1, 700])
def test_many_windows_become_few_and_lose_nothing(count: int) -> None:
    """Never more than the bound, in order without holes, of the same length but for the last, with all operations."""
    merged = coalesced(Window(number, number + 1, done=number, operations=1, lasted_ns=1) for number in range(count))

    assert len(merged) <= MOST_WINDOWS
    assert sum(item.operations for item in merged) == count
    edges = [(item.from_ns, item.to_ns) for item in merged]
    assert [begin for begin, _ in edges] == [0, *[end for _, end in edges[:-1]]]
    assert len({end - begin for begin, end in edges[:-1]}) <= 1
