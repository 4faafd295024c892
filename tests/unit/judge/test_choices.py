"""Does some choice of what became of the failed operations explain a state? Held against trying all choices."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.models import DOCUMENT, KEY_VALUE, LOG
from harness.core.operations import Append, AppendMany, Compact, Delete, Put, PutMany, Save, Sync
from harness.judge.choices import (
    STATES_LIMIT,
    Account,
    Answer,
    Relapse,
    Settled,
    explain,
    of_key,
    outcomes,
    possible_states,
)
from tests.unit.judge.own_models import Add, Pop, Push, Queue, Sum


def failing(operations: list[Any], *failed: int, relapses: tuple[Relapse, ...] = ()) -> Account:
    return Account(tuple(operations), frozenset(failed), relapses)


# --- what must be caught, and what must not ------------------------------------------------------


def test_an_acknowledged_record_must_be_there_however_many_others_failed() -> None:
    records = [Append(str(number)) for number in range(400)]
    account = failing(records, *range(1, 400))
    assert explain(LOG, account, [str(number) for number in range(1, 400)]) is Answer.NO
    assert explain(LOG, account, ["0"]) is Answer.YES
    assert explain(LOG, account, ["0", "7", "399"]) is Answer.YES
    assert explain(LOG, account, ["0", "399", "7"]) is Answer.NO


def test_a_batch_that_failed_happens_whole_or_not_at_all() -> None:
    log = failing([Append("a"), AppendMany(("b", "c"))], 1)
    assert explain(LOG, log, ["a", "b"]) is Answer.NO
    assert explain(LOG, log, ["a", "b", "c"]) is Answer.YES
    table = failing([PutMany((("x", "1"), ("y", "1"))), PutMany((("x", "2"), ("y", "2")))], 1)
    assert explain(KEY_VALUE, table, {"x": "2", "y": "1"}) is Answer.NO
    assert explain(KEY_VALUE, table, {"x": "2", "y": "2"}) is Answer.YES


def test_a_document_is_the_last_acknowledged_or_a_later_failed_one() -> None:
    account = failing([Save({"n": 0}), Save({"n": 1}), Save({"n": 2}), Save({"n": 3})], 2, 3)
    assert explain(DOCUMENT, account, {"n": 0}) is Answer.NO
    assert [explain(DOCUMENT, account, {"n": n}) for n in (1, 2, 3)] == [Answer.YES] * 3
    assert explain(DOCUMENT, failing([Save({"n": 0})], 0), None) is Answer.YES
    assert explain(DOCUMENT, failing([Save({"n": 0})]), None) is Answer.NO


def test_a_deleted_key_stays_away_unless_the_deletion_failed() -> None:
    operations = [Put("k", "1"), Delete("k")]
    assert explain(KEY_VALUE, failing(operations), {"k": "1"}) is Answer.NO
    assert explain(KEY_VALUE, failing(operations, 1), {"k": "1"}) is Answer.YES
    assert explain(KEY_VALUE, failing(operations), {}) is Answer.YES
    assert explain(KEY_VALUE, failing(operations), {"other": "1"}) is Answer.NO


def test_what_is_no_snapshot_of_the_model_is_not_explained() -> None:
    assert explain(LOG, failing([]), "text") is Answer.NO
    assert explain(KEY_VALUE, failing([]), ["text"]) is Answer.NO
    assert explain(DOCUMENT, failing([Save({"n": 1})]), {"n": True}) is Answer.NO


def test_a_relapse_takes_the_last_operations_before_it_and_none_after() -> None:
    operations = [Append("a"), Append("b"), Sync(), Append("c"), Append("d"), Append("e")]
    account = failing(operations, relapses=(Relapse(5, 3),))
    assert explain(LOG, account, ["a", "b", "e"]) is Answer.YES
    assert explain(LOG, account, ["a", "b", "c", "e"]) is Answer.YES
    assert explain(LOG, account, ["a", "e"]) is Answer.NO, "what was synced is owed"
    assert explain(LOG, account, ["a", "b", "d", "e"]) is Answer.NO, "no hole"
    assert explain(LOG, account, ["a", "b", "c", "d"]) is Answer.NO, "what came after the error is owed"


def test_a_state_tells_what_became_of_a_failed_operation_or_does_not() -> None:
    table = failing([Put("a", "1"), Put("a", "2"), Put("b", "3"), Put("a", "2"), Compact()], 1, 2, 3, 4)
    assert outcomes(KEY_VALUE, table, {"a": "2"}) == {2: False}  # either of the two that wrote it, or both
    assert outcomes(KEY_VALUE, table, {"a": "1", "b": "3"}) == {1: False, 2: True, 3: False}
    assert outcomes(KEY_VALUE, table, {"a": "9"}) == {}
    queue = failing([Push("a"), Push("b")], 1)
    assert outcomes(Queue(), queue, ["a", "b"]) == {1: True}
    assert outcomes(Queue(), queue.settling(1, happened=False), ["a", "b"]) == {}
    assert explain(Queue(), queue.settling(1, happened=False), ["a", "b"]) is Answer.NO


def test_maintenance_changes_nothing() -> None:
    account = failing([Put("k", "1"), Compact(), Sync()], 1)
    assert explain(KEY_VALUE, account, {"k": "1"}) is Answer.YES


def test_one_key_of_an_account() -> None:
    account = of_key(failing([PutMany((("k", "1"), ("l", "2"))), Delete("l"), Put("k", "3")], 2), "k")
    assert explain(KEY_VALUE, account, {"k": "1"}) is Answer.YES
    assert explain(KEY_VALUE, account, {"k": "3"}) is Answer.YES
    assert explain(KEY_VALUE, account, {"k": "2"}) is Answer.NO


# --- models of the user's own ----------------------------------------------------------------------


def test_where_the_search_is_cut_the_answer_is_unknown_and_never_no() -> None:
    operations = [Add(2**number) for number in range(12)]
    account = failing(operations, *range(12))
    assert len(possible_states(Sum(), account)[0]) == STATES_LIMIT
    answers = {explain(Sum(), account, value) for value in range(1, 2**12, 157)}
    assert answers == {Answer.YES, Answer.UNKNOWN}
    assert explain(Sum(), account, 0) is Answer.YES
    assert explain(Sum(), account, 2**12 - 1) is Answer.YES


def test_with_few_failed_operations_an_own_model_is_decided() -> None:
    account = failing([Add(1), Add(2), Add(4)], 1)
    assert [explain(Sum(), account, value) for value in (5, 7)] == [Answer.YES] * 2
    assert [explain(Sum(), account, value) for value in (1, 2, 6, "x")] == [Answer.NO] * 4


def test_an_operation_that_its_model_refuses_can_not_have_happened() -> None:
    account = failing([Push("a"), Pop(), Push("b")], 0)
    assert explain(Queue(), account, ["b"]) is Answer.YES
    assert explain(Queue(), account, ["a", "b"]) is Answer.NO


def test_where_the_model_can_not_follow_what_was_acknowledged_nothing_is_decided() -> None:
    assert explain(Queue(), failing([Pop()]), ["b"]) is Answer.UNKNOWN


# --- the oracle of a recovery -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "account", "shown", "other"),
    [
        (LOG, failing([Append("a"), Append("b")], 1), ["a"], ["a", "b"]),
        (KEY_VALUE, failing([Put("k", "1"), Put("k", "2")], 1), {"k": "1"}, {"k": "2"}),
        (DOCUMENT, failing([Save({"n": 1}), Save({"n": 2})], 1), {"n": 1}, {"n": 2}),
        (Sum(), failing([Add(1), Add(2)], 1), 1, 3),
    ],
)
def test_what_a_failed_operation_left_is_settled_by_the_first_reading(
    model: Any, account: Account, shown: Any, other: Any
) -> None:
    oracle = Settled(model, account)
    assert oracle.matches(shown) == (0,)
    assert oracle.matches(other) == ()
    assert oracle.answer is Answer.YES
    assert any(model.equal(shown, state) for state in oracle.following(0, ()))


def test_a_state_that_can_not_be_explained_settles_nothing() -> None:
    oracle = Settled(LOG, failing([Append("a")]))
    assert oracle.matches([]) == ()
    assert oracle.answer is Answer.NO
    assert oracle.matches(["a"]) == ()


def test_the_settled_state_is_gone_on_from() -> None:
    oracle = Settled(LOG, failing([Append("a")]))
    oracle.matches(["a"])
    assert oracle.following(0, [Append("b")]) == [("a", "b")]


# --- held against trying everything -----------------------------------------------------------------

_KEYS, _VALUES = st.sampled_from("kl"), st.sampled_from("12")
_PUTS = st.builds(Put, _KEYS, _VALUES)
_BATCHES = st.lists(st.tuples(_KEYS, _VALUES), min_size=1, max_size=2).map(lambda items: PutMany(tuple(items)))
_RECORDS = st.sampled_from("ab")
OPERATIONS = {
    KEY_VALUE: _PUTS | st.builds(Delete, _KEYS) | _BATCHES,
    LOG: st.builds(Append, _RECORDS) | st.lists(_RECORDS, min_size=1, max_size=2).map(lambda r: AppendMany(tuple(r))),
    DOCUMENT: st.builds(Save, st.fixed_dictionaries({"n": st.integers(0, 2)})) | st.just(Sync()),
}


def every_history(account: Account) -> set[tuple[int, ...]]:
    """The numbers of the operations that happened, for every choice."""
    histories: set[tuple[int, ...]] = {()}
    kept_at: list[set[tuple[int, ...]]] = [histories]
    for index in range(len(account.operations)):
        after = {(*history, index) for history in histories if index not in account.never}
        if index in account.failed | account.never:
            after |= histories
        for relapse in account.relapses:
            if relapse.at == index + 1:
                # What there was at an earlier moment, and nothing since.
                after |= set().union(*kept_at[relapse.floor : index + 1])
        histories = after
        kept_at.append(after)
    return histories


def state_after(model: Any, account: Account, history: tuple[int, ...]) -> Any:
    state = model.initial()
    for index in history:
        state = model.step(state, account.operations[index])[0]
    return state


@st.composite
def accounts(draw: st.DrawFn, model: Any) -> Account:
    operations = draw(st.lists(OPERATIONS[model], max_size=6))
    fates = draw(st.lists(st.sampled_from(("done", "failed", "failed", "never")), min_size=6, max_size=6))
    failed, never = (
        frozenset(index for index in range(len(operations)) if fates[index] == fate) for fate in ("failed", "never")
    )
    relapses = []
    for at in range(1, len(operations) + 1):
        if draw(st.integers(0, 4)) == 0:
            relapses.append(Relapse(at, draw(st.integers(0, at - 1))))
    return Account(tuple(operations), failed, tuple(relapses), never)


def possible_snapshots(model: Any) -> list[Any]:
    if model is KEY_VALUE:
        return [
            {key: value for key, value in zip("kl", values, strict=True) if value}
            for values in itertools.product(("", "1", "2"), repeat=2)
        ]
    if model is DOCUMENT:
        return [None, *({"n": n} for n in range(4))]
    return [list(records) for size in range(6) for records in itertools.product("ab", repeat=size)]


@pytest.mark.parametrize("model", [KEY_VALUE, LOG, DOCUMENT], ids=lambda model: model.name)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_it_agrees_with_trying_every_choice(model: Any, data: st.DataObject) -> None:
    account = data.draw(accounts(model))
    reached = [state_after(model, account, history) for history in every_history(account)]
    for shown in possible_snapshots(model):
        expected = Answer.YES if any(model.equal(shown, state) for state in reached) else Answer.NO
        assert explain(model, account, shown) is expected, shown
