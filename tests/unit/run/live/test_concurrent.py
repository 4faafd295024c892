"""What is wrong with a history of several clients: each kind, and histories with which nothing is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from harness import DOCUMENT, KEY_VALUE, LOG, Append, AppendMany, Get, Load, Put, PutMany, Read, Save
from harness.core.history import Called, History, Outcome, history_of
from harness.history.values import Budget
from harness.run.live import concurrent
from harness.run.live.concurrent import judged
from store_under_test.metrics_store.adapter import CountTask, UpdateModel

OK, INFO, FAIL = Outcome.OK, Outcome.INFO, Outcome.FAIL
NONE = object()


def history(*operations: tuple[Any, ...], final: Any = NONE) -> History:
    """Each is (client, operation, invoked, completed, answer or outcome)."""
    made = []
    for number, (client, operation, invoked, completed, *rest) in enumerate(operations):
        outcome = rest[0] if rest and isinstance(rest[0], Outcome) else OK
        answer = rest[0] if rest and not isinstance(rest[0], Outcome) else None
        made.append(Called(number, client, operation, invoked, completed, outcome, answer))
    if final is NONE:
        return history_of(made)
    return history_of(made, final=final, has_final=True)


def kind(made: History, model: Any) -> str:
    judgement = judged(made, model)
    assert not judgement.unknown
    return "" if judgement.violation is None else judgement.violation.kind


A, B = Put("a", "1"), Put("b", "2")


@pytest.mark.parametrize(
    ("model", "made"),
    [
        (KEY_VALUE, history((1, A, 0, 9), (2, B, 1, 2), final={"a": "1", "b": "2"})),
        (KEY_VALUE, history((1, A, 0, None, INFO), (2, B, 1, 2), final={"b": "2"})),
        (KEY_VALUE, history((1, A, 0, 3, FAIL), (2, Get("a"), 4, 5), final={})),
        (LOG, history((1, Append("x"), 0, 9), (2, Append("y"), 1, 2), (2, Read(0), 3, 4, ["y"]), final=["y", "x"])),
        (DOCUMENT, history((1, Save({"n": 1}), 0, 9), (2, Save({"n": 2}), 0, 9), final={"n": 1})),
        (UpdateModel(), history((1, CountTask("p"), 0, 9, 2), (2, CountTask("p"), 0, 9, 1))),
    ],
)
def test_what_one_order_explains_is_right(model: Any, made: History) -> None:
    assert kind(made, model) == ""


def test_an_acknowledged_change_that_is_gone_is_a_lost_update() -> None:
    """The operation is named, and whose it was."""
    judgement = judged(history((1, A, 0, 9), (2, B, 1, 2), final={"a": "1"}), KEY_VALUE)
    assert judgement.violation is not None and judgement.violation.kind == "lost_update"
    assert judgement.blamed == 1
    assert judgement.violation.sentence.startswith("Put('b', '2') of client 2 was acknowledged")
    assert "{'a': '1'}" in judgement.violation.sentence


def test_a_change_that_was_seen_before_it_was_lost_is_a_lost_update() -> None:
    made = history((1, A, 0, 9), (2, B, 1, 2), (2, Get("b"), 3, 4, "2"), final={"a": "1"})
    judgement = judged(made, KEY_VALUE)
    assert judgement.violation is not None and judgement.violation.kind == "lost_update"
    assert "it is gone" in judgement.violation.sentence


def test_two_changes_may_be_lost_at_once() -> None:
    made = history((1, A, 0, 9), (2, B, 1, 2), (2, Put("c", "3"), 3, 4), final={"a": "1"})
    assert kind(made, KEY_VALUE) == "lost_update"


def test_an_answer_that_no_order_explains_is_not_linearizable() -> None:
    """An older value is read after a newer one."""
    made = history(
        (1, Put("a", "1"), 0, 1), (1, Put("a", "2"), 2, 9), (2, Get("a"), 3, 4, "2"), (2, Get("a"), 5, 6, "1")
    )
    assert kind(made, KEY_VALUE) == "not_linearizable"


@pytest.mark.parametrize(
    ("model", "made", "expected"),
    [
        (KEY_VALUE, history((1, A, 0, 1), final={"a": "1", "z": "9"}), "phantom"),
        (KEY_VALUE, history((1, Put("a", "long text"), 0, 1), (2, Get("a"), 2, 3, "long te")), "torn_operation"),
        (KEY_VALUE, history((1, A, 0, 1), final=[]), "torn_operation"),
        (LOG, history((1, Append("x"), 0, 1), final=["x", "x"]), "phantom"),
        (LOG, history((1, Append("x"), 0, 1), (2, Read(0), 2, 3, {})), "torn_operation"),
        (DOCUMENT, history((1, Save({"n": 1}), 0, 9), (2, Load(), 1, 2, {"n": 3})), "phantom"),
        (
            DOCUMENT,
            history((1, Save({"n": 1, "m": 1}), 0, 9), (2, Save({"n": 2, "m": 2}), 0, 9), final={"n": 1, "m": 2}),
            "torn_operation",
        ),
    ],
)
def test_what_nobody_wrote_is_told_first(model: Any, made: History, expected: str) -> None:
    assert kind(made, model) == expected


@pytest.mark.parametrize(
    ("model", "made"),
    [
        (
            KEY_VALUE,
            history((1, PutMany((("a", "1"), ("b", "2"))), 0, 9), (2, Get("b"), 2, 3, "2"), (2, Get("a"), 4, 5)),
        ),
        (LOG, history((1, AppendMany(("x", "y")), 0, 9), (2, Append("z"), 0, 9), final=["x", "z", "y"])),
    ],
)
def test_a_batch_that_is_seen_in_parts_is_torn(model: Any, made: History) -> None:
    judgement = judged(made, model)
    assert judgement.violation is not None and judgement.violation.kind == "torn_operation"
    assert judgement.blamed == 0 and "part of" in judgement.violation.sentence


def test_a_model_of_the_users_own_is_judged_by_its_answers() -> None:
    """Two that counted to the same number: one of them was lost."""
    assert kind(history((1, CountTask("p"), 0, 9, 1), (2, CountTask("p"), 0, 9, 1)), UpdateModel()) == "lost_update"


class Refusing(UpdateModel):
    """Can't take an operation after another one."""

    def step(self, state: Any, operation: object) -> tuple[Any, Any]:
        if state["agents"]:
            raise ValueError("one is enough")
        return super().step(state, operation)


def test_a_model_that_refuses_an_order_leaves_it_open() -> None:
    judgement = judged(history((1, CountTask("p"), 0, 9, 1), (2, CountTask("p"), 0, 9, 2)), Refusing())
    assert judgement.violation is None and "the model can't take" in judgement.unknown


def test_what_is_too_hard_to_judge_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrent, "BUDGET", Budget(steps=1))
    counts = [(client, CountTask("p"), 0, 99, 7 - client) for client in range(1, 7)]
    judgement = judged(history(*counts), UpdateModel())
    assert judgement.violation is None and "too hard to judge" in judgement.unknown
