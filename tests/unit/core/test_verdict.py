"""The verdict lattice: the worst wins, and nothing undecided is ever a PASS."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import Verdict
from harness.core.verdict import merge
from tests.unit.core.strategies import patient

PASS, UNKNOWN, FAIL = Verdict.PASS, Verdict.UNKNOWN, Verdict.FAIL

verdicts = st.sampled_from(Verdict)
several = st.lists(verdicts, max_size=6)


@pytest.mark.parametrize("other", Verdict)
def test_a_fail_is_never_outvoted(other: Verdict) -> None:
    """FAIL absorbs, from either side."""
    assert other | FAIL is FAIL
    assert FAIL | other is FAIL


@pytest.mark.parametrize("other", Verdict)
def test_a_pass_changes_nothing(other: Verdict) -> None:
    """PASS is neutral, from either side."""
    assert PASS | other is other
    assert other | PASS is other


def test_merging_nothing_is_unknown() -> None:
    """No evidence is no PASS."""
    assert merge([]) is UNKNOWN
    assert merge(iter(())) is UNKNOWN


def test_an_unknown_is_not_covered_by_a_pass() -> None:
    """One thing decided does not decide another."""
    assert merge([PASS, UNKNOWN, PASS]) is UNKNOWN


@given(verdicts, verdicts, verdicts)
@patient
def test_merging_is_associative(a: Verdict, b: Verdict, c: Verdict) -> None:
    """It makes no difference in which groups evidence comes together."""
    assert (a | b) | c is a | (b | c)


@given(verdicts, verdicts)
@patient
def test_merging_is_commutative(a: Verdict, b: Verdict) -> None:
    """It makes no difference which worker reports first."""
    assert a | b is b | a


@given(verdicts)
@patient
def test_merging_is_idempotent(verdict: Verdict) -> None:
    """The same evidence twice says no more than once."""
    assert verdict | verdict is verdict
    assert merge([verdict]) is verdict


@given(several, several)
@patient
def test_merging_in_parts_is_merging_at_once(left: list[Verdict], right: list[Verdict]) -> None:
    """Parts can be merged first, as long as no part is empty."""
    if left and right:
        assert merge([merge(left), merge(right)]) is merge(left + right)


@given(several.filter(bool), st.randoms(use_true_random=False))
@patient
def test_the_order_of_evidence_is_irrelevant(found: list[Verdict], order: random.Random) -> None:
    """Any permutation gives the same verdict: the worst one that is there."""
    shuffled = list(found)
    order.shuffle(shuffled)
    worst = next(verdict for verdict in (FAIL, UNKNOWN, PASS) if verdict in found)
    assert merge(shuffled) is worst


@pytest.mark.parametrize("verdict", Verdict)
def test_a_verdict_has_no_truth_value(verdict: Verdict) -> None:
    """`if verdict:` would take UNKNOWN for good, so it raises."""
    with pytest.raises(TypeError, match=r"compare it with Verdict\.PASS"):
        bool(verdict)


def test_the_words_are_those_of_the_certificate() -> None:
    """The values are written to certificates and read by others."""
    assert [verdict.value for verdict in Verdict] == ["pass", "unknown", "fail"]
