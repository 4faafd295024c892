"""Locks in different orders: what may end in a deadlock, and what never will."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from harness.core.trace import CallSite
from harness.judge import lock_order
from harness.judge.lock_order import Cycle, Hold, Request, cycles, place

Program = list[tuple[str, str]]  # "+" or "-", and a lock


def site(line: int) -> CallSite:
    return CallSite("/somewhere/store.py", line, "f")


def hold(lock: str, line: int = 1, *, shared: bool = False, holder: str = "") -> Hold:
    return Hold(lock, f"the lock {lock}", site(line), shared, holder)


def request(thread: str, held: str, wanted: str, line: int = 1) -> Request:
    """Locks are letters, each taken in a line of its own."""
    places = enumerate(held, line)
    return Request(thread, tuple(hold(lock, number) for number, lock in places), hold(wanted, line + len(held)))


def locks(found: list[Cycle]) -> list[str]:
    """Each cycle as what its requests ask for."""
    return ["".join(each.wanted.lock for each in cycle.requests) for cycle in found]


# --- deadlocks ------------------------------------------------------------------------------------


def test_two_threads_with_two_locks_in_two_orders() -> None:
    [cycle] = cycles([request("1", "a", "b", 10), request("2", "b", "a", 20)])
    assert cycle.links == (("store.py:10", "store.py:11"), ("store.py:20", "store.py:21"))
    assert cycle.sentence() == (
        "A then B in line 11 of store.py, B then A in line 21 of store.py (A is the lock a, B is the lock b)"
    )


def test_three_threads_of_which_no_two_are_at_odds() -> None:
    rows = [request("1", "a", "b"), request("2", "b", "c"), request("3", "c", "a")]
    assert locks(cycles(rows)) == ["bca"]
    assert locks(cycles(rows[:2])) == []


def test_locks_in_between_hide_nothing() -> None:
    assert locks(cycles([request("1", "axy", "b"), request("2", "bz", "a")])) == ["ba"]


def test_a_lock_of_threads_and_one_of_a_file() -> None:
    """Each thread has opened the file for itself."""
    first = Request("1", (hold("t", 1),), hold("file", 2, holder="3"))
    second = Request("2", (hold("file", 3, holder="4"),), hold("t", 4))
    assert [cycle.requests for cycle in cycles([first, second])] == [(first, second)]


def test_who_wants_a_shared_lock_waits_for_one_that_is_not() -> None:
    alone = Request("1", (hold("f", 1, holder="3"),), hold("t", 2))
    shared = Request("2", (hold("t", 3),), hold("f", 4, shared=True, holder="4"))
    assert len(cycles([alone, shared])) == 1


# --- none -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows",
    [
        [request("1", "a", "b"), request("2", "a", "b")],
        [request("1", "a", "b"), request("1", "b", "a")],
        [request("1", "ga", "b"), request("2", "gb", "a")],
        [request("1", "gaxyz", "b"), request("2", "bg", "a")],
        [request("1", "a", "b"), request("2", "b", "c"), request("1", "c", "a")],
        [request("1", "ga", "b"), request("2", "b", "c"), request("3", "cg", "a")],
        [],
    ],
    ids=["one order", "one thread", "a gate", "a gate among others", "two of one thread", "a gate of two", "nothing"],
)
def test_what_no_schedule_can_bring_together(rows: list[Request]) -> None:
    assert cycles(rows) == []


def test_who_uses_the_same_open_file_is_not_kept_out_by_it() -> None:
    first = Request("1", (hold("t"),), hold("f", holder="3"))
    assert cycles([first, Request("2", (hold("f", holder="3"),), hold("t"))]) == []


def test_who_shares_a_lock_keeps_out_nobody_who_shares_it_too() -> None:
    first = Request("1", (hold("f", shared=True, holder="3"),), hold("t"))
    assert cycles([first, Request("2", (hold("t"),), hold("f", shared=True, holder="4"))]) == []


def test_a_shared_lock_is_no_gate() -> None:
    rows = [
        Request(each.thread, (*each.held, hold("g", shared=True, holder=each.thread)), each.wanted)
        for each in (request("1", "a", "b"), request("2", "b", "a"))
    ]
    assert len(cycles(rows)) == 1


# --- how many -------------------------------------------------------------------------------------


def test_a_cycle_is_told_once_and_the_same_lines_a_few_times() -> None:
    pair = [request("1", "a", "b"), request("2", "b", "a", 5)]
    assert len(cycles(pair)) == len(cycles(pair[::-1])) == 1
    many = [
        row for number in range(9) for row in (request(f"1 {number}", "a", "b"), request(f"2 {number}", "b", "a", 5))
    ]
    assert len(cycles(many)) == lock_order.ALIKE


def test_a_search_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_order, "_JOINED_MOST", 2)
    others = [request("0", "x", "y"), request("0", "y", "z")]
    assert cycles([*others, request("1", "a", "b"), request("2", "b", "a")]) == []


def test_a_line_that_is_not_known_has_no_name() -> None:
    assert place(None) == "" and place(site(7)) == "store.py:7"
    nameless = [Request("1", (Hold("a", "x", None),), Hold("b", "y", None)), request("2", "b", "a")]
    assert "A then B in a line of nobody's" in cycles(nameless)[0].sentence()


# --- against all interleavings ----------------------------------------------------------------------


def nested(source: random.Random, names: str, depth: int = 0) -> Program:
    """A program that frees locks in the reverse order of their taking, none twice at a time."""
    program: Program = []
    for lock in source.sample(names, source.randint(1 if depth == 0 else 0, min(2, len(names)))):
        inside = nested(source, names.replace(lock, ""), depth + 1) if depth < 3 else []
        program += [("+", lock), *inside, ("-", lock)]
    return program


def requests(thread: str, program: Program) -> Iterator[Request]:
    """What a thread asks for when it runs alone."""
    held = ""
    for action, lock in program:
        if action == "+" and held:
            yield request(thread, held, lock)
        held = held + lock if action == "+" else held.replace(lock, "")


def can_deadlock(programs: list[Program]) -> bool:
    """Whether in some order of all steps nobody can go on."""
    pending, known = [(0,) * len(programs)], set[tuple[int, ...]]()
    while pending:
        at = pending.pop()
        taken = [lock for program, step in zip(programs, at, strict=True) for lock in held_at(program, step)]
        able = [n for n, program in enumerate(programs) if at[n] < len(program) and can_go(program[at[n]], taken)]
        if not able and any(step < len(program) for program, step in zip(programs, at, strict=True)):
            return True
        for n in able:
            after = (*at[:n], at[n] + 1, *at[n + 1 :])
            if after not in known:
                known.add(after)
                pending.append(after)
    return False


def held_at(program: Program, step: int) -> set[str]:
    held: set[str] = set()
    for action, lock in program[:step]:
        (held.add if action == "+" else held.discard)(lock)
    return held


def can_go(step: tuple[str, str], taken: list[str]) -> bool:
    return step[0] == "-" or step[1] not in taken


@pytest.mark.parametrize(("threads", "programs_tried"), [(2, 400), (3, 100)])
def test_whatever_can_deadlock_has_a_cycle(threads: int, programs_tried: int) -> None:
    """Of programs that take locks in a nested way; of two threads also the reverse is true."""
    source, both = random.Random(threads), set()
    for _ in range(programs_tried):
        programs = [nested(source, "abcd"[: threads + 1]) for _ in range(threads)]
        rows = itertools.chain(*(requests(str(n), program) for n, program in enumerate(programs)))
        found, real = bool(cycles(rows)), can_deadlock(programs)
        assert found or not real, programs
        assert threads > 2 or found == real, programs
        both.add(real)
    assert both == {True, False}
