"""Trying the same again and again, and work that only looks like it."""

from __future__ import annotations

from harness.run.live.polling import LONGEST, TIMES, repeats


def test_one_attempt_over_and_over_is_polling() -> None:
    attempt = ["open", "flock", "close"]
    assert repeats(["write", *attempt * TIMES])
    assert repeats(["flock"] * TIMES)


def test_fewer_attempts_and_other_work_are_not() -> None:
    attempt = ["open", "flock", "close"]
    assert not repeats([])
    assert not repeats(attempt * (TIMES - 1))
    assert not repeats([*attempt * TIMES, "write"])
    assert not repeats([str(number) for number in range(100)])


def test_an_attempt_of_too_many_steps_is_not_noticed() -> None:
    attempt = [str(number) for number in range(LONGEST + 1)]
    assert not repeats(attempt * TIMES)
