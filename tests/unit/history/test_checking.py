"""Verdicts: a defect that must be found and told, sound behaviour that must not be, and a budget that ends."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from harness import (
    DOCUMENT,
    KEY_VALUE,
    LOG,
    Append,
    AppendMany,
    Called,
    Compact,
    Delete,
    Get,
    History,
    Load,
    Outcome,
    Put,
    PutMany,
    Read,
    Save,
    Sync,
    UsageError,
    Verdict,
    check_history,
)
from harness.core.history import history_of
from harness.history.checking import check
from harness.history.values import LOST_UPDATE, NOT_LINEARIZABLE, Budget, Checked
from tests.unit.history.brute import Add, Counter, Look

OK, FAIL, INFO = Outcome.OK, Outcome.FAIL, Outcome.INFO
S = 1_000_000_000


def history(*rows: tuple[Any, ...], **rest: Any) -> History:
    """Operations as (client, operation, called, answered or None, answer)."""
    made = []
    for number, (client, operation, begins, ends, *answer) in enumerate(rows):
        outcome = INFO if ends is None else OK
        made.append(Called(number, client, operation, begins, ends, outcome, answer[0] if answer else None))
    return history_of(made, **rest)


def found(result: Checked) -> tuple[str, list[int]]:
    """Kind and operations of a contradiction."""
    assert result.verdict is Verdict.FAIL and result.contradiction is not None
    return result.kind, [called.number for called in result.contradiction.operations]


def sentence(result: Checked) -> str:
    assert result.contradiction is not None
    return result.contradiction.sentence


# --- keys -----------------------------------------------------------------------------------------


def test_a_stale_read_is_found_and_told() -> None:
    """A value that was replaced before the read began; a later read shows that nothing was lost."""
    result = check_history(
        history(
            (1, Put("k", "a"), 0, 1 * S),
            (1, Put("other", "x"), 2 * S, 3 * S),
            (2, Put("k", "b"), 2 * S, 3 * S),
            (3, Get("k"), 4 * S, 5 * S, "a"),
            (3, Get("k"), 6 * S, 7 * S, "b"),
        ),
        KEY_VALUE,
    )
    assert found(result) == (NOT_LINEARIZABLE, [0, 2, 3]) and result.deciders == ("zones",) and result.part == "'k'"
    assert sentence(result) == (
        "Get('k') by client 3 (4-5 s) returned 'a', but Put('k', 'b') by client 2 (2-3 s) was acknowledged at 3 s, "
        "after Put('k', 'a') by client 1 (0-1 s) had been."
    )
    assert [placed.number for placed in result.order] == [0, 2] and result.stuck == (3,)


def test_a_read_beside_a_write_may_be_old_or_new() -> None:
    """Intervals that touch are concurrent."""
    for value in ("a", "b"):
        rows = ((1, Put("k", "a"), 0, 1), (2, Put("k", "b"), 2, 4), (3, Get("k"), 4, 5, value))
        assert check_history(history(*rows), KEY_VALUE).verdict is Verdict.PASS


def test_a_write_that_vanished_is_a_lost_update() -> None:
    """The snapshot has the value before it, and nobody ever read it."""
    rows = ((1, Put("k", "a"), 0, 1), (2, Put("k", "b"), 2, 3))
    result = check_history(history(*rows, final={"k": "a"}, has_final=True), KEY_VALUE)
    assert found(result) == (LOST_UPDATE, [0, 1])
    assert result.contradiction is not None and result.contradiction.snapshot
    assert sentence(result).startswith("The snapshot at the end has 'a' for 'k', but Put('k', 'b') by client 2")
    result = check_history(history(*rows, final={}, has_final=True), KEY_VALUE)
    assert result.kind == LOST_UPDATE and "has no value for 'k'" in sentence(result)


def test_several_lost_writes_are_lost_updates() -> None:
    """Each of them is gone, whatever became of the others."""
    rows = [(1, Put("k", "a"), 0, 1), (1, Get("k"), 2, 3, "a"), (1, Put("k", "b"), 4, 5), (1, Get("k"), 6, 7, "a")]
    rows += [(1, Put("k", "c"), 8, 9), (1, Get("k"), 10, 11, "a")]
    assert check_history(history(*rows), KEY_VALUE).kind == LOST_UPDATE


def test_a_write_that_was_not_answered_may_be_there_or_not() -> None:
    """Also first not and then yes; but not in between."""
    put = (1, Put("k", "a"), 0, None)
    for answers in itertools.product((None, "a"), repeat=3):
        rows = [(2, Get("k"), 10 * place, 10 * place + 1, answer) for place, answer in enumerate(answers, 1)]
        sound = list(answers) == sorted(answers, key=lambda answer: answer is not None)
        assert (check_history(history(put, *rows), KEY_VALUE).verdict is Verdict.PASS) is sound


def test_what_was_refused_had_no_effect() -> None:
    refused = Called(0, 1, Put("k", "a"), 0, 1, FAIL)
    read = Called(1, 2, Get("k"), 2, 3, OK, "a")
    assert check_history(history_of([refused]), KEY_VALUE).verdict is Verdict.PASS
    result = check_history(history_of([refused, read]), KEY_VALUE)
    assert found(result) == (NOT_LINEARIZABLE, [1]) and "which nobody had written" in sentence(result)


def test_a_read_of_the_future_is_told() -> None:
    result = check_history(history((1, Get("k"), 0, 1, "a"), (2, Put("k", "a"), 2, 3)), KEY_VALUE)
    assert sorted(found(result)[1]) == [0, 1] and "wrote only after it" in sentence(result)


def test_reads_in_the_wrong_order_are_told() -> None:
    """Both writes are concurrent with both reads; the second read goes back."""
    rows = ((1, Put("k", "a"), 0, 1), (2, Put("k", "b"), 2, 9), (3, Get("k"), 3, 4, "b"), (4, Get("k"), 5, 6, "a"))
    result = check_history(history(*rows), KEY_VALUE)
    assert found(result) == (NOT_LINEARIZABLE, [0, 1, 2, 3])
    assert "returned 'a', but Get('k') by client 3 (3-4 ns) had returned 'b' before, which is newer" in sentence(result)


def test_deletes_and_equal_values_go_to_the_search() -> None:
    """Absence has several writers here, and a value too."""
    rows = [(1, Put("k", "a"), 0, 1), (2, Delete("k"), 0, 3), (3, Get("k"), 2, 4, None), (3, Put("k", "a"), 5, 6)]
    sound = check_history(history(*rows, (4, Get("k"), 7, 8, "a")), KEY_VALUE)
    assert sound.verdict is Verdict.PASS and sound.deciders == ("search",) and sound.steps > 0
    wrong = check_history(history(*rows, (4, Get("k"), 7, 8, None)), KEY_VALUE)
    assert wrong.deciders == ("search",) and 3 in found(wrong)[1] and wrong.stuck


def test_a_batch_is_there_whole_or_not_at_all() -> None:
    """Each key alone is sound; both together are not."""
    batch = (1, PutMany((("a", "1"), ("b", "1"))), 0, 10)
    torn = [batch, (2, Get("a"), 1, 2, "1"), (2, Get("b"), 3, 4, None)]
    result = check_history(history(*torn), KEY_VALUE)
    assert found(result) == (NOT_LINEARIZABLE, [0, 1, 2]) and result.deciders == ("search",)
    assert "which no order of these explains: " in sentence(result) and result.part == "'a', 'b'"
    sound = [batch, (2, Get("b"), 1, 2, None), (2, Get("a"), 3, 4, "1")]
    assert check_history(history(*sound), KEY_VALUE).verdict is Verdict.PASS


def test_a_linked_key_that_is_wrong_alone_needs_no_search() -> None:
    batch = (1, PutMany((("a", "1"), ("b", "1"))), 0, 1)
    result = check_history(history(batch, (2, Get("b"), 2, 3, "2")), KEY_VALUE)
    assert found(result)[1] == [1] and result.deciders == ("zones",)


def test_maintenance_and_reads_without_an_answer_tell_nothing() -> None:
    rows = ((1, Sync(), 0, 1), (1, Compact(), 2, 3), (1, Compact(), 2, None), (2, Get("k"), 0, None))
    result = check_history(history(*rows), KEY_VALUE)
    assert (result.verdict, result.order, result.deciders) == (Verdict.PASS, (), ())


def test_a_key_of_the_snapshot_that_nobody_wrote_is_found() -> None:
    result = check_history(history(final={"x": "1"}, has_final=True), KEY_VALUE)
    assert found(result) == (NOT_LINEARIZABLE, []) and sentence(result).startswith("The snapshot at the end has '1'")
    assert check_history(history(final={}, has_final=True), KEY_VALUE).verdict is Verdict.PASS


# --- documents ------------------------------------------------------------------------------------


def test_documents_are_compared_as_json() -> None:
    """`1` is `1.0`, and `True` is neither; the order of keys counts for nothing."""
    save = (1, Save({"n": 1, "m": [None]}), 0, 1)
    for answer, verdict in (({"m": (None,), "n": 1.0}, Verdict.PASS), ({"n": True, "m": [None]}, Verdict.FAIL)):
        assert check_history(history(save, (2, Load(), 2, 3, answer)), DOCUMENT).verdict is verdict


def test_a_document_that_two_saved_is_that_of_one() -> None:
    saves = ((1, Save({"a": 1}), 0, 5), (2, Save({"b": 1}), 0, 5))
    for final, verdict in (({"a": 1}, Verdict.PASS), ({"a": 1, "b": 1}, Verdict.FAIL), (None, Verdict.FAIL)):
        result = check_history(history(*saves, final=final, has_final=True), DOCUMENT)
        assert result.verdict is verdict and result.part == ""
    assert sentence(result).startswith("The snapshot at the end is None")


# --- a model of a user's ----------------------------------------------------------------------------


def test_a_lost_increment_is_a_lost_update() -> None:
    rows = ((1, Add(1), 0, 5, 1), (2, Add(1), 0, 5, 1))
    result = check_history(history(*rows, final=1, has_final=True), Counter())  # type: ignore[arg-type]
    assert found(result) == (LOST_UPDATE, [0, 1]) and result.deciders == ("search",)
    sound = ((1, Add(1), 0, 5, 2), (2, Add(1), 0, 5, 1))
    assert check(history(*sound, final=2, has_final=True), Counter()).verdict is Verdict.PASS


def test_what_came_later_is_no_part_of_a_contradiction() -> None:
    """Nor reads that tell nothing, and what was still on its way is not yet answered."""
    rows = [(1, Add(1), 0, 1, 1), (2, Look(), 2, 3, 1), (1, Look(), 4, 5, 7)]
    rows += [(1, Add(1), 6, 7, 2), (3, Add(2), 3, 9, 4)]
    result = check(history(*rows), Counter())
    assert found(result)[1] == [0, 4, 2] or found(result)[1] == [0, 2, 4]
    assert "Add(2) by client 3 (called at 3 ns, never answered)" in sentence(result)


def test_answers_that_the_model_never_gives_are_not_compared() -> None:
    """Only `Look` is answered by this one."""

    class Silent(Counter):
        def step(self, state: int, operation: Any) -> tuple[int, Any]:
            after, answer = super().step(state, operation)
            return after, answer if isinstance(operation, Look) else None

        def example_operations(self, random: Any, count: int) -> list[Any]:
            return [Add(1), Look()]

    rows = ((1, Add(1), 0, 1, "whatever"), (1, Look(), 2, 3, 1))
    assert check(history(*rows), Silent()).verdict is Verdict.PASS
    assert check(history(rows[0], (1, Look(), 2, 3, 2)), Silent()).verdict is Verdict.FAIL


def test_an_operation_that_a_model_does_not_know_is_told() -> None:
    for model, operation in ((KEY_VALUE, Append("x")), (DOCUMENT, Put("a", "b")), (LOG, Get("a")), (Counter(), Load())):
        with pytest.raises(UsageError, match=type(operation).__name__):
            check(history((1, operation, 0, 1)), model)
    with pytest.raises(UsageError, match="no operation of LOG"):
        check(history((1, Get("k"), 0, None), (1, Put("k", "v"), 0, None)), LOG)
    for model, operation in (
        (KEY_VALUE, Put(["k"], "v")),  # type: ignore[arg-type]
        (KEY_VALUE, PutMany((("a",),))),  # type: ignore[arg-type]
        (KEY_VALUE, PutMany(5)),  # type: ignore[arg-type]
        (LOG, AppendMany(5)),  # type: ignore[arg-type]
        (LOG, Read("x")),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError, match=type(operation).__name__):
            check(history((1, operation, 0, 1, [])), model)
    with pytest.raises(UsageError, match="the snapshot is list"):
        check(history(final=[], has_final=True), KEY_VALUE)


def test_what_a_model_can_not_compare_is_told() -> None:
    class Strict(Counter):
        def equal(self, recovered: Any, state: int) -> bool:
            return bool(recovered["sum"] == state)

    with pytest.raises(UsageError, match="the model can't compare 7: TypeError"):
        check(history(final=7, has_final=True), Strict())


def test_values_that_are_nested_too_deeply_are_told() -> None:
    deep: Any = None
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UsageError, match="nested too deeply"):
        check(history((1, Load(), 0, 1, deep)), DOCUMENT)
    while deep is not None:  # an interpreter would take it apart by recursion
        deep = deep[0]


@pytest.mark.parametrize("numbers", [(0, 0), (-1, 0)])
def test_every_operation_has_a_number_of_its_own(numbers: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="count from 0"):
        check(history_of(Called(number, 1, Get("k"), 0, 1, OK) for number in numbers), KEY_VALUE)


def test_times_may_be_those_of_a_wall_clock() -> None:
    """Nanoseconds that a float can't tell apart."""
    now = 1_790_000_000_000_000_001
    rows = [(1, Add(1), now, now + 1, 1), (2, Look(), now + 2, now + 3, 0), (2, Add(1), now + 4, now + 5, 2)]
    result = check(history(*rows), Counter())
    assert sorted(found(result)[1]) == [0, 1] and "(2-3 ns) returned 0" in sentence(result)


def test_one_long_operation_beside_many_reads_keeps_to_its_budget() -> None:
    """Reads that fit are placed without a choice, but not for nothing."""
    rows: list[tuple[Any, ...]] = [(1, Put("k", "a"), 0, 9_999), (2, Delete("k"), 0, 1)]
    rows += [(3, Get("k"), 10 + 2 * turn, 11 + 2 * turn, None) for turn in range(500)]
    assert check(history(*rows), KEY_VALUE, Budget(steps=100)).verdict is Verdict.UNKNOWN
    assert check(history(*rows), KEY_VALUE).verdict is Verdict.PASS


# --- budgets --------------------------------------------------------------------------------------


def hard() -> History:
    """Equal values and many at once: only a search can tell, and it takes a while to find out that it is wrong."""
    rows = [(client, Put("k", f"v{client % 5}"), 0, 100) for client in range(10)]
    rows += [(20 + turn, Get("k"), 10 * turn, 10 * turn + 1, f"v{turn % 4}") for turn in range(1, 7)]
    return history(*rows, (40, Get("k"), 200, 201, "v4"), (41, Get("k"), 210, 211, "v3"))


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget(steps=5), "within 5 steps"),
        (Budget(entries=3), "within 3 entries of its memory"),
        (Budget(seconds=2), "within 2 seconds"),
    ],
)
def test_a_budget_that_ends_is_no_pass(budget: Budget, words: str) -> None:
    """Steps, memory and time alike; the clock is the caller's."""
    ticks = itertools.count()
    result = check(hard(), KEY_VALUE, budget, clock=lambda: next(ticks))
    assert result.verdict is Verdict.UNKNOWN and words in result.reason and result.hint
    assert "'k' has 18 operations, 0 of them without an answer, up to 11 at once" in result.reason
    assert (result.kind, result.contradiction, result.order) == ("", None, ())
    assert check(hard(), KEY_VALUE).verdict is Verdict.FAIL


def test_a_contradiction_is_told_as_it_is_when_time_is_over() -> None:
    """Nothing is left for making it smaller: then all of it is told."""
    ticks = itertools.chain([0.0, 0.0], itertools.repeat(100.0))
    rows = [(1, Add(1), 0, 1, 1), (2, Look(), 2, 3, 1), (1, Look(), 4, 5, 7)]
    result = check(history(*rows), Counter(), Budget(seconds=50), clock=lambda: next(ticks))
    assert found(result) == (NOT_LINEARIZABLE, [0, 1, 2])


@pytest.mark.parametrize("name", ["steps", "seconds", "entries"])
def test_a_budget_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"a budget of 0 {name} allows nothing"):
        Budget(**{name: 0})  # type: ignore[arg-type]


def test_a_failing_key_is_found_beside_hard_ones() -> None:
    """Searches take turns, so the first one does not keep the others waiting."""
    easy = [(50, Put("z", "a"), 0, 1), (50, Delete("z"), 2, 3), (50, Get("z"), 4, 5, "a"), (50, Put("z", "a"), 6, 7)]
    rows = [(one.client, one.operation, one.invoked_ns, one.completed_ns, one.answer) for one in hard()]
    for row in rows[:10]:
        easy.append((60 + row[0], Put("y", row[1].value), 0, 100))
    result = check(history(*rows, *easy), KEY_VALUE)
    assert result.verdict is Verdict.FAIL and result.part in ("'k'", "'z'")


# --- logs -----------------------------------------------------------------------------------------


def log(*rows: tuple[Any, ...], final: list[str] | None = None) -> Checked:
    result = check_history(history(*rows, final=final, has_final=final is not None), LOG)
    return result


@pytest.mark.parametrize(
    ("rows", "final", "kind", "numbers", "words"),
    [
        pytest.param(
            [(1, Append("a"), 0, 1, 0), (2, Append("b"), 2, 3, 1)],
            ["a"],
            LOST_UPDATE,
            [1],
            "The snapshot at the end ends at position 1, but Append('b') by client 2 (2-3 ns) had been acknowledged at "
            "position 1 before it began.",
            id="lost",
        ),
        pytest.param(
            [(1, Append("a"), 0, 1), (2, Append("b"), 2, 3)],
            ["b"],
            LOST_UPDATE,
            [0],
            "The snapshot at the end does not have Append('a') by client 1 (0-1 ns), which had been acknowledged "
            "before it began.",
            id="lost-without-position",
        ),
        pytest.param(
            [(1, Append("a"), 0, 1, 0), (2, Read(0), 2, 3, []), (2, Read(0), 4, 5, ["a"])],
            None,
            NOT_LINEARIZABLE,
            [0, 1],
            "shows nothing from position 0 on",
            id="stale",
        ),
        pytest.param(
            [(1, Append("a"), 0, 9), (2, Read(0), 2, 3, ["a"]), (2, Read(0), 4, 5, [])],
            None,
            NOT_LINEARIZABLE,
            [1, 2],
            "had shown 1 records before it began",
            id="shrinking",
        ),
        pytest.param(
            [(1, Append("a"), 0, 1, 0), (2, Append("b"), 0, 1, 0)],
            None,
            NOT_LINEARIZABLE,
            [0, 1],
            "have different records at position 0",
            id="divergent",
        ),
        pytest.param(
            [(1, Append("a"), 0, 1, 0), (2, Append("a"), 0, 1, 0)],
            None,
            NOT_LINEARIZABLE,
            [0, 1],
            "were both given position 0",
            id="duplicate-position",
        ),
        pytest.param(
            [(1, Append("a"), 0, 1)], ["a", "a"], NOT_LINEARIZABLE, [], "that was not appended so often", id="duplicate"
        ),
        pytest.param([], ["a"], NOT_LINEARIZABLE, [], "a record at position 0 that nobody", id="phantom"),
        pytest.param(
            [(1, Append("a"), 0, 1, 1), (2, Append("b"), 2, 3, 0)],
            None,
            NOT_LINEARIZABLE,
            [0, 1],
            "which was called only after it had been acknowledged",
            id="order",
        ),
        pytest.param(
            [(1, Read(0), 0, 1, ["a"]), (2, Append("a"), 2, 3, 0)],
            None,
            NOT_LINEARIZABLE,
            [0, 1],
            "appended only after it",
            id="future",
        ),
        pytest.param(
            [(1, Append("a"), 0, 1, 1)], None, NOT_LINEARIZABLE, [0], "nobody appended what is at position 0", id="hole"
        ),
        pytest.param([(1, Append("a"), 0, 1, -1)], None, NOT_LINEARIZABLE, [0], "no log has", id="negative"),
        pytest.param([(1, Read(0), 0, 1, "a")], None, NOT_LINEARIZABLE, [0], "gave no list of records", id="no-list"),
        pytest.param(
            [(1, AppendMany(("a", "b")), 0, 1, 0), (2, Read(0), 0, 1, ["a"])],
            None,
            NOT_LINEARIZABLE,
            [0, 1],
            "shows only a part of AppendMany",
            id="part",
        ),
        pytest.param(
            [(1, AppendMany(("a", "b")), 0, 9), (2, Append("c"), 0, 9)],
            ["a", "c", "b"],
            NOT_LINEARIZABLE,
            [0],
            "shows AppendMany(('a', 'b')) by client 1 (0-9 ns) in pieces",
            id="pieces",
        ),
        pytest.param(
            [(1, AppendMany(("a", "b")), 0, None)], ["b"], NOT_LINEARIZABLE, [0], "in pieces", id="second-half"
        ),
    ],
)
def test_a_broken_log_is_told(rows: Any, final: Any, kind: str, numbers: list[int], words: str) -> None:
    result = log(*rows, final=final)
    assert (kind, sorted(numbers)) == (found(result)[0], sorted(found(result)[1]))
    assert words in sentence(result) and result.deciders == ("log",)


@pytest.mark.parametrize(
    ("rows", "final"),
    [
        pytest.param([(1, Append("a"), 0, 9, 1), (2, Append("b"), 0, 9, 0)], ["b", "a"], id="concurrent"),
        pytest.param([(1, AppendMany(()), 0, 1, 0), (1, AppendMany(()), 2, 3), (2, Append("b"), 0, 9, 0)], None),
        pytest.param([(1, Append("a"), 0, None), (2, Append("b"), 1, 2, 1)], None, id="unanswered-fills-a-hole"),
        pytest.param([(1, Append("a"), 0, None), (2, Append("b"), 1, 2, 0)], ["b"], id="unanswered-never-happened"),
        pytest.param([(1, Append("a"), 0, None), (2, Append("b"), 1, 2, 0)], ["b", "a"], id="unanswered-happened-late"),
        pytest.param([(1, Append("a"), 0, 1), (2, Read(7), 2, 3, [])], None, id="nothing-behind-the-end"),
        pytest.param([(1, AppendMany(("a", "b")), 0, 9, 0), (2, Read(1), 2, 3, ["b"])], ["a", "b"], id="batch"),
        pytest.param([(1, AppendMany(("a", "b")), 0, 9), (2, Read(1), 2, 3, ["b"])], None, id="batch-seen-in-part"),
        pytest.param([(1, Append("a"), 0, 1), (1, Append("b"), 2, 3), (2, Read(0), 2, 4, ["a"])], None, id="late"),
    ],
)
def test_a_sound_log_passes_without_a_search(rows: Any, final: Any) -> None:
    result = log(*rows, final=final)
    assert result.verdict is Verdict.PASS and result.deciders == ("log",), result


@pytest.mark.parametrize(
    ("rows", "final", "verdict"),
    [
        pytest.param([(1, Append("a"), 0, 9), (2, Append("a"), 0, 9)], ["a", "a"], Verdict.PASS, id="equal-records"),
        pytest.param([(1, Append("a"), 0, 1), (2, Append("a"), 2, 3)], ["a"], Verdict.FAIL, id="one-of-two-is-lost"),
        pytest.param([(1, Append("a"), 0, 1, 0), (2, Read(-1), 2, 3, ["a"])], None, Verdict.PASS, id="from-the-end"),
        pytest.param([(1, Append("a"), 0, 1), (2, Append("b"), 0, 9, 1)], None, Verdict.PASS, id="fills-a-hole"),
        pytest.param([(1, Append("a"), 0, 1), (2, Append("b"), 0, 1), (3, Read(1), 0, 9, [])], None, Verdict.PASS),
    ],
)
def test_what_positions_do_not_tell_is_searched(rows: Any, final: Any, verdict: Verdict) -> None:
    result = log(*rows, final=final)
    assert result.verdict is verdict and result.deciders == ("search",)
