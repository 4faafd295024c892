"""What happens to clients that share a store: which moments, in which order, and what is said of them."""

from __future__ import annotations

from itertools import islice

from harness.core.trace import CallSite
from harness.inject.kills import Called, Settled
from harness.inject.writers import Crossing, Pause, Race, Stand, Turns, pauses, spread_first, turns

SITE = CallSite("store.py", 1, "f")
COURSE = [Called(name, SITE) for name in ("open", "write", "fsync", "close", "replace")]


def test_every_call_is_a_moment_with_others_early_and_late() -> None:
    made = list(pauses(COURSE, {2, 3, 4, 5}, killed=False))
    assert sorted((pause.call, pause.early) for pause in made) == [
        (call, early) for call in range(1, 6) for early in (False, True)
    ]


def test_what_nobody_notices_comes_last_and_what_is_outside_operations_before_it() -> None:
    """A stop before an fsync is, for others, the stop before the next call."""
    assert [pause.call for pause in islice(pauses(COURSE, {2, 3, 4, 5}, killed=True), 5)] == [2, 5, 1, 3, 4]
    assert all(pause.killed for pause in pauses(COURSE, {2}, killed=True))


def test_only_calls_are_moments() -> None:
    assert [pause.call for pause in pauses([Settled(0), COURSE[0]], {1}, killed=False)] == [1, 1]


def test_any_beginning_of_the_order_is_spread() -> None:
    assert spread_first(range(8)) == [0, 4, 2, 6, 1, 5, 3, 7]
    assert spread_first(range(3)) == [0, 2, 1]
    assert spread_first([7]) == [7] and spread_first([]) == []


def test_every_single_switch_comes_before_a_sample_of_two() -> None:
    made = list(turns(3, 5, seed=0, sampled=4))
    assert {turn.switches for turn in made[:3]} == {(1,), (2,), (3,)}
    assert len(made) == 7
    assert all(first < second <= first + 2 for first, second in (turn.switches for turn in made[3:]))
    assert made == list(turns(3, 5, seed=0, sampled=4)) != list(turns(3, 5, seed=1, sampled=4))


def test_they_are_told_in_words() -> None:
    assert "before its I/O call number 3" in Pause(3).describe() and "went on" in Pause(3).describe()
    assert "was killed" in Pause(3, killed=True).describe()
    assert "which had opened the store before," in Pause(3, early=True).describe()
    assert Turns((2, 5)).describe().endswith("took turns before step 2, 5")
    assert Turns(()).describe() == "threads came in turn"
    assert Race(1).describe() == "clients ran at the same time (race 2)"
    assert "of which one was killed" in Race(1, kills=True).describe()
    stands = (Stand("a.py:1", "a.py:2"), Stand("a.py:5", "a.py:6"))
    assert Crossing(stands).describe() == (
        "threads that share one handle were held back before a.py:2 (with the lock of a.py:1) and a.py:6 "
        "(with the lock of a.py:5) until all stood there"
    )
    told = Crossing(stands, (1, 2), (3, 4), (5, 6)).describe()
    assert ", after 2 operations, were held back" in told and told.endswith(", with turns before step 5, 6")
