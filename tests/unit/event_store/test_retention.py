"""Which segments a policy removes."""

from __future__ import annotations

import pytest

from store_under_test.event_store.retention import Extent, Policy, doomed

#: Three sealed segments and the active one, 100 bytes each, one event time apart.
LOG = [
    Extent(1, 100, 10.0, True),
    Extent(11, 100, 20.0, True),
    Extent(21, 100, 30.0, True),
    Extent(31, 100, 40.0, False),
]
NOW = 50.0


@pytest.mark.parametrize(
    ("policy", "count"),
    [
        (Policy(), 0),
        (Policy(max_bytes=400), 0),
        (Policy(max_bytes=399), 1),
        (Policy(max_bytes=0), 3),
        (Policy(max_segments=4), 0),
        (Policy(max_segments=2), 2),
        (Policy(max_segments=0), 3),
        (Policy(max_age_s=40), 0),
        (Policy(max_age_s=39), 1),
        (Policy(max_age_s=0), 3),
        (Policy(max_segments=3, max_age_s=25), 2),
    ],
)
def test_a_limit_removes_the_oldest_and_never_the_active_one(policy: Policy, count: int) -> None:
    assert doomed(policy, LOG, NOW) == count


def test_an_old_segment_behind_a_young_one_stays() -> None:
    """Segments go in the order of the log; the clock of an event is no reason for a hole."""
    log = [Extent(1, 1, NOW, True), Extent(2, 1, 0.0, True), Extent(3, 1, NOW, False)]
    assert doomed(Policy(max_age_s=10), log, NOW) == 0


def test_in_an_emergency_more_goes() -> None:
    assert doomed(Policy(emergency_segments=2), LOG, NOW) == 0
    assert doomed(Policy(emergency_segments=2), LOG, NOW, emergency=True) == 2
    assert doomed(Policy(emergency_segments=9), LOG, NOW, emergency=True) == 3
    assert doomed(Policy(emergency_segments=1, max_segments=2), LOG, NOW, emergency=True) == 2


def test_a_policy_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="max_bytes"):
        Policy(max_bytes=-1)
