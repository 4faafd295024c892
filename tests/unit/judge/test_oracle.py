"""The oracle against a brute-force definition of what is admissible."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import DOCUMENT, KEY_VALUE, LOG, Append, AppendMany, Delete, Put, PutMany, Save, Sync
from harness.core.models import same_json
from harness.judge.oracle import BRANCH_LIMIT, REMEMBERED_ANSWERS, Oracle, Window, frozen, records_of, window
from harness.judge.recovery import Recovery, judge
from tests.unit.core.strategies import json_values, patient
from tests.unit.judge.own_models import Pop, Push, Queue, StampedNote, Write

#: Few keys and values, and equal ones on purpose: different histories then reach the same state.
SMALL: dict[Any, st.SearchStrategy[Any]] = {
    KEY_VALUE: st.sampled_from(
        [Put("k", "a"), Put("k", "b"), Put("l", "a"), Delete("k"), PutMany((("k", "c"), ("l", "c"))), Sync()]
    ),
    DOCUMENT: st.sampled_from([Save({}), Save({"a": 1}), Save({"a": True}), Save({"a": {"b": [0]}}), Sync()]),
    LOG: st.sampled_from([Append("a"), Append("b"), AppendMany(("a", "b")), Sync()]),
    StampedNote(): st.sampled_from([Write(""), Write("a"), Write("b")]),
    Queue(): st.sampled_from([Push("a"), Push("b")]),
}
MODELS = pytest.mark.parametrize("model", SMALL, ids=["key-value", "document", "log", "stamped", "queue"])


def fold(model: Any, operations: Any) -> Any:
    state = model.initial()
    for operation in operations:
        state = model.step(state, operation)[0]
    return state


def admissible_states(model: Any, operations: list[Any], failed: set[int], admitted: Window) -> list[Any]:
    """By definition: for every number of operations, with every choice of the failed ones."""
    found = []
    for count in range(admitted.lowest, admitted.highest + 1):
        doubtful = [index for index in range(count) if index in failed]
        for number in range(len(doubtful) + 1):
            for absent in itertools.combinations(doubtful, number):
                kept = [operations[index] for index in range(count) if index not in absent]
                found.append(fold(model, kept))
    return found


def some_order(data: st.DataObject, model: Any, operations: list[Any]) -> Any:
    """What a store might show: the state after some of the operations, in some order, or half of it."""
    chosen = data.draw(st.lists(st.sampled_from(operations), max_size=4)) if operations else []
    state = fold(model, chosen)
    if isinstance(state, tuple):
        return list(state)[: data.draw(st.integers(0, 4))]
    if isinstance(state, dict):
        return dict(list(state.items())[: data.draw(st.integers(0, 2))])
    return state


@MODELS
@given(st.data())
@patient
def test_admissible_is_what_the_definition_says(model: Any, data: st.DataObject) -> None:
    """Judged as broken exactly where no number of operations and no choice explains the state."""
    operations = data.draw(st.lists(SMALL[model], max_size=5))
    failed = data.draw(st.sets(st.sampled_from(range(len(operations))))) if operations else set()
    lowest, highest = sorted(data.draw(st.tuples(*[st.integers(0, len(operations))] * 2)))
    recovered = some_order(data, model, operations)
    states = admissible_states(model, operations, failed, Window(lowest, highest))
    oracle = Oracle(model, tuple(operations), failed)
    recovery = Recovery(recovered=recovered, matches=oracle.matches(recovered))
    violation = judge(oracle, recovery, Window(lowest, highest))
    assert (violation is None) == any(model.equal(recovered, state) for state in states)


@MODELS
@given(st.data())
@patient
def test_matches_are_all_numbers_of_operations_that_explain_the_state(model: Any, data: st.DataObject) -> None:
    """In ascending order, each once."""
    operations = data.draw(st.lists(SMALL[model], max_size=5))
    recovered = some_order(data, model, operations)
    expected = [
        count for count in range(len(operations) + 1) if model.equal(recovered, fold(model, operations[:count]))
    ]
    assert list(Oracle(model, tuple(operations)).matches(recovered)) == expected


@given(json_values, json_values)
@patient
def test_the_index_knows_the_equality_of_documents(left: Any, right: Any) -> None:
    """Looking up is the same as comparing."""
    assert (frozen(DOCUMENT, left) == frozen(DOCUMENT, right)) == same_json(left, right)


@pytest.mark.parametrize(
    ("saved", "recovered"),
    [
        ({"1": "a"}, {1: "a"}),
        ({"a": {"null": 0}}, {"a": {None: 0}}),
        ({"a": "\U0001f600"}, {"a": "\ud83d\ude00"}),
        ({"a": 1}, {"a": True}),
        ({"a": 0}, {"a": False}),
        ({"a": 1}, [("a", 1)]),
        ({"a": 1}, {"a": b"1"}),
        ({"a": 1}, object()),
        ({"a": float(10**15)}, {"a": 10**15 + 1}),
    ],
)
def test_what_json_would_blur_is_no_match(saved: Any, recovered: Any) -> None:
    """Keys that are no text, halves of characters and flags are not what was saved."""
    assert not DOCUMENT.equal(recovered, saved)
    assert Oracle(DOCUMENT, (Save(saved),)).matches(recovered) == ()


@pytest.mark.parametrize(
    ("model", "operation"), [(KEY_VALUE, Put("k", "v")), (DOCUMENT, Save({"k": 1})), (LOG, Append("r"))]
)
@pytest.mark.parametrize(
    "recovered", [5, "text", b"r", object(), {"k": ["v"]}, [["r"]], [{"r": 1}], {1: 2, "k": 3}, {b"k": 1}]
)
def test_a_snapshot_of_a_foreign_type_matches_nothing(model: Any, operation: Any, recovered: Any) -> None:
    """It is wrong, and no reason to fail."""
    assert Oracle(model, (operation,)).matches(recovered) == ()


# --- windows -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("promise", "expected"),
    [("acknowledged", Window(3, 4)), ("synced", Window(2, 4)), ("prefix", Window(0, 4))],
)
def test_a_promise_gives_the_lowest_number(promise: str, expected: Window) -> None:
    """What was begun bounds every promise from above."""
    assert window(promise, acknowledged=3, begun=4, synced=2) == expected


def test_a_word_that_is_no_promise_admits_nothing() -> None:
    """A claim that is not made is not judged, rather than judged leniently."""
    with pytest.raises(KeyError):
        window("none", acknowledged=0, begun=0, synced=0)


# --- failed operations -------------------------------------------------------------------------

FAILED_TWICE = (Append("a"), Append("b"), Append("c"), Append("d"))


@pytest.mark.parametrize(
    ("recovered", "admitted"),
    [
        (["a"], False),
        (["b", "d"], False),
        (["a", "d", "b"], False),
        (["a", "d"], True),
        (["a", "b", "d"], True),
        (["a", "c", "d"], True),
        (["a", "b", "c", "d"], True),
    ],
)
def test_a_failed_operation_may_have_happened_or_not(recovered: list[str], admitted: bool) -> None:
    """The choice is free for each of them; what succeeded around them must fit."""
    oracle = Oracle(LOG, FAILED_TWICE, failed=[1, 2])
    assert (4 in oracle.matches(recovered)) == admitted


def test_what_did_not_happen_need_not_be_followed_by_nothing() -> None:
    """Going on is possible from each state that the failed operation may have left."""
    oracle = Oracle(LOG, FAILED_TWICE[:2], failed={1: "OSError"})
    assert oracle.following(2, [Append("x")]) == [("a", "x"), ("a", "b", "x")]
    assert oracle.following(0, []) == [()]


def test_equal_states_are_kept_once() -> None:
    """A failed operation that changes nothing doubles nothing."""
    oracle = Oracle(KEY_VALUE, (Put("k", "v"), Put("k", "v"), Delete("l")), failed=[1, 2])
    assert [len(states) for states in oracle.states] == [1, 1, 1, 1]


def test_the_number_of_choices_is_bounded() -> None:
    """Beyond the bound the choices nearest to "nothing happened" are kept."""
    operations = tuple(Append(f"r{number}") for number in range(12))
    oracle = Oracle(LOG, operations, failed=range(12))
    assert max(map(len, oracle.states)) == BRANCH_LIMIT
    assert 12 in oracle.matches([])
    assert 12 in oracle.matches(["r0", "r5"])


# --- where it begins -----------------------------------------------------------------------------


def test_a_store_may_begin_with_something() -> None:
    """The first operation then follows that state."""
    oracle = Oracle(LOG, (Append("b"),), start=("a",))
    assert oracle.matches(["a"]) == (0,)
    assert oracle.matches(["a", "b"]) == (1,)
    assert oracle.matches(["b"]) == ()


def test_a_model_of_the_user_decides_what_is_equal() -> None:
    """It may ignore what it does not know, such as a time."""
    oracle = Oracle(StampedNote(), (Write("a"), Write("b"), Write("a")))
    assert oracle.matches({"text": "a", "time": 17}) == (1, 3)
    assert oracle.matches({"time": 17}) == ()


def test_answers_are_no_part_of_a_state() -> None:
    """An operation that answers something leaves only its state to be compared."""
    assert Oracle(Queue(), (Push("a"), Pop())).matches([]) == (0, 2)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [(Append("a"), ("a",)), (AppendMany(("a", "b")), ("a", "b")), (Sync(), ()), (Put("k", "v"), ())],
)
def test_records_of_an_operation(operation: Any, expected: tuple[str, ...]) -> None:
    """Only appends add records."""
    assert records_of(operation) == expected


@dataclass(frozen=True)
class CountedNote(StampedNote):
    """Counts how often it is asked."""

    asked: list[Any] = field(default_factory=list)

    def equal(self, recovered: Any, state: dict[str, Any]) -> bool:
        self.asked.append(recovered)
        return super().equal(recovered, state)


def test_a_model_of_the_user_is_asked_once_about_the_same_data() -> None:
    """And again where the type differs, because the model may see a difference in that."""
    model = CountedNote()
    oracle = Oracle(model, (Write("one"), Write("two"), Write("one")))
    for stamp in (1, 1, 2, True, 1):
        assert oracle.matches({"text": "one", "stamp": stamp}) == (1, 3)
    assert len(model.asked) == 3 * len(oracle.states)


def test_remembered_answers_are_bounded() -> None:
    oracle = Oracle(StampedNote(), (Write("one"),))
    for stamp in range(REMEMBERED_ANSWERS + 1):
        assert oracle.matches({"text": "one", "stamp": stamp}) == (1,)
    assert len(oracle._answers) == 1


def test_what_is_no_plain_data_is_never_remembered() -> None:
    """It may change without a trace in its copy."""
    model = CountedNote()
    oracle = Oracle(model, (Write("one"),))
    for _ in range(2):
        assert oracle.matches({"text": "one", "by": object()}) == (1,)
    assert len(model.asked) == 2 * len(oracle.states)
