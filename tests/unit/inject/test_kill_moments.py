"""Which kills there are in a run, in what order, and which call each of them is about. Pure values."""

from __future__ import annotations

import pytest

from harness.core.trace import CallSite
from harness.inject import kills
from harness.inject.kills import Called, Kill, Moment, Settled


def called(name: str, line: int, **more: object) -> Called:
    return Called(name, CallSite("store.py", line, name), **more)  # type: ignore[arg-type]


OPEN = called("open", 1, changes=True, lasting=True)
WRITE = called("write", 2, cuts=(96, 4192), changes=True, lasting=True)
SYNC = called("fsync", 3, lasting=True, locked=True)
READ = called("read", 4)
COURSE = (OPEN, WRITE, SYNC, Settled(0), READ, Settled(1), Settled(2, acknowledged=False), READ)


def test_every_call_and_every_answer_is_a_moment() -> None:
    """After a call only where the client learned something before the next one, or there is no next one."""
    assert list(kills.kills(COURSE, 0)) == [
        Kill(Moment.BEFORE, 1),
        Kill(Moment.BEFORE, 2),
        Kill(Moment.INSIDE, 2, 96),
        Kill(Moment.INSIDE, 2, 4192),
        Kill(Moment.BEFORE, 3),
        Kill(Moment.AFTER, 3),
        Kill(Moment.ACKNOWLEDGED, 0),
        Kill(Moment.BEFORE, 4),
        Kill(Moment.AFTER, 4),
        Kill(Moment.ACKNOWLEDGED, 1),
        Kill(Moment.BEFORE, 5),
        Kill(Moment.AFTER, 5),
    ]


@pytest.mark.parametrize(
    ("kill", "line"),
    [
        (Kill(Moment.BEFORE, 1), 1),  # nothing was begun before: the call itself
        (Kill(Moment.BEFORE, 2), 1),
        (Kill(Moment.INSIDE, 2, 96), 2),
        (Kill(Moment.BEFORE, 3), 2),
        (Kill(Moment.AFTER, 3), 2),  # a sync changes nothing, and nobody has learned anything yet
        (Kill(Moment.ACKNOWLEDGED, 0), 3),  # but it is the call after which the client was told
        (Kill(Moment.BEFORE, 5), 3),
        (Kill(Moment.STALLED, 3), 2),
        (Kill(Moment.RANDOM, 2), 3),  # all of the course
    ],
)
def test_the_call_site_is_the_last_call_begun(kill: Kill, line: int) -> None:
    """Of those that may leave something behind."""
    site = kills.site_of(COURSE, kill)

    assert site is not None and site.line == line


def test_the_calls_of_an_operation_are_those_between_two_answers() -> None:
    for number in (1, 2, 3):
        assert kills.operation_at(COURSE, Kill(Moment.STALLED, number)) == (OPEN, WRITE, SYNC)
    assert kills.operation_at(COURSE, Kill(Moment.STALLED, 4)) == (READ,)
    assert kills.operation_at(COURSE, Kill(Moment.STALLED, 5)) == (READ,)
    assert kills.operation_at((), Kill(Moment.STALLED, 1)) == ()


def test_without_any_call_there_is_no_call_site() -> None:
    assert kills.site_of((Settled(0),), Kill(Moment.ACKNOWLEDGED, 0)) is None
    assert kills.call_at((), Kill(Moment.BEFORE, 1)) is None
    assert list(kills.kills((Settled(0),), 0)) == [Kill(Moment.ACKNOWLEDGED, 0)]


@pytest.mark.parametrize(
    ("position", "size", "expected"),
    [(0, 4096, ()), (0, 4097, (4096,)), (4000, 97, (96,)), (4000, 96, ()), (100, 9000, (3996, 8092)), (5, 0, ())],
)
def test_a_write_is_cut_at_the_pages_of_its_file(position: int, size: int, expected: tuple[int, ...]) -> None:
    """Not at those of the buffer."""
    assert kills.cuts(position, size) == expected


def test_of_many_pages_the_first_the_last_and_some_between_are_tried() -> None:
    course = (called("write", 1, cuts=tuple(range(4096, 4096 * 50, 4096)), changes=True, lasting=True),)
    parts = [kill.part_bytes for kill in kills.kills(course, 7) if kill.moment is Moment.INSIDE]

    assert len(parts) == kills.CUTS_MOST
    assert (parts[0], parts[-1], parts) == (4096, 4096 * 49, sorted(parts))
    assert list(kills.kills(course, 7)) == list(kills.kills(course, 7)) != list(kills.kills(course, 8))


def test_recoveries_are_killed_where_something_was_under_way() -> None:
    """After a change, or inside one."""
    found = list(kills.kills_in_recovery(COURSE, 0))

    assert found == [
        Kill(Moment.RECOVERING, 2),
        Kill(Moment.RECOVERING, 2, 96),
        Kill(Moment.RECOVERING, 2, 4192),
        Kill(Moment.RECOVERING, 3),
    ]
    assert [kill.first() for kill in found[:2]] == [Kill(Moment.BEFORE, 2), Kill(Moment.INSIDE, 2, 96)]


def test_a_writer_stands_still_while_it_holds_a_lock() -> None:
    """Where it never does, at calls that write, and where there are none, anywhere."""
    assert list(kills.stalls(COURSE, 0)) == [Kill(Moment.STALLED, 3)]
    assert list(kills.stalls((OPEN, READ, WRITE), 0)) == [Kill(Moment.STALLED, 1), Kill(Moment.STALLED, 3)]
    assert list(kills.stalls((READ, READ), 0)) == [Kill(Moment.STALLED, 1), Kill(Moment.STALLED, 2)]
    assert list(kills.stalls((), 0)) == []


def test_kills_by_the_clock_are_fractions_of_the_whole() -> None:
    found = list(kills.random_kills(1))

    assert len(found) == kills.RANDOM_MOMENTS and found == list(kills.random_kills(1)) != list(kills.random_kills(2))
    assert all(0 < kills.duration_s(kill, 2.0) < 2.0 for kill in found)


def test_kills_describe_themselves() -> None:
    assert [kill.describe() for kill in (
        Kill(Moment.BEFORE, 3),
        Kill(Moment.AFTER, 3),
        Kill(Moment.INSIDE, 3, 96),
        Kill(Moment.ACKNOWLEDGED, 0),
        Kill(Moment.RECOVERING, 3),
        Kill(Moment.STALLED, 3),
        Kill(Moment.RANDOM, 125),
    )] == [
        "the process was killed before its I/O call number 3",
        "the process was killed after its I/O call number 3",
        "the process was killed inside I/O call number 3, 96 bytes written",
        "the process was killed when operation 1 had just been acknowledged",
        "the process was killed before its I/O call number 3, and so was the next one while it opened what was left",
        "the process was stopped before its I/O call number 3, and went on later",
        "the process was killed after 12.5% of the time that it takes",
    ]


def test_what_struck_is_told_in_a_word() -> None:
    words = [kills.word(Kill(moment, 3), COURSE) for moment in Moment]

    assert words == [
        *("kill holding a lock", "kill inside a write", "kill holding a lock"),
        *("kill", "kill during recovery", "stall", "kill"),
    ]


def test_some_of_many_come_from_all_parts() -> None:
    found = kills.spread(range(100), 4, "seed")

    assert [item // 25 for item in found] == [0, 1, 2, 3]
    assert kills.spread([1, 2], 4, "seed") == [1, 2]
