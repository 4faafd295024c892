"""Two operations at the same time: any order will do, losing one will not."""

from __future__ import annotations

from typing import Any

import pytest

from harness import DOCUMENT, KEY_VALUE, LOG, Append, Put, Save
from harness.judge.contended import Attempted, judge_contended

BOTH = (Attempted(Append("a"), True), Attempted(Append("b"), True))
PUTS = (Attempted(Put("a", "1"), True), Attempted(Put("b", "2"), True))


@pytest.mark.parametrize("shown", [["0", "a", "b"], ["0", "b", "a"]])
def test_any_order(shown: list[str]) -> None:
    assert judge_contended(LOG, ("0",), BOTH, shown) is None


@pytest.mark.parametrize(
    ("model", "before", "attempted", "shown", "kind"),
    [
        (LOG, ("0",), BOTH, ["0", "a"], "lost_update"),
        (LOG, ("0",), BOTH, ["0"], "lost_update"),
        (LOG, ("0",), BOTH, ["a", "b"], "torn_operation"),
        (KEY_VALUE, {}, PUTS, {"b": "2"}, "lost_update"),
        (KEY_VALUE, {}, PUTS, {"a": "2"}, "torn_operation"),
        (DOCUMENT, None, (Attempted(Save({"a": 1}), True), Attempted(Save({"b": 2}), True)), {"a": 1, "b": 2}, "torn"),
    ],
)
def test_what_no_order_explains(model: Any, before: Any, attempted: Any, shown: Any, kind: str) -> None:
    violation = judge_contended(model, before, attempted, shown)
    assert violation is not None and violation.kind.startswith(kind)


def test_what_raised_may_have_happened_or_not() -> None:
    attempted = (Attempted(Append("a"), False), Attempted(Append("b"), True))
    for shown in (["a", "b"], ["b"], ["b", "a"]):
        assert judge_contended(LOG, (), attempted, shown) is None
    lost = judge_contended(LOG, (), attempted, ["a"])
    assert lost is not None and lost.kind == "lost_update" and "Append('b')" in lost.sentence
