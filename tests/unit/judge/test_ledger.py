"""Ledgers: they hold the states that a store may be in, in little memory, and nothing else passes."""

from __future__ import annotations

import pytest

from harness import KEY_VALUE, LOG, Append, AppendMany, Compact, Delete, Put
from harness.judge.ledger import Ledger, LogDigest, accounting, standing


def test_what_was_acknowledged_is_owed() -> None:
    """The state after all of it passes, and no other."""
    ledger = Ledger(KEY_VALUE)
    for operation in (Put("a", "1"), Put("b", "2"), Delete("a")):
        ledger.happened(operation)

    assert ledger.settle({"a": "1", "b": "2"}) is None
    assert ledger.settle({}) is None
    assert ledger.settle({"b": "2"}) == 0


def test_an_operation_in_doubt_may_have_happened_or_not() -> None:
    """And a look at the store settles which; from then on only that is owed."""
    for shown, number in (({"a": "1"}, 0), ({"a": "2"}, 1)):
        ledger = Ledger(KEY_VALUE)
        ledger.happened(Put("a", "1"))
        ledger.in_doubt(Put("a", "2"))
        assert ledger.candidates == 2
        assert ledger.settle(shown) == number
        assert ledger.candidates == 1
        assert ledger.settle(shown) == 0
        ledger.happened(Put("b", "3"))
        assert ledger.settle({**shown, "b": "3"}) == 0


def test_each_of_several_in_doubt_is_told_by_its_bit() -> None:
    """Bit k of the answer is the k-th of them."""
    ledger = Ledger(KEY_VALUE)
    for key in "abc":
        ledger.in_doubt(Put(key, "x"))

    assert ledger.settle({"a": "x", "c": "x"}) == 0b101


def test_a_log_is_kept_as_a_digest() -> None:
    """Batches and single records lead to the same digest; what is missing, swapped, joined or new does not pass."""
    ledger = Ledger(LOG)
    ledger.happened(AppendMany(("a", "b")))
    ledger.happened(Compact())
    ledger.happened(Append("cd"))

    for wrong in (["a", "b"], ["b", "a", "cd"], ["ab", "", "cd"], ["a", "b", "c", "d"], ["a", "b", "cd", ""], None):
        assert ledger.settle(wrong) is None
    assert ledger.settle(["a", "b", 7]) is None
    assert ledger.settle(["a", "b", "cd"]) == 0
    assert isinstance(accounting(LOG), LogDigest)
    assert accounting(KEY_VALUE) is KEY_VALUE


def test_a_log_digest_knows_the_operations_of_a_log_and_no_other() -> None:
    """As the model that it stands for; its answers are the positions."""
    digest = LogDigest()
    state, position = digest.step(digest.initial(), Append("x"))

    assert (state[0], position) == (1, 0)
    assert digest.step(state, AppendMany(("y",)))[1] == 1
    with pytest.raises(TypeError, match="no operation Put"):
        digest.step(state, Put("a", "b"))


def test_the_longest_prefix_that_the_store_shows_is_where_it_stands() -> None:
    """Where fewer are owed, a store may have lost the rest; what it may not have lost, it must show."""
    operations = [Append(text) for text in "abcd"]

    exact = standing(LOG, operations, 4, ["a", "b", "c", "d"])
    shorter = standing(LOG, operations, 2, ["a", "b", "c"])
    assert exact is not None and exact.operations == 4
    assert shorter is not None and shorter.operations == 3
    assert standing(LOG, operations, 4, ["a", "b", "c"]) is None
    assert standing(LOG, operations, 3, ["a", "b"]) is None
    assert standing(LOG, operations, 0, ["a", "c"]) is None


def test_a_ledger_goes_on_from_where_the_store_stands() -> None:
    """The operations that were lost are not owed any more, those that follow are."""
    stands = standing(LOG, [Append("a"), Append("b")], 0, ["a"])
    assert stands is not None
    stands.ledger.happened(Append("c"))

    assert stands.ledger.settle(["a", "b", "c"]) is None
    assert stands.ledger.settle(["a", "c"]) == 0


def test_of_equal_states_the_latest_counts() -> None:
    """A read or a maintenance changes nothing: the store has come as far as one can tell."""
    stands = standing(LOG, [Append("a"), Compact()], 0, ["a"])

    assert stands is not None and stands.operations == 2
