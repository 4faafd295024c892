"""Several callers are kept apart by their keys and records: each one's share is what its own operations lead to."""

from __future__ import annotations

from typing import Any

import pytest

from harness import DOCUMENT, KEY_VALUE, LOG, Append, AppendMany, Compact, Delete, Get, Put, PutMany, Read, Sync
from harness.measure.lanes import can_be_shared, marked, shares


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (Append("a-b"), Append("3-a-b")),
        (AppendMany(("", "b")), AppendMany(("3-", "3-b"))),
        (Put("k", "v"), Put("3-k", "v")),
        (PutMany((("k", "v"), ("", "w"))), PutMany((("3-k", "v"), ("3-", "w")))),
        (Delete("k"), Delete("3-k")),
        (Get("k"), Get("3-k")),
        (Read(2), Read(2)),
        (Sync(), Sync()),
        (Compact(), Compact()),
    ],
)
def test_operations_are_marked_by_their_caller(operation: Any, expected: Any) -> None:
    """Keys and records are; values and maintenance stay."""
    assert marked(operation, 3) == expected


@pytest.mark.parametrize("model", [LOG, KEY_VALUE])
def test_what_callers_did_in_any_order_is_told_apart(model: Any) -> None:
    """Two interleavings of the same operations give the same shares: those of each caller by itself."""
    mine = [Append("x"), Append("y")] if model is LOG else [Put("k", "1"), Delete("k"), Put("l", "2")]
    ours = [marked(operation, 0) for operation in mine]
    theirs = [marked(operation, 11) for operation in mine]

    def after(operations: list[Any]) -> Any:
        state = model.initial()
        for operation in operations:
            state, _ = model.step(state, operation)
        return state

    for order in (ours + theirs, [ours[0], *theirs, *ours[1:]]):
        found = shares(after(order), 12)
        assert found is not None
        assert model.equal(found[0], after(ours)) and model.equal(found[11], after(theirs))
        assert not any(found[1:11])


@pytest.mark.parametrize("snapshot", [["x"], ["2-x"], ["-x"], ["²-x"], [7], {"key": "v"}, {"2-k": "v"}, None, "0-x"])
def test_what_is_nobodys_is_told(snapshot: Any) -> None:
    """What no caller can have written, and what is no snapshot."""
    assert shares(snapshot, 2) is None


def test_only_keys_and_records_can_be_kept_apart() -> None:
    assert can_be_shared(LOG) and can_be_shared(KEY_VALUE)
    assert not can_be_shared(DOCUMENT) and not can_be_shared(object())
