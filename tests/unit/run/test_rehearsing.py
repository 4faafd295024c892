"""A look at an adapter before any fault: what is the user's to mend, and what is none of this look's business."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import DOCUMENT, KEY_VALUE, LOG, Append, Delete, Put, Save, UsageError
from harness.core.trace import Trace, empty_image
from harness.run.rehearsing import LOOKS, rehearse, require_judgeable
from tests.stores import hostile, unfit
from tests.stores.honest import Sound
from tests.stores.local import Diary

STEPS = (Put("a", "1"), Put("b", "2"), Delete("a"))


def rehearsed(adapter: Any, folder: Path, *operations: Any) -> Diary:
    diary = Diary()
    rehearse(adapter, folder, diary, Trace(empty_image(), (), operations or STEPS, str(folder)))
    return diary


def told(adapter: Any, folder: Path, *operations: Any) -> str:
    with pytest.raises(UsageError) as raised:
        rehearsed(adapter, folder, *operations)
    assert "\n" not in str(raised.value) and "harness/run" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("adapter", "sentence"),
    [
        (unfit.WrongType, "snapshot returned a list for a new store: KEY_VALUE needs a dict[str, str]."),
        (unfit.Encoded, "returned values of type bytes for a new store after Put('a', '1'): KEY_VALUE needs"),
        (unfit.Incomparable, "snapshot returned values of type Prickly for a new store after Put('a', '1')"),
        (hostile.ReadsLazily, "can't read a new store: TypeError: snapshot returned a generator"),
        (hostile.CannotBeRead, "can't read a new store (line "),
    ],
)
def test_a_snapshot_that_nothing_can_be_judged_by_is_told(adapter: Any, sentence: str, tmp_path: Path) -> None:
    """In one sentence: what it is, when, and what it should be."""
    assert sentence in told(adapter, tmp_path)


def test_a_snapshot_that_is_nested_too_deep_to_copy_is_told_with_its_depth(tmp_path: Path) -> None:
    """It is not the store that could not be read."""
    sentence = told(unfit.Deep, tmp_path, hostile.Bump(1))

    assert sentence.startswith("snapshot returned <a list nested 5000 levels deep, too deep to copy>")
    assert "raised" not in sentence


def test_a_comparison_that_raises_is_told_with_its_line(tmp_path: Path) -> None:
    sentence = told(hostile.EqualRaises, tmp_path, hostile.Bump(1))

    assert sentence.startswith("what snapshot returned for a new store can't be compared with the state of the adapter")
    assert "hostile.py): ArithmeticError: cannot compare." in sentence


@pytest.mark.parametrize(
    ("model", "snapshot", "state"),
    [
        (KEY_VALUE, {"a": 1, "b": "2"}, {"a": "1", "b": "2"}),
        (KEY_VALUE, {"a": "0"}, {}),
        (DOCUMENT, {}, None),
        (DOCUMENT, None, {"a": 1}),
        (LOG, ("a",), ()),
        (LOG, [1, "b"], ("1", "b")),
    ],
)
def test_a_wrong_state_of_the_right_type_is_the_stores(model: Any, snapshot: Any, state: Any) -> None:
    """It can be judged, and crash states will do that. One part of another type may be what a store made of text."""
    require_judgeable(model, snapshot, state, "a new store")


@pytest.mark.parametrize(
    ("model", "snapshot", "state", "sentence"),
    [
        (KEY_VALUE, None, {}, "snapshot returned None for"),
        (KEY_VALUE, {b"a": "1"}, {"a": "1"}, "keys of type bytes"),
        (DOCUMENT, '{"a": 1}', {"a": 1}, "a str for"),
        (LOG, {"a": 1}, ("a",), "a dict for"),
        (LOG, [b"a", 2], ("a", "b"), "records of type bytes, int"),
    ],
)
def test_another_type_is_the_adapters(model: Any, snapshot: Any, state: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        require_judgeable(model, snapshot, state, "a new store")


def test_what_a_store_does_wrong_is_left_to_its_crash_states(tmp_path: Path) -> None:
    """An operation, a reading or a closing that raises here ends the look."""

    class Fails(Sound):
        def snapshot(self, store: Path) -> Any:
            if store.exists():
                raise LookupError("gone")
            return {}

        def close(self, store: Path) -> None:
            raise OSError("stuck")

    class Refuses(Sound):
        def apply(self, store: Path, operation: Any) -> None:
            raise OSError("no")

    rehearsed(Fails, tmp_path)
    rehearsed(Refuses, tmp_path)


def test_the_look_is_short(tmp_path: Path) -> None:
    """However long the workload was; and a supervisor knows of each call into the store."""
    operations = tuple(Append(str(number)) for number in range(3 * LOOKS))

    class Records(Sound):
        model = LOG

        def apply(self, store: Path, operation: Any) -> None:
            store.write_text("\n".join([*self.snapshot(store), operation.record]))

        def snapshot(self, store: Path) -> Any:
            return store.read_text().split("\n") if store.exists() else []

    calls = [phase for _, phase in rehearsed(Records, tmp_path, *operations).calls]

    assert calls.count("an operation") == LOOKS and calls.count("reading the store") == LOOKS + 1
    assert calls[0] == "opening the store" and calls[-1] == "closing the store"


def test_a_document_is_shown_as_such(tmp_path: Path) -> None:
    """Of what lies in it nothing is asked."""

    class Documents(unfit.PricklyWhenDamaged):
        def snapshot(self, store: Path) -> Any:
            return None if not store.exists() else {"other": {1, 2}}

    rehearsed(Documents, tmp_path, Save({"a": 1}))
