"""The sequential models: pure steps, the laws of each model, equality as JSON sees it."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import (
    DOCUMENT,
    KEY_VALUE,
    LOG,
    Append,
    AppendMany,
    Compact,
    Delete,
    Get,
    Load,
    Put,
    PutMany,
    Read,
    Save,
    SequentialModel,
    Sync,
    UsageError,
)
from harness.core.models import BUILT_IN_MODELS, equals, require_pure, same_json
from tests.stores.hostile import Bump, Counter
from tests.stores.unfit import Accounts, Objects, Prickly, Tally, nested
from tests.unit.core.strategies import (
    batches,
    document_operations,
    documents,
    json_values,
    key_value_operations,
    keys,
    log_operations,
    patient,
    reads,
    records,
    texts,
)

OPERATIONS = {"KEY_VALUE": key_value_operations, "DOCUMENT": document_operations, "LOG": log_operations}
FOREIGN: list[tuple[Any, Any]] = [
    (KEY_VALUE, Append("r")),
    (KEY_VALUE, Load()),
    (DOCUMENT, Put("k", "v")),
    (DOCUMENT, Get("k")),
    (LOG, Save({})),
    (LOG, Delete("k")),
]

snapshots = st.dictionaries(keys, texts, max_size=3)
logs = st.lists(texts, max_size=4).map(tuple)


def run(model: Any, state: Any, operations: list[Any]) -> Any:
    for operation in operations:
        state = model.step(state, operation)[0]
    return state


def canonical(value: Any) -> Any:
    """A JSON value with its types spelled out: an independent definition of equality."""
    match value:
        case bool():
            return ("boolean", value)
        case int() | float():
            return ("number", value)
        case dict():
            return ("object", frozenset((key, canonical(item)) for key, item in value.items()))
        case list() | tuple():
            return ("array", tuple(map(canonical, value)))
    return (type(value).__name__, value)


def retyped(value: Any) -> Any:
    """The same JSON in other Python types: floats for small integers, tuples for lists."""
    match value:
        case bool():
            return value
        case int() if abs(value) < 2**50:
            return float(value)
        case dict():
            return {key: retyped(item) for key, item in reversed(value.items())}
        case list():
            return tuple(map(retyped, value))
    return value


# --- equality --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (True, 1),
        (False, 0),
        (1.0, True),
        (None, False),
        (None, 0),
        ("1", 1),
        ("", None),
        ([], {}),
        ([1], [True]),
        ([1], [1, 1]),
        ({"a": 0}, {"a": False}),
        ({"a": None}, {}),
        ({"a": {"b": [1]}}, {"a": {"b": [True]}}),
    ],
)
def test_different_json_is_not_equal(left: Any, right: Any) -> None:
    """A flag that became a number is damage, though Python calls them equal."""
    assert not same_json(left, right)
    assert not same_json(right, left)


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, 1.0), (0, -0.0), ([1], (1.0,)), ({"a": 1, "b": [2]}, {"b": [2.0], "a": 1}), (True, True)],
)
def test_the_same_json_in_other_types_is_equal(left: Any, right: Any) -> None:
    """A store that gives 1.0 for 1, or keys in another order, has lost nothing."""
    assert same_json(left, right)


@given(json_values, json_values)
@patient
def test_equality_is_that_of_json(left: Any, right: Any) -> None:
    """Values are equal exactly where their canonical forms are."""
    assert same_json(left, right) == (canonical(left) == canonical(right))
    assert same_json(left, right) == same_json(right, left)


@given(json_values)
@patient
def test_a_copy_in_other_types_is_equal(value: Any) -> None:
    """Reading JSON back may change Python types, never the value."""
    assert same_json(value, retyped(value))
    assert same_json(value, copy.deepcopy(value))


# --- every model -----------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "operation"), FOREIGN)
def test_an_operation_of_another_model_is_refused(model: Any, operation: Any) -> None:
    """Nothing is skipped silently: the message names model and operation."""
    with pytest.raises(TypeError, match=f"{model.name} has no operation {type(operation).__name__}"):
        model.step(model.initial(), operation)


@pytest.mark.parametrize("model", BUILT_IN_MODELS, ids=lambda model: str(model.name))
@given(st.data())
@patient
def test_a_step_does_not_change_its_argument(model: Any, data: st.DataObject) -> None:
    """The oracle keeps every state; a step that wrote into one would falsify all before it."""
    state = run(model, model.initial(), data.draw(st.lists(OPERATIONS[model.name], max_size=4)))
    before = copy.deepcopy(state)
    operation = data.draw(OPERATIONS[model.name] | reads)
    if isinstance(operation, (*model.mandatory, *model.optional)):
        model.step(state, operation)
    assert canonical(state) == canonical(before)


@pytest.mark.parametrize("model", BUILT_IN_MODELS, ids=lambda model: str(model.name))
@pytest.mark.parametrize("operation", [Sync(), Compact()])
@given(st.data())
@patient
def test_maintenance_changes_nothing_visible(model: Any, operation: Any, data: st.DataObject) -> None:
    """Sync and Compact leave the state and answer nothing."""
    state = run(model, model.initial(), data.draw(st.lists(OPERATIONS[model.name], max_size=4)))
    after, answer = model.step(state, operation)
    assert model.equal(after, state)
    assert answer is None


@pytest.mark.parametrize("model", BUILT_IN_MODELS, ids=lambda model: str(model.name))
def test_a_built_in_model_has_the_form_of_any_model(model: Any) -> None:
    """The built-in models use no privilege that a user's own lacks; their initial state is fresh."""
    assert isinstance(model, SequentialModel)
    assert model.equal(model.initial(), model.initial())
    assert not isinstance(object(), SequentialModel)


# --- key-value -------------------------------------------------------------------------------


@given(snapshots, keys, texts, texts)
@patient
def test_the_last_put_wins(state: dict[str, str], key: str, old: str, new: str) -> None:
    """A value replaces the one before it and no other key's."""
    after = run(KEY_VALUE, state, [Put(key, old), Put(key, new)])
    assert KEY_VALUE.step(after, Get(key)) == (after, new)
    assert {k: v for k, v in after.items() if k != key} == {k: v for k, v in state.items() if k != key}


@given(snapshots, keys)
@patient
def test_deleting_twice_is_deleting_once(state: dict[str, str], key: str) -> None:
    """Deleting what is absent is no error, and changes nothing."""
    once = run(KEY_VALUE, state, [Delete(key)])
    assert run(KEY_VALUE, once, [Delete(key)]) == once
    assert KEY_VALUE.step(once, Get(key))[1] is None


@given(snapshots, batches)
@patient
def test_a_batch_is_its_puts_in_order(state: dict[str, str], items: tuple[tuple[str, str], ...]) -> None:
    """Of two values for one key in a batch the later stays."""
    one_by_one: list[Any] = [Put(key, value) for key, value in items]
    assert run(KEY_VALUE, state, [PutMany(items)]) == run(KEY_VALUE, state, one_by_one)


@pytest.mark.parametrize("recovered", [None, [], [("k1", "v")], "k1", {"k1": "V"}, {"k1": "v", "k2": ""}])
def test_another_snapshot_is_not_the_mapping(recovered: Any) -> None:
    """A missing, extra or changed pair, or another type, is not equal."""
    assert not KEY_VALUE.equal(recovered, {"k1": "v"})
    assert KEY_VALUE.equal({"k1": "v"}, {"k1": "v"})


# --- document --------------------------------------------------------------------------------


@given(documents, documents)
@patient
def test_a_save_replaces_the_whole(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Nothing of the old document shows through."""
    state = run(DOCUMENT, None, [Save(old), Save(new)])
    assert canonical(DOCUMENT.step(state, Load())[1]) == canonical(new)


def test_before_the_first_save_there_is_no_document() -> None:
    """`None` is not an empty document."""
    assert DOCUMENT.step(DOCUMENT.initial(), Load()) == (None, None)
    assert not DOCUMENT.equal({}, DOCUMENT.initial())
    assert not DOCUMENT.equal(None, {})
    assert not DOCUMENT.equal({"flag": 1}, {"flag": True})


# --- log -------------------------------------------------------------------------------------


@given(logs, records)
@patient
def test_a_batch_is_its_records_in_order(state: tuple[str, ...], batch: tuple[str, ...]) -> None:
    """A batch appends what its records would, and answers the position of the first."""
    one_by_one: list[Any] = [Append(record) for record in batch]
    after, position = LOG.step(state, AppendMany(batch))
    assert after == run(LOG, state, one_by_one)
    assert position == len(state)
    assert LOG.step(after, Read(position))[1] == list(batch)


@given(logs, texts)
@patient
def test_an_append_keeps_what_is_there(state: tuple[str, ...], record: str) -> None:
    """The record goes to the end; its position is the number of records before."""
    after, position = LOG.step(state, Append(record))
    assert after[:-1] == state
    assert after[position] == record
    assert LOG.step(after, Read(position + 1)) == (after, [])


@pytest.mark.parametrize("recovered", [None, {}, "ab", ["b", "a"], ["a"], ["a", "b", "b"], {"a", "b"}])
def test_another_snapshot_is_not_the_log(recovered: Any) -> None:
    """Order, number and type count; a list or a tuple is both right."""
    assert not LOG.equal(recovered, ("a", "b"))
    assert LOG.equal(["a", "b"], ("a", "b"))
    assert LOG.equal(("a", "b"), ("a", "b"))


# --- what a model of the user's own may not do, and what a damaged store may show -----------------


def test_a_step_that_changes_its_state_is_told_with_the_operation() -> None:
    """A dict or an object, at the first operation that does so."""
    for model in (Accounts(), Objects()):
        with pytest.raises(UsageError, match=r"step of the model changes the state that it is given \(in Bump\(3\)\)"):
            require_pure(model, [Bump(3), Bump(4)])


def test_a_step_that_changes_what_its_state_holds_is_told() -> None:
    """The outer dict is a new one, the list in it is the old one."""

    class Shallow(Counter):
        def initial(self) -> Any:
            return {}

        def step(self, state: Any, operation: Any) -> tuple[Any, Any]:
            after = dict(state)
            after.setdefault("all", []).append(operation.by)
            return after, None

    require_pure(Shallow(), [Bump(1)])
    with pytest.raises(UsageError):
        require_pure(Shallow(), [Bump(1), Bump(2)])


def test_pure_steps_are_left_alone() -> None:
    """Also where nothing is equal to a state but itself, where nothing can be copied, and where a step raises."""

    class Fresh(Objects):
        def step(self, state: Any, operation: Any) -> tuple[Any, Any]:
            after = Tally()
            after.count = state.count + operation.by
            return after, None

    class Locked(Counter):
        def initial(self) -> Any:
            return threading.Lock()

        def step(self, state: Any, operation: Any) -> tuple[Any, Any]:
            return state, None

    class Raises(Counter):
        def step(self, state: Any, operation: Any) -> tuple[Any, Any]:
            raise ArithmeticError

    for model in (Counter(), Fresh(), Locked(), Raises()):
        require_pure(model, [Bump(1), Bump(2), Bump(3)])
    require_pure(KEY_VALUE, [Put("a", "1"), Delete("a"), Put("a", "2")])


def test_what_cannot_be_compared_equals_nothing() -> None:
    """And raises nothing: values of a strange type, and what is nested too deep."""
    for value in (Prickly(), nested(100_000)):
        assert not same_json(value, {}) and not same_json({"a": value}, {"a": 1})
        assert not equals(KEY_VALUE, {"a": value}, {"a": "1"}) and not equals(LOG, [value], ("1",))
        assert not equals(DOCUMENT, {"a": value}, {"a": nested(100_000)})
