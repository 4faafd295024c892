"""The load is always the same, and looks like agents at work."""

from __future__ import annotations

import itertools
from collections import Counter
from statistics import median

import pytest

from store_under_test.event_store.event import NewEvent, check
from store_under_test.event_store.sessions import (
    DAY_S,
    HOUR_S,
    MONDAY_S,
    Load,
    activity,
    arrivals,
    events,
)


def some(count: int, seed: int = 1, load: Load | None = None) -> list[NewEvent]:
    return list(itertools.islice(events(seed, load), count))


@pytest.fixture(scope="module")
def sample() -> list[NewEvent]:
    return some(6000)


def times(sample: list[NewEvent]) -> list[float]:
    return [one.timestamp for one in sample if one.timestamp is not None]


def test_one_seed_one_load(sample: list[NewEvent]) -> None:
    assert some(500) == sample[:500]
    assert some(500, seed=2) != sample[:500]


def test_events_can_be_stored_and_come_in_order(sample: list[NewEvent]) -> None:
    for one in sample:
        check(one)
    assert times(sample) == sorted(times(sample))
    assert len({one.id for one in sample}) == len(sample)


def test_a_cause_is_an_earlier_event_of_the_same_session(sample: list[NewEvent]) -> None:
    """Only the start of a session has none; chains are long, and branch."""
    seen: dict[str, NewEvent] = {}
    depth: dict[str, int] = {}
    for one in sample:
        assert one.id is not None
        assert (one.causation_id is None) == (one.type == "session.started")
        if one.causation_id is not None:
            cause = seen[one.causation_id]
            assert cause.correlation_id == one.correlation_id
            depth[one.id] = depth.get(one.causation_id, 0) + 1
        seen[one.id] = one
    assert max(depth.values()) > 10
    assert max(Counter(one.causation_id for one in sample if one.causation_id).values()) > 1


def test_sessions_interleave_and_agents_differ(sample: list[NewEvent]) -> None:
    """A few agents do much of the work, and all of them some."""
    switches = sum(one.correlation_id != two.correlation_id for one, two in itertools.pairwise(sample))
    assert switches > len(sample) / 2
    counts = Counter(one.actor for one in sample)
    assert len(counts) == 40
    assert sum(count for _, count in counts.most_common(10)) > len(sample) * 0.4


def test_kinds_and_sizes_are_spread(sample: list[NewEvent]) -> None:
    """Thoughts and tools most, errors few; mostly some hundred bytes, a few long."""
    kinds = Counter(one.type for one in sample)
    assert kinds["thought.recorded"] > kinds["test.run"] > kinds["task.handed_over"] > 0
    assert kinds["session.completed"] > kinds["session.failed"] > 0
    sizes = sorted(len(one.payload["text"]) for one in sample)
    assert 100 < median(sizes) < 400
    assert sizes[-1] > 8000
    assert 0.001 < sum(size >= 8000 for size in sizes) / len(sizes) < 0.02


def test_nights_and_weekends_are_quiet() -> None:
    noon, night = MONDAY_S + 10 * HOUR_S, MONDAY_S + 3 * HOUR_S
    assert activity(noon) == 1.0
    assert activity(night) < 0.1
    assert activity(noon + 5 * DAY_S) == pytest.approx(0.15)
    assert activity(noon + HOUR_S / 2) == pytest.approx(0.975)
    assert activity(noon + 7 * DAY_S) == 1.0


def test_the_rate_follows_the_hours() -> None:
    """Over a day, without bursts: many more sessions begin by day than by night."""
    load = Load(sessions_per_hour=40, steps=1, bursts_per_day=0, start=MONDAY_S)
    starts = [
        one.timestamp - MONDAY_S
        for one in itertools.takewhile(lambda one: (one.timestamp or 0) < MONDAY_S + DAY_S, events(5, load))
        if one.type == "session.started" and one.timestamp is not None
    ]
    by_hour = Counter(int(start // HOUR_S) for start in starts)
    assert sum(by_hour[hour] for hour in range(9, 17)) > 10 * sum(by_hour[hour] for hour in range(5))


def test_bursts_multiply_the_rate() -> None:
    """The busiest five minutes of a day with bursts have several times the sessions of a day without."""

    def busiest(load: Load) -> int:
        day = itertools.takewhile(lambda one: (one.timestamp or 0) < load.start + 6 * HOUR_S, events(1, load))
        starts = Counter(int((one.timestamp or 0) // 300) for one in day if one.type == "session.started")
        return max(starts.values())

    calm = Load(sessions_per_hour=60, steps=1, bursts_per_day=0)
    assert busiest(Load(sessions_per_hour=60, steps=1, bursts_per_day=12)) > 2 * busiest(calm)


def test_open_loop_arrivals_have_the_rate_that_was_asked_for(sample: list[NewEvent]) -> None:
    """On average, in order, with the same events, and not evenly."""
    arriving = list(itertools.islice(arrivals(1, per_second=10_000), 5000))
    starts = [start for start, _ in arriving]
    assert [one for _, one in arriving] == sample[:5000]
    assert starts == sorted(starts)
    assert starts[-1] == pytest.approx(0.5, rel=0.01)
    gaps = sorted(two - one for one, two in itertools.pairwise(starts))
    assert gaps[-50] > 5 * median(gaps)
