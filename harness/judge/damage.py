"""Is what a store makes of damaged files admissible?

Under the promise "detected" each opening may give the correct state; or an exception of a declared type; or,
together with a signal (a warning, or a log record of level WARNING or above), an earlier correct state, which every
later opening then gives too. Under "repaired" it gives the correct state, where one block of one file was damaged.

After a kill several states are correct. Then a store may also take a damaged end for one that the kill has cut, so the
last operation that is owed is not asked for (`after_kill`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.operations import describe
from harness.judge.classify import Violation, classify
from harness.judge.oracle import Oracle, Window


@dataclass(frozen=True, slots=True)
class Opening:
    """One opening of a store whose files were damaged.

    `error` is the text of what was raised ("" if nothing was), `declared` whether the contract names its type;
    `during` says in which call. `answer` tells of a read that contradicts `state`.
    """

    state: Any = None
    matches: tuple[int, ...] = ()
    signal: bool = False
    error: str = ""
    declared: bool = True
    during: str = ""
    answer: str = ""


def after_kill(owed: Window) -> Window:
    """What is correct after a kill and damage, where `owed` would be after the kill alone."""
    return Window(max(0, owed.lowest - 1), owed.highest)


def judge_openings(
    oracle: Oracle, openings: Sequence[Opening], *, repaired: bool, correct: Window | None = None
) -> Violation | None:
    """The broken promise, or `None`. `repaired`: a correct state is owed, and nothing else will do.

    `correct` are the numbers of operations after which the state is correct; if not given, all of them.
    """
    correct = correct or Window(len(oracle.operations), len(oracle.operations))
    accepted: Opening | None = None
    for number, opening in enumerate(openings):
        violation = _of_one(oracle, opening, accepted, correct, repaired=repaired)
        if violation is not None:
            return _later(violation, number)
        if not opening.error and accepted is None:
            accepted = opening
    return None


def _of_one(
    oracle: Oracle, opening: Opening, before: Opening | None, correct: Window, *, repaired: bool
) -> Violation | None:
    if opening.error:
        return _of_error(opening, before, correct, repaired=repaired)
    if opening.answer:
        return Violation("silent_corruption", opening.answer)
    if before is not None:
        if set(opening.matches) & set(before.matches):
            return None
        detail = f"it reads {describe(opening.state)}, and read {describe(before.state)} before"
        return Violation("not_idempotent", detail)
    if _is_correct(opening, correct):
        return None
    if not opening.signal:
        return Violation("silent_corruption", f"it reads {describe(opening.state)} without exception or signal")
    if not opening.matches or repaired:
        return classify(oracle, opening.state, correct)
    return None


def _is_correct(opening: Opening, correct: Window) -> bool:
    return any(correct.lowest <= count <= correct.highest for count in opening.matches)


def _of_error(opening: Opening, before: Opening | None, correct: Window, *, repaired: bool) -> Violation | None:
    if not opening.declared:
        sentence = f"{opening.during} raised {opening.error}, which the contract does not name"
        return Violation("undeclared_error", sentence)
    if repaired:
        sentence = f"{opening.during} raised {opening.error}, and damage to one block was to be repaired"
        return Violation("cannot_open", sentence)
    if before is not None and not _is_correct(before, correct):
        # An earlier state is right only if later openings show it too: what was offered is gone now.
        sentence = f"{opening.during} raised {opening.error}, and it read {describe(before.state)} before"
        return Violation("not_idempotent", sentence)
    return None


def _later(violation: Violation, number: int) -> Violation:
    if number == 0 or violation.kind == "not_idempotent":
        return violation
    sentence = f"opened for the {_ordinal(number + 1)} time, {violation.sentence}"
    return Violation(violation.kind, sentence, violation.operations)


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")
