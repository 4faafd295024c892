"""A line of threads: who is the first, and what happens when others leave."""

from __future__ import annotations

import contextlib

from store_under_test.metrics_store.line import Line


def free(*turns: object) -> list[bool]:
    """Whether each of them may go; asking takes nothing."""
    return [not turn.locked() for turn in turns]  # type: ignore[attr-defined]  # locks


def test_the_first_may_go_and_then_the_next() -> None:
    line, first, second = Line(), contextlib.ExitStack(), contextlib.ExitStack()
    turns = [first.enter_context(line.place()), second.enter_context(line.place())]
    assert free(*turns) == [True, False] and len(line) == 2
    first.close()
    assert free(*turns) == [True, True] and len(line) == 1
    second.close()
    assert not line


def test_who_leaves_from_the_middle_or_the_end_holds_nobody_up() -> None:
    line, places = Line(), [contextlib.ExitStack() for _ in range(4)]
    turns = [place.enter_context(line.place()) for place in places]
    places[1].close()
    places[3].close()
    assert free(turns[0], turns[2]) == [True, False]
    places[0].close()
    assert free(turns[2]) == [True]
    places[2].close()
    assert not line


def test_the_first_leaves_with_its_lock_in_its_hands() -> None:
    """It has acquired its turn, and need not give it back."""
    line, first = Line(), contextlib.ExitStack()
    assert first.enter_context(line.place()).acquire(blocking=False)
    with line.place() as second:
        first.close()
        assert second.acquire(blocking=False)
