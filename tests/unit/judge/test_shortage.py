"""What is owed after something was short."""

from __future__ import annotations

from typing import Any

import pytest

from harness import KEY_VALUE, Contract, Put, Sync
from harness.judge.oracle import Oracle, Window
from harness.judge.recovery import Recovery
from harness.judge.shortage import judge_shortage, owed

OPERATIONS = (Put("a", "1"), Put("b", "2"))


def judged(shown: Any, failed: tuple[int, ...] = (), struck: tuple[int, ...] = (), problem: str = "") -> str:
    oracle = Oracle(KEY_VALUE, OPERATIONS, failed)
    recovery = Recovery(problem, "", shown, oracle.matches(shown))
    violation = judge_shortage(oracle, recovery, Window(2, 2), struck)
    return "" if violation is None else violation.kind


def test_what_returned_although_a_call_failed_is_swallowed() -> None:
    assert judged({"a": "1"}, struck=(1,)) == "swallowed_error"
    assert judged({"a": "1"}) == "lost_acknowledged"
    assert judged({"b": "2"}, struck=(1,)) != "swallowed_error"  # it is another one that is missing


def test_what_raised_may_have_happened() -> None:
    assert judged({"a": "1"}, failed=(1,), struck=(1,)) == ""
    assert judged({"a": "1", "b": "2"}, failed=(1,), struck=(1,)) == ""
    assert judged({"a": "1", "b": "2"}, struck=(1,)) == ""


def test_not_working_any_more_is_no_matter_of_what_is_missing() -> None:
    assert judged({"a": "1"}, struck=(1,), problem="not_writable") == "not_writable"


@pytest.mark.parametrize(
    ("contract", "lowest"),
    [
        (Contract(), 3),
        (Contract(process_crash="synced", power_loss=None), 2),
        (Contract(process_crash="prefix", power_loss="synced"), 2),
        (Contract(process_crash=None, power_loss=None), 0),
    ],
)
def test_the_stronger_promise_counts(contract: Contract, lowest: int) -> None:
    assert owed(contract, (Put("a", "1"), Sync(), Put("b", "2"))) == Window(lowest, 3)
