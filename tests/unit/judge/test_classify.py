"""What kind of wrong a state is: first the defects of each model, then what is sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import DOCUMENT, KEY_VALUE, LOG, Append, AppendMany, Compact, Delete, Put, PutMany, Save, Sync
from harness.judge.classify import SEARCHED_OPERATIONS, Violation, is_part, leaves
from harness.judge.oracle import Oracle, Window
from harness.judge.recovery import Recovery, judge
from tests.stores.unfit import Prickly, nested
from tests.unit.core.strategies import (
    document_operations,
    json_values,
    key_value_operations,
    log_operations,
    patient,
)
from tests.unit.judge.own_models import Grid, Pop, Push, Queue, StampedNote, Write

LOST, TORN, PHANTOM = "lost_acknowledged", "torn_operation", "phantom"
ALL = -1


@dataclass(frozen=True)
class Case:
    """A recovered state. All operations were acknowledged and begun, unless it says otherwise."""

    name: str
    operations: tuple[Any, ...]
    recovered: Any
    kind: str = ""
    words: str = ""
    concerned: tuple[int, ...] = ()
    acknowledged: int = ALL
    begun: int = ALL
    failed: tuple[int, ...] = ()


def judged(model: Any, case: Case) -> Violation | None:
    count = len(case.operations)
    admissible = Window(
        count if case.acknowledged == ALL else case.acknowledged, count if case.begun == ALL else case.begun
    )
    oracle = Oracle(model, case.operations, case.failed)
    recovery = Recovery(recovered=case.recovered, matches=oracle.matches(case.recovered))
    return judge(oracle, recovery, admissible)


def assert_broken(model: Any, case: Case) -> None:
    violation = judged(model, case)
    assert violation is not None
    assert violation.kind == case.kind, violation
    assert case.words in violation.sentence
    assert violation.operations == case.concerned
    assert violation.sentence and "\n" not in violation.sentence


def name(case: Case) -> str:
    return case.name


# --- key-value -----------------------------------------------------------------------------------

ALPHA, BETA, GAMMA = Put("k1", "alpha-1x"), Put("k2", "beta-2yy"), Put("k3", "gamma-3z")
BATCH = PutMany((("k1", "gamma-3"), ("k3", "delta-4")))
PAIR, OTHER_PAIR = PutMany((("k1", "one"), ("k2", "two"))), PutMany((("k1", "six"), ("k2", "ten")))

KEY_VALUE_DEFECTS = [
    Case("lost", (ALPHA,), {}, LOST, "Put('k1', 'alpha-1x') was promised", (0,)),
    Case("several lost", (ALPHA, BETA, GAMMA), {}, LOST, "3 operations", (0, 1, 2)),
    Case("the last two lost", (ALPHA, BETA, GAMMA), {"k1": "alpha-1x"}, LOST, "from Put('k2'", (1, 2)),
    Case("overwrite lost", (Put("k1", "old"), Put("k1", "new")), {"k1": "old"}, LOST, "'new'", (1,)),
    Case("last delete lost", (ALPHA, Delete("k1")), {"k1": "alpha-1x"}, LOST, "Delete('k1')", (1,)),
    Case("batch lost", (BATCH,), {}, LOST, "PutMany", (0,)),
    Case("hole", (ALPHA, BETA), {"k2": "beta-2yy"}, LOST, "though later", (0,)),
    Case("hole of two", (ALPHA, BETA, GAMMA), {"k3": "gamma-3z"}, LOST, " and Put('k2'", (0, 1)),
    Case("hole, not owed", (ALPHA, BETA), {"k2": "beta-2yy"}, TORN, "is missing", (0,), acknowledged=0),
    Case(
        "resurrected",
        (ALPHA, Delete("k1"), BETA),
        {"k1": "alpha-1x", "k2": "beta-2yy"},
        PHANTOM,
        "deleted is back",
        (1,),
    ),
    Case("nobody's key", (ALPHA,), {"k1": "alpha-1x", "zz": "9"}, PHANTOM, "'zz' has the value '9'"),
    Case("nobody's value", (ALPHA,), {"k1": "#"}, PHANTOM, "nobody wrote"),
    Case("not begun yet", (ALPHA, BETA), {"k1": "alpha-1x", "k2": "beta-2yy"}, PHANTOM, "k2", begun=1),
    Case("only NULs", (ALPHA,), {"k1": "\0" * 8}, PHANTOM, "nobody wrote"),
    Case("NUL tail", (ALPHA,), {"k1": "alpha\0\0\0"}, TORN, "part of what was written"),
    Case("NULs beyond the end", (ALPHA,), {"k1": "alpha-1x\0"}, TORN, "part of what was written"),
    Case("half a value", (ALPHA,), {"k1": "alph"}, TORN, "part of what was written"),
    Case("end of a value", (ALPHA,), {"k1": "ha-1x"}, TORN, "part of what was written"),
    Case("value and garbage", (ALPHA,), {"k1": "alpha-#####"}, TORN, "part of what was written"),
    Case("half a key", (Put("first-key", "v"),), {"first": "v"}, TORN, "the key is part"),
    Case("half a key, half a value", (Put("first-key", "value"),), {"first": "val"}, TORN, "the key is part"),
    Case("tail of a longer value", (Put("k1", "longer-one"), Put("k1", "brief")), {"k1": "briefr-one"}, TORN),
    Case("half a batch", (BATCH,), {"k1": "gamma-3"}, TORN, "mixture"),
    Case("half a batch, not owed", (BATCH,), {"k3": "delta-4"}, TORN, "mixture", acknowledged=0),
    Case("mixture", (PAIR, OTHER_PAIR), {"k1": "six", "k2": "two"}, TORN, "mixture"),
    Case("values exchanged", (PAIR,), {"k1": "two", "k2": "one"}, TORN, "to another key"),
    Case("half of another's value", (ALPHA, BETA), {"k1": "beta-2"}, TORN, "to another key"),
    Case("garbage where nothing was", (Put("k1", ""),), {"k1": "#"}, PHANTOM, "nobody wrote"),
    Case("None", (ALPHA,), None, TORN, "a NoneType, not a dict"),
    Case("list of pairs", (ALPHA,), [("k1", "alpha-1x")], TORN, "a list, not a dict"),
    Case("list for a value", (ALPHA,), {"k1": ["x"]}, PHANTOM, "nobody wrote"),
    Case("bytes", (ALPHA,), {b"zz": b"9"}, PHANTOM, "nobody wrote"),
    Case("mixed types of keys", (ALPHA,), {"k1": {1: 2, "a": 3}}, PHANTOM, "nobody wrote"),
    Case("before anything began", (ALPHA,), {"zz": "9"}, PHANTOM, "zz", acknowledged=0, begun=0),
    Case("failure hides no loss", (ALPHA, BETA), {"k2": "beta-2yy"}, LOST, "k1", (0,), failed=(1,)),
]

KEY_VALUE_SOUND = [
    Case("everything", (ALPHA, BETA), {"k1": "alpha-1x", "k2": "beta-2yy"}),
    Case("unacknowledged, gone", (ALPHA, BETA), {"k1": "alpha-1x"}, acknowledged=1),
    Case("unacknowledged, there", (ALPHA, BETA), {"k2": "beta-2yy", "k1": "alpha-1x"}, acknowledged=1),
    Case("more than owed, a prefix", (ALPHA, BETA, GAMMA), {"k1": "alpha-1x"}, acknowledged=0),
    Case("nothing yet", (), {}),
    Case("whole batch", (BATCH,), {"k1": "gamma-3", "k3": "delta-4"}, acknowledged=0),
    Case("no batch", (BATCH,), {}, acknowledged=0),
    Case("the same value twice", (ALPHA, ALPHA), {"k1": "alpha-1x"}),
    Case("deleted", (ALPHA, Delete("k1"), Delete("k2")), {}),
    Case("maintenance lost", (ALPHA, Sync(), Compact()), {"k1": "alpha-1x"}),
    Case("failed, not there", (ALPHA, BETA), {"k1": "alpha-1x"}, failed=(1,)),
    Case("failed, there", (ALPHA, BETA), {"k1": "alpha-1x", "k2": "beta-2yy"}, failed=(0, 1)),
    Case("NUL that was written", (Put("", "\0"),), {"": "\0"}),
    Case("empty value that was written", (ALPHA, Put("k1", "")), {"k1": ""}),
]


@pytest.mark.parametrize("case", KEY_VALUE_DEFECTS, ids=name)
def test_a_broken_mapping_is_named_for_what_it_is(case: Case) -> None:
    """The first kind that applies, in a sentence with the operation or value at fault."""
    assert_broken(KEY_VALUE, case)


@pytest.mark.parametrize("case", KEY_VALUE_SOUND, ids=name)
def test_a_sound_mapping_is_not_flagged(case: Case) -> None:
    """What a correct store could show is no violation."""
    assert judged(KEY_VALUE, case) is None


# --- log -------------------------------------------------------------------------------------------

A, B, C = Append("alpha-1"), Append("beta-22"), Append("gamma-3")
AB = AppendMany(("alpha-1", "beta-22"))

LOG_DEFECTS = [
    Case("lost", (A, B), ["alpha-1"], LOST, "Append('beta-22') was promised", (1,)),
    Case("all lost", (A, B), [], LOST, "2 operations", (0, 1)),
    Case("batch lost", (C, AB), ["gamma-3"], LOST, "AppendMany", (1,)),
    Case("hole", (A, B, C), ["alpha-1", "gamma-3"], LOST, "though later records", (1,)),
    Case("hole at the start", (A, Sync(), B, C), ["gamma-3"], LOST, "Append('alpha-1')", (0, 2)),
    Case("hole, not owed", (A, B), ["beta-22"], TORN, "is missing", (0,), acknowledged=0),
    Case("beginning of a batch", (AB,), ["alpha-1"], TORN, "part of a batch"),
    Case("end of a batch", (AB, C), ["beta-22", "gamma-3"], TORN, "part of a batch", acknowledged=0),
    Case("other order", (A, B), ["beta-22", "alpha-1"], TORN, "another order"),
    Case("other order in a batch", (AB,), ["beta-22", "alpha-1"], TORN, "another order", acknowledged=0),
    Case("duplicate", (A, B), ["alpha-1", "beta-22", "beta-22"], PHANTOM, "more often"),
    Case("batch twice", (AB,), ["alpha-1", "beta-22"] * 2, PHANTOM, "more often"),
    Case("half a record", (A, B), ["alpha-1", "beta"], TORN, "part of what was appended"),
    Case("NUL tail", (A,), ["alph\0\0\0"], TORN, "part of what was appended"),
    Case("two records glued", (A, B), ["alpha-1beta-22"], TORN, "part of what was appended"),
    Case("only NULs", (A,), ["\0" * 7], PHANTOM, "by nobody"),
    Case("empty record", (A,), ["alpha-1", ""], PHANTOM, "by nobody"),
    Case("nobody's record", (A,), ["alpha-1", "#"], PHANTOM, "by nobody"),
    Case("not begun yet", (A, C), ["alpha-1", "gamma-3"], PHANTOM, "gamma-3", begun=1),
    Case("None", (A,), None, TORN, "a NoneType, not a list"),
    Case("dict", (A,), {"alpha-1": 0}, TORN, "a dict, not a list"),
    Case("text", (A,), "alpha-1", TORN, "a str, not a list"),
    Case("lists for records", (A,), [[1]], PHANTOM, "[1] was appended by nobody"),
    Case("numbered records", (A,), [(0, "#")], PHANTOM, "by nobody"),
    Case("failed one twice", (A, B), ["alpha-1", "beta-22", "beta-22"], PHANTOM, "more often", failed=(1,)),
]

LOG_SOUND = [
    Case("everything", (A, AB), ["alpha-1", "alpha-1", "beta-22"]),
    Case("as a tuple", (A, B), ("alpha-1", "beta-22")),
    Case("unacknowledged, gone", (A, B), ["alpha-1"], acknowledged=1),
    Case("unacknowledged, there", (A, B), ["alpha-1", "beta-22"], acknowledged=1),
    Case("a prefix", (A, B, C), ["alpha-1"], acknowledged=0),
    Case("no batch", (A, AB), ["alpha-1"], acknowledged=1),
    Case("maintenance", (A, Compact(), Sync()), ["alpha-1"]),
    Case("failed, not there", (A, B, C), ["alpha-1", "gamma-3"], failed=(1,)),
    Case("failed, there", (A, B, C), ["alpha-1", "beta-22", "gamma-3"], failed=(1,)),
    Case("empty record that was appended", (Append(""),), [""]),
    Case("nothing yet", (), []),
]


@pytest.mark.parametrize("case", LOG_DEFECTS, ids=name)
def test_a_broken_log_is_named_for_what_it_is(case: Case) -> None:
    """Holes, halves, duplicates and strangers are told apart."""
    assert_broken(LOG, case)


@pytest.mark.parametrize("case", LOG_SOUND, ids=name)
def test_a_sound_log_is_not_flagged(case: Case) -> None:
    """What a correct store could show is no violation."""
    assert judged(LOG, case) is None


# --- document ----------------------------------------------------------------------------------------

FIRST, SECOND = Save({"name": "alpha-1", "n": 12345}), Save({"name": "omega-2", "n": 67890})
NESTED = Save({"outer": {"inner": [1, "two"]}, "flag": True})

DOCUMENT_DEFECTS = [
    Case("lost", (FIRST,), None, LOST, "Save(", (0,)),
    Case("reverted", (FIRST, SECOND), {"name": "alpha-1", "n": 12345}, LOST, "omega-2", (1,)),
    Case("reverted by two", (FIRST, SECOND, NESTED), {"n": 12345, "name": "alpha-1"}, LOST, "2 ", (1, 2)),
    Case("a field missing", (FIRST,), {"name": "alpha-1"}, TORN, "part of one"),
    Case("mixture", (FIRST, SECOND), {"name": "omega-2", "n": 12345}, TORN, "mixture"),
    Case("half a text", (FIRST,), {"name": "alph", "n": 12345}, TORN, "name is 'alph', part"),
    Case("half a number", (FIRST,), {"name": "alpha-1", "n": 123}, TORN, "n is 123, part"),
    Case("inner part", (NESTED,), {"inner": [1, "two"]}, TORN, "part of what was written"),
    Case("shorter list", (NESTED,), {"outer": {"inner": [1]}, "flag": True}, TORN, "part of one"),
    Case("NUL tail", (FIRST,), {"name": "alpha\0\0", "n": 12345}, TORN, "name is"),
    Case("nobody's text", (FIRST,), {"name": "#", "n": 12345}, PHANTOM, "name is '#', which nobody wrote"),
    Case("nobody's field", (FIRST,), {"name": "alpha-1", "n": 12345, "x": 7}, PHANTOM, "x is 7"),
    Case("flag for number", (Save({"n": 1}),), {"n": True}, PHANTOM, "n is True"),
    Case("number for flag", (NESTED,), {"outer": {"inner": [1, "two"]}, "flag": 1}, PHANTOM, "flag is 1"),
    Case("nested stranger", (NESTED,), {"outer": {"inner": [1, "#"]}}, PHANTOM, "outer.inner[1] is '#'"),
    Case("empty", (FIRST,), {}, PHANTOM, "the document is {}"),
    Case("not begun yet", (FIRST, SECOND), {"name": "omega-2", "n": 67890}, PHANTOM, "omega-2", begun=1),
    Case("number keys", (Save({"1": "a"}),), {1: "a"}, TORN, "mixture"),
    Case("mixed types of keys", (FIRST,), {1: "#", "b": "#"}, PHANTOM, "nobody wrote"),
    Case("bytes as keys", (FIRST,), {b"name": "#"}, PHANTOM, "nobody wrote"),
    Case("a list", (FIRST,), [9, 9], PHANTOM, "[0] is 9"),
    Case("a scalar", (FIRST,), 5.5, PHANTOM, "the document is 5.5"),
    Case("failed one in part", (FIRST, SECOND), {"name": "omega-2"}, TORN, "part of one", failed=(1,)),
]

DOCUMENT_SOUND = [
    Case("the last one", (FIRST, SECOND), {"name": "omega-2", "n": 67890}),
    Case("none yet", (), None),
    Case("unacknowledged, gone", (FIRST, SECOND), {"name": "alpha-1", "n": 12345}, acknowledged=1),
    Case("a prefix", (FIRST, SECOND), None, acknowledged=0),
    Case("1.0 for 1", (Save({"n": 1, "l": [2]}),), {"l": (2.0,), "n": 1.0}),
    Case("failed, there", (FIRST, SECOND), {"name": "omega-2", "n": 67890}, failed=(1,)),
    Case("failed, not there", (FIRST, SECOND), {"name": "alpha-1", "n": 12345}, failed=(1,)),
    Case("empty document that was saved", (FIRST, Save({})), {}),
]


@pytest.mark.parametrize("case", DOCUMENT_DEFECTS, ids=name)
def test_a_broken_document_is_named_for_what_it_is(case: Case) -> None:
    """The sentence has the path of what is wrong."""
    assert_broken(DOCUMENT, case)


@pytest.mark.parametrize("case", DOCUMENT_SOUND, ids=name)
def test_a_sound_document_is_not_flagged(case: Case) -> None:
    """What a correct store could show is no violation."""
    assert judged(DOCUMENT, case) is None


# --- models of the user's own --------------------------------------------------------------------------

ONE, TWO, TEN = Push("one"), Push("two"), Push("ten")

OWN_DEFECTS = [
    (Queue(), Case("lost", (ONE, TWO), ["one"], LOST, "Push('two')", (1,))),
    (Queue(), Case("hole", (ONE, TWO), ["two"], LOST, "Push('one') is gone", (0,))),
    (Queue(), Case("hole of two", (ONE, TWO, TEN), ["ten"], LOST, "and", (0, 1))),
    (Queue(), Case("hole, not owed", (ONE, TWO), ["two"], TORN, "is missing", (0,), acknowledged=0)),
    (Queue(), Case("taken once, back", (ONE, TWO, Pop(), TEN), ["one", "two", "ten"], LOST, "Pop()", (2,))),
    (Queue(), Case("a step that fails without its past", (ONE, Pop(), TWO), ["#"], PHANTOM, "'#'")),
    (Queue(), Case("other order", (ONE, TWO), ["two", "one"], PHANTOM, "[0] is 'two'")),
    (Queue(), Case("another type", (ONE,), None, PHANTOM, "the document is None")),
    (StampedNote(), Case("nobody's", (Write("a"),), {"text": "#", "time": 1}, PHANTOM, "text is '#'")),
    (StampedNote(), Case("lost", (Write("a"), Write("b")), {"text": "a", "time": 1}, LOST, "'b'", (1,))),
    (Grid(), Case("no JSON", (ONE, TWO), {(0, 0): "#"}, PHANTOM, "(0, 0) is '#'")),
    (Grid(), Case("part of what is no JSON", (ONE, TWO), {(1, 0): "two"}, TORN, "mixture")),
]

OWN_SOUND = [
    (Queue(), Case("taken", (ONE, TWO, Pop()), ["two"])),
    (Queue(), Case("not taken yet", (ONE, TWO, Pop()), ["one", "two"], acknowledged=2)),
    (StampedNote(), Case("a time", (Write("a"),), {"text": "a", "time": 17})),
    (Grid(), Case("places", (ONE, TWO), {(1, 0): "two", (0, 0): "one"})),
]


@pytest.mark.parametrize(("model", "case"), OWN_DEFECTS, ids=lambda value: getattr(value, "name", ""))
def test_a_broken_store_with_a_model_of_its_own_is_named(model: Any, case: Case) -> None:
    """Whatever its states are: they need be no JSON, and a step may refuse what it can't follow."""
    assert_broken(model, case)


@pytest.mark.parametrize(("model", "case"), OWN_SOUND, ids=lambda value: getattr(value, "name", ""))
def test_a_sound_store_with_a_model_of_its_own_is_not_flagged(model: Any, case: Case) -> None:
    """Its own equality decides."""
    assert judged(model, case) is None


# --- what does not depend on a promise -------------------------------------------------------------------


def test_a_problem_is_a_violation_whatever_was_read() -> None:
    """A store that reads right and then refuses to be written to is broken all the same."""
    oracle = Oracle(LOG, (A,))
    recovery = Recovery("not_writable", "Append('x') raised OSError", ["alpha-1"], (1,))
    assert judge(oracle, recovery, Window(1, 1)) == Violation("not_writable", "Append('x') raised OSError")


def test_no_reading_is_no_success() -> None:
    """A recovery that matched nothing is never taken for an admissible one."""
    violation = judge(Oracle(KEY_VALUE, (ALPHA,)), Recovery(), Window(0, 1))
    assert violation is not None


@pytest.mark.parametrize(
    ("model", "operations"),
    [
        (KEY_VALUE, key_value_operations),
        (DOCUMENT, document_operations),
        (LOG, log_operations),
    ],
    ids=["key-value", "document", "log"],
)
@given(st.data())
@patient
def test_anything_that_a_store_shows_can_be_judged(
    model: Any, operations: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    """The judge never fails, and finds one of the three kinds exactly where no state fits."""
    done = tuple(data.draw(st.lists(operations, max_size=4)))
    junk = json_values | st.binary(max_size=3) | st.dictionaries(st.integers() | st.none(), json_values)
    recovered = data.draw(junk | st.lists(junk, max_size=2))
    violation = judged(model, Case("anything", done, recovered, acknowledged=0))
    states = [state for states in Oracle(model, done).states for state in states]
    assert (violation is None) == any(model.equal(recovered, state) for state in states)
    assert violation is None or violation.kind in (LOST, TORN, PHANTOM)


def test_the_search_for_a_hole_is_bounded() -> None:
    """A hole far back in a long history of a user's model is still broken, if not named."""
    done = tuple(Push(f"item-{number}") for number in range(SEARCHED_OPERATIONS + 2))
    recovered = [push.item for push in done[1:]]
    violation = judged(Queue(), Case("far back", done, recovered))
    assert violation is not None and violation.operations == ()


# --- parts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("piece", "whole", "expected"),
    [
        ("", "alpha", False),
        ("\0\0", "alpha", False),
        ("alpha", "alpha", False),
        ("omega", "zzzzz", False),
        ("omega", "", False),
        ("\0", "", True),
        ("alpha\0", "alpha", True),
        ("lph", "alpha", True),
        ("alpXX", "alpha", True),
        ("XXpha", "alpha", True),
        ("aXXXXXXXXXXX", "abcdefghijkl", False),
        (12, 123, True),
        ([1, 2], {"a": [1, 2]}, True),
    ],
)
def test_a_part_is_a_piece_or_shares_an_end(piece: Any, whole: Any, expected: bool) -> None:
    """NULs don't count, the whole is no part of itself, and a single equal letter proves nothing."""
    assert is_part(piece, whole) is expected


def test_leaves_have_paths_and_empty_containers_are_leaves() -> None:
    """A list that became empty must not go unseen."""
    assert dict(leaves({"a": {"b": [1, {}]}, "c": [], "": None})) == {
        "a.b[0]": 1,
        "a.b[1]": {},
        "c": [],
        "": None,
    }
    assert list(leaves({})) == [("", {})]


@pytest.mark.parametrize(
    ("model", "operation", "recovered"),
    [
        (KEY_VALUE, Put("a", "1"), {"a": Prickly()}),
        (KEY_VALUE, Put("a", "1"), {Prickly(): "1"}),
        (KEY_VALUE, Put("a", "1"), Prickly()),
        (LOG, Append("1"), [Prickly()]),
        (LOG, Append("1"), ["1", nested(600)]),
        (DOCUMENT, Save({"a": 1}), {"a": Prickly()}),
        (DOCUMENT, Save({"a": 1}), {"a": nested(20_000)}),
        (DOCUMENT, Save({"a": 1}), nested(600)),
        (StampedNote(), Write("x"), Prickly()),
    ],
)
def test_what_cannot_be_compared_is_wrong_and_raises_nothing(model: Any, operation: Any, recovered: Any) -> None:
    """A damaged store may show anything."""
    oracle = Oracle(model, (operation,))

    assert oracle.matches(recovered) == ()
    violation = judge(oracle, Recovery(recovered=recovered), Window(1, 1))
    assert violation is not None and violation.kind in (TORN, PHANTOM) and violation.sentence
