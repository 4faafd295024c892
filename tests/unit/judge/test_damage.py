"""What a store makes of damaged files, and whether it may."""

from __future__ import annotations

from typing import Any

import pytest

from harness import KEY_VALUE, Put
from harness.judge.damage import Opening, judge_openings
from harness.judge.oracle import Oracle

ORACLE = Oracle(KEY_VALUE, (Put("a", "1"), Put("b", "2"), Put("a", "3")))
NOW, BEFORE, NEVER = {"a": "3", "b": "2"}, {"a": "1", "b": "2"}, {"a": "9"}


def read(state: Any, *, signal: bool = False, answer: str = "") -> Opening:
    return Opening(state, ORACLE.matches(state), signal, answer=answer)


def raised(*, declared: bool = True) -> Opening:
    return Opening(error="ValueError: bad", declared=declared, during="opening the store")


def kinds(*openings: Opening, repaired: bool = False) -> str:
    violation = judge_openings(ORACLE, openings, repaired=repaired)
    return "" if violation is None else violation.kind


@pytest.mark.parametrize(
    ("openings", "kind"),
    [
        ((read(BEFORE),), "silent_corruption"),
        ((read(NEVER),), "silent_corruption"),
        ((read(NOW, answer="Get('a') answers '1'"),), "silent_corruption"),
        ((raised(declared=False),), "undeclared_error"),
        ((read(NEVER, signal=True),), "phantom"),
        ((read({"a": "1", "b": "9"}, signal=True),), "phantom"),
        ((read(NOW), read(BEFORE, signal=True)), "not_idempotent"),
        ((read(BEFORE, signal=True), read(NOW)), "not_idempotent"),
        ((read(BEFORE, signal=True), read(NEVER)), "not_idempotent"),
        ((read(BEFORE, signal=True), raised()), "not_idempotent"),
        ((raised(), read(BEFORE)), "silent_corruption"),
        ((read(NOW), raised(declared=False)), "undeclared_error"),
    ],
)
def test_a_broken_promise_has_a_kind(openings: tuple[Opening, ...], kind: str) -> None:
    """A wrong state without a word; with one, what kind of wrong; an earlier state that does not stay."""
    assert kinds(*openings) == kind


@pytest.mark.parametrize(
    "openings",
    [
        (read(NOW), read(NOW)),
        (read(NOW, signal=True), read(NOW)),
        (read(BEFORE, signal=True), read(BEFORE)),
        (read({}, signal=True), read({})),
        (raised(), raised()),
        (raised(), read(NOW)),
        (raised(), read(BEFORE, signal=True)),
        (read(NOW), raised()),
        (),
    ],
)
def test_what_is_allowed_is_no_violation(openings: tuple[Opening, ...]) -> None:
    """The right state; a declared exception; an earlier state with a signal, which later needs none."""
    assert kinds(*openings) == ""


@pytest.mark.parametrize(
    ("openings", "kind"),
    [
        ((raised(),), "cannot_open"),
        ((raised(declared=False),), "undeclared_error"),
        ((read(BEFORE, signal=True),), "lost_acknowledged"),
        ((read(BEFORE),), "silent_corruption"),
        ((read(NOW), raised()), "cannot_open"),
        ((read(NOW, signal=True), read(NOW)), ""),
    ],
)
def test_what_is_to_be_repaired_must_be_right(openings: tuple[Opening, ...], kind: str) -> None:
    """Neither an exception nor an earlier state will do where one block was damaged and repair is promised."""
    assert kinds(*openings, repaired=True) == kind


def test_the_sentence_says_which_opening_it_was() -> None:
    violation = judge_openings(ORACLE, [raised(), raised(), read(BEFORE)], repaired=False)
    assert violation is not None and violation.sentence.startswith("opened for the third time, it reads {'a': '1'")
    violation = judge_openings(ORACLE, [*[raised()] * 3, read(BEFORE)], repaired=False)
    assert violation is not None and violation.sentence.startswith("opened for the 4th time")
    violation = judge_openings(ORACLE, [read(BEFORE, signal=True), raised()], repaired=False)
    assert violation is not None
    assert "raised ValueError: bad, and it read {'a': '1', 'b': '2'} before" in violation.sentence
