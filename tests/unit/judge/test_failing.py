"""What a store shows after some of its calls failed: the kind of wrong that it is, and what is admissible."""

from __future__ import annotations

from typing import Any

import pytest

from harness import DOCUMENT, KEY_VALUE, LOG, Append, AppendMany, Contract, Delete, Put, PutMany, Save, Sync
from harness.judge.choices import Answer, outcomes
from harness.judge.classify import Violation
from harness.judge.failing import ORDER, Ledger, judge_read, judge_shown, promise_without_crash, worse


def ledger(*notes: tuple[Any, str], promise: str = "acknowledged") -> Ledger:
    """Operations with what became of them: "ok", "raised", or "silent" where a call failed and it returned."""
    made = Ledger(promise)
    for operation, fate in notes:
        made.add(operation, raised=fate == "raised", struck=fate != "ok")
    return made


def kind(model: Any, known: Ledger, shown: Any) -> str | None:
    violation = judge_shown(model, known, shown)
    return None if violation is None else violation.kind


def test_an_operation_that_returned_although_a_call_failed_is_owed() -> None:
    known = ledger((Append("a"), "ok"), (Append("b"), "silent"))
    violation = judge_shown(LOG, known, ["a"])
    assert violation is not None
    assert (violation.kind, violation.operations) == ("swallowed_error", (1,))
    assert kind(LOG, known, ["a", "b"]) is None


def test_what_was_acknowledged_before_is_owed() -> None:
    known = ledger((Append("a"), "ok"), (Append("b"), "raised"))
    assert kind(LOG, known, ["b"]) == "lost_acknowledged"
    assert kind(LOG, known, ["a"]) is None
    assert kind(LOG, known, ["a", "b"]) is None


def test_an_error_hidden_by_an_opening_is_swallowed() -> None:
    known = ledger((Put("a", "1"), "ok"))
    known.hidden = True
    assert kind(KEY_VALUE, known, {}) == "swallowed_error"


def test_part_of_a_batch_is_torn_even_if_it_raised() -> None:
    assert kind(LOG, ledger((AppendMany(("a", "b")), "raised")), ["a"]) == "torn_operation"
    assert kind(KEY_VALUE, ledger((PutMany((("a", "1"), ("b", "1"))), "raised")), {"a": "1"}) == "torn_operation"


def test_what_nobody_wrote_or_twice_is_a_phantom() -> None:
    assert kind(LOG, ledger((Append("a"), "ok")), ["a", "zzz"]) == "phantom"
    assert kind(LOG, ledger((Append("a"), "ok")), ["a", "a"]) == "phantom"


def test_what_was_deleted_and_is_back_is_a_phantom() -> None:
    assert kind(KEY_VALUE, ledger((Put("a", "1"), "ok"), (Delete("a"), "ok")), {"a": "1"}) == "phantom"


def test_several_lost_operations_have_no_single_name() -> None:
    violation = judge_shown(LOG, ledger((Append("a"), "ok"), (Append("b"), "ok")), [])
    assert violation is not None and "more than one operation" in violation.sentence


def test_where_it_can_not_be_decided_nothing_is_said() -> None:
    assert judge_shown(LOG, ledger((Append("a"), "ok")), [], Answer.UNKNOWN) is None


def test_a_document_that_is_older_than_the_last_acknowledged_one() -> None:
    known = ledger((Save({"n": 1}), "ok"), (Save({"n": 2}), "ok"), (Save({"n": 3}), "raised"))
    assert kind(DOCUMENT, known, {"n": 1}) == "lost_acknowledged"
    assert kind(DOCUMENT, known, {"n": 3}) is None


# --- weaker promises --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contract", "promise"),
    [
        (Contract(), "acknowledged"),
        (Contract(process_crash="prefix"), "acknowledged"),
        (Contract(process_crash="synced", power_loss="prefix"), "synced"),
        (Contract(process_crash="prefix", power_loss="prefix"), "prefix"),
        (Contract(process_crash=None, power_loss=None), "prefix"),
    ],
)
def test_the_stronger_promise_about_crashes_says_what_is_owed(contract: Contract, promise: str) -> None:
    assert promise_without_crash(contract) == promise


def test_a_prefix_may_be_lost_when_an_error_surfaces_and_only_then() -> None:
    notes = ((Append("a"), "ok"), (Append("b"), "ok"))
    assert kind(LOG, ledger(*notes, promise="prefix"), ["a"]) == "lost_acknowledged", "nothing has surfaced"
    known = ledger(*notes, (Append("c"), "raised"), promise="prefix")
    assert kind(LOG, known, ["a"]) is None
    assert kind(LOG, known, ["b"]) == "lost_acknowledged", "no hole"
    known.closed()
    known.add(Append("d"), raised=False, struck=False)
    assert kind(LOG, known, ["a", "d"]) is None
    assert kind(LOG, known, ["a"]) == "lost_acknowledged", "a new handle owes again"


def test_what_is_synced_is_owed_whatever_surfaces() -> None:
    notes = ((Append("a"), "ok"), (Sync(), "ok"), (Append("b"), "ok"), (Append("c"), "raised"))
    known = ledger(*notes, promise="synced")
    assert kind(LOG, known, ["a"]) is None
    assert kind(LOG, known, []) == "lost_acknowledged"


def test_a_handle_that_reported_an_error_may_lose_more_until_it_is_closed() -> None:
    known = ledger((Append("a"), "ok"), (Append("b"), "raised"), (Append("c"), "ok"), promise="prefix")
    assert kind(LOG, known, ["a"]) == "lost_acknowledged"
    known.closed()
    assert kind(LOG, known, ["a"]) is None


def test_a_copy_does_not_change_any_more() -> None:
    known = ledger((Append("a"), "ok"))
    copy = known.copy()
    known.add(Append("b"), raised=True, struck=True)
    assert copy.operations == [Append("a")] and copy.failed == set()


def test_the_worse_of_two_violations_is_told() -> None:
    lost, torn = Violation("lost_acknowledged", "l"), Violation("torn_operation", "t")
    assert worse(lost, torn) is worse(torn, lost) is torn
    assert worse(None, lost) is lost
    assert worse(None, None) is None
    assert ORDER.index("cannot_open") < ORDER.index("phantom")


# --- what the store has shown since -----------------------------------------------------------------

RAISED = ((Put("a", "1"), "ok"), (Put("a", "2"), "raised"))


def showing(*shown: Any, known: Ledger) -> Ledger:
    for state in shown:
        known.showed(outcomes(KEY_VALUE, known.account(), state))
    return known


def test_what_was_shown_to_have_happened_stays() -> None:
    known = showing({"a": "2"}, known=ledger(*RAISED))
    known.closed()
    violation = judge_shown(KEY_VALUE, known, {"a": "1"})
    assert violation is not None and (violation.kind, violation.operations) == ("phantom", (1,))
    assert "had happened" in violation.sentence
    assert kind(KEY_VALUE, known, {"a": "2"}) is None
    assert judge_read(known, "a", "2") is None
    read = judge_read(known, "a", "1")
    assert read is not None and read.kind == "phantom"


def test_what_was_shown_not_to_have_happened_stays_away_once_the_store_went_on() -> None:
    known = showing({"a": "1"}, known=ledger(*RAISED))
    assert kind(KEY_VALUE, known, {"a": "2"}) is None  # nothing was acknowledged since
    known.add(Sync(), raised=False, struck=False)
    assert kind(KEY_VALUE, known, {"a": "2"}) is None  # no change
    known.add(Put("b", "3"), raised=False, struck=False)
    assert kind(KEY_VALUE, known, {"a": "1", "b": "3"}) is None
    violation = judge_shown(KEY_VALUE, known, {"a": "2", "b": "3"})
    assert violation is not None and (violation.kind, violation.operations) == ("phantom", (1,))
    assert "had not happened" in violation.sentence


def test_the_next_opening_may_show_what_a_store_that_only_refused_did_not() -> None:
    known = showing({"a": "1"}, known=ledger(*RAISED))
    known.add(Put("b", "3"), raised=True, struck=False)
    known.closed()
    known.add(Put("c", "4"), raised=False, struck=False)
    assert kind(KEY_VALUE, known, {"a": "2", "c": "4"}) is None
    assert kind(KEY_VALUE, known, {"a": "1", "c": "4"}) is None


def test_closing_with_an_error_takes_with_it_what_the_handle_showed() -> None:
    known = showing({"a": "2"}, known=ledger(*RAISED))
    known.closed(failed=True)
    assert kind(KEY_VALUE, known, {"a": "1"}) is None


def test_what_was_not_promised_to_be_kept_may_be_lost_though_it_was_shown() -> None:
    known = ledger((Append("a"), "ok"), (Append("b"), "raised"), promise="prefix")
    known.showed(outcomes(LOG, known.account(), ["a", "b"]))
    known.closed()
    assert kind(LOG, known, ["a"]) is None


def test_copies_of_a_ledger_have_their_own_outcomes() -> None:
    known = ledger(*RAISED)
    copy = known.copy()
    showing({"a": "2"}, known=known)
    assert kind(KEY_VALUE, copy, {"a": "1"}) is None
    assert kind(KEY_VALUE, known.after((Put("z", "0"),), frozenset()), {"a": "1", "z": "0"}) == "phantom"


def test_a_later_operation_is_judged_by_what_was_said_if_that_does_not_explain_it_either() -> None:
    known = showing({"a": "2"}, known=ledger(*RAISED))
    assert kind(KEY_VALUE, known, {}) == "lost_acknowledged"
