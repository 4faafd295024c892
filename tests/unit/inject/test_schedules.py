"""Schedules of faults are values: written by hand, made from a seed, and refused with one sentence."""

from __future__ import annotations

import pickle
import re

import pytest

from harness.core.errors import UsageError
from harness.inject.nemesis import FAULTS, LASTING_CALLS, STRIKES, Schedule, Strike, parse, schedules
from harness.run.encoding import decode_value, encode_value
from harness.run.live.engines import fault_types
from harness.run.options import LiveExtent


def test_a_schedule_is_written_as_it_is_told() -> None:
    """In the order in which its strikes begin."""
    schedule = parse(" kill@12 , eio@3-7,stall@3")

    assert schedule == Schedule((Strike("eio", 3, 7), Strike("stall", 3, 3), Strike("kill", 12, 12)))
    assert parse(schedule.describe()) == schedule
    assert (schedule.claim, schedule.kills) == ("io_error", 1)
    assert (parse("damage@2, kill@3, eio@1").claim, parse("clock-back@1-9").claim) == ("corruption", "process_crash")
    assert parse("damage@2, kill@3, eio@1").claims == {"corruption", "process_crash", "io_error"}
    assert (parse("kill@1, kill-in-write@2").claim, parse("kill@1, kill-in-write@2").kills) == ("process_crash", 2)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the schedule names no fault"),
        (" , ", "the schedule names no fault"),
        ("power-cut@3", "there is no fault 'power-cut': say one of kill, kill-in-write, stall, eio, "),
        ("kill", "'kill' is no strike"),
        ("kill@", "'kill@' is no strike"),
        ("kill@3 eio@4", "'kill@3 eio@4' is no strike"),
        ("kill@0", "'kill@0' never fires"),
        ("eio@7-3", "'eio@7-3' never fires"),
        ("kill@3-7", "'kill@3-7' can't last"),
        ("damage@3", "'damage@3' never fires: files are damaged after a kill"),
        ("kill@2, damage@3", "'damage@3' never fires: files are damaged after a kill, so name one at call 3 or later"),
    ],
)
def test_what_is_no_schedule_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(sentence)}") as raised:
        parse(text)

    assert str(raised.value).endswith(".") and "\n" not in str(raised.value)
    assert raised.value.exit_status == 2


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^a budget of 0 faults tries nothing: say 1 or more\.$"):
        LiveExtent(2, 0, large=False, faults=0)


def test_schedules_from_a_seed_use_every_fault_and_stay_within_the_run() -> None:
    names = list(FAULTS)
    made = list(schedules(names, calls=20, count=30, seed=4))

    assert made == list(schedules(names, calls=20, count=30, seed=4))
    assert made != list(schedules(names, calls=20, count=30, seed=5))
    for number, schedule in enumerate(made):
        assert names[number % len(names)] in {strike.fault for strike in schedule.strikes}
        assert STRIKES[0] <= len(schedule.strikes) <= STRIKES[1]
        assert parse(schedule.describe()) == schedule
        for strike in schedule.strikes:
            assert 1 <= strike.start <= 20 and 0 <= strike.stop - strike.start < LASTING_CALLS
    together = sum(len({strike.start for strike in made_.strikes}) < len(made_.strikes) for made_ in made)
    assert 3 < together < 30


def test_where_files_may_be_damaged_one_always_is_and_after_a_kill() -> None:
    for number, schedule in enumerate(schedules(["damage", "kill", "stall", "clock-back"], calls=9, count=40, seed=1)):
        faults = {strike.fault for strike in schedule.strikes}
        assert "damage" in faults and faults & {"kill", "kill-in-write"}
        assert ("damage", "kill", "stall", "clock-back")[number % 4] in faults
        assert parse(schedule.describe()) == schedule, "it is one that a user could have written"


def test_damage_is_due_after_the_first_kill_that_follows_it() -> None:
    schedule = parse("kill@3, damage@5, kill@9")

    assert schedule.at_rest(0, 3) is None
    assert schedule.at_rest(3, 9) == Strike("damage", 5, 5)
    assert schedule.at_rest(9, 20) is None


def test_a_run_without_calls_has_no_schedule() -> None:
    assert list(schedules(list(FAULTS), calls=0, count=3, seed=0)) == []


def test_a_schedule_goes_into_a_certificate_and_comes_back() -> None:
    schedule = parse("eio@3-7, kill@12")

    assert decode_value(encode_value(schedule), fault_types()) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule


def test_faults_are_moved_together() -> None:
    schedule = parse("eio@3-7, kill@12")

    assert schedule.starting_at(1) == parse("eio@1-5, kill@10")
    assert schedule.starting_at(9).starting_at(3) == schedule
