"""A log whose positions tell the order of the appends: decided by sorting.

Every position that an append was acknowledged at, or that a read shows, has one record, and one append that put it
there. So the order of the appends is known, and each read stands behind the last append that it shows and before the
next one. Such an order is sound if, and only if, nothing in it was called after something behind it had been answered.

It takes that each position has one possible append: appends that tell no position need records that no other one of
them has. An append that was not answered and that nobody has seen may fill a position of which nothing is known; they
are taken in the order of their calls, because the oldest fits wherever a younger one does. An acknowledged append that
is at no known position stands behind all of them. What these rules can't tell is left to the search.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import UsageError
from harness.core.history import History
from harness.core.operations import Append, AppendMany, Read
from harness.history.decided import OPEN, Decided
from harness.history.events import NEVER, Event, final_event, operations_of
from harness.history.interning import canonical

_HOLE = object()
_BEHIND_ALL = NEVER


@dataclass(slots=True, eq=False)
class Appended:
    """An append: its records, and its first position where that is known. `told` if the store gave the position."""

    event: Event
    records: tuple[Any, ...]
    position: int | None = None
    told: bool = False

    @property
    def end(self) -> int:
        assert self.position is not None
        return self.position + len(self.records)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A read: the records from position `start` on."""

    event: Event
    start: int
    records: tuple[Any, ...]

    @property
    def end(self) -> int:
        """The length of the log when it was read; where it shows nothing, the length was at most that."""
        return self.start + len(self.records)


class _Contradiction(Exception):
    """These events contradict each other; `words` says how."""

    def __init__(self, words: str, *against: Event) -> None:
        super().__init__(words)
        self.decided = Decided(False, against=against, words=words)


class _Undecided(Exception):
    """The rules can't tell."""


@dataclass(slots=True)
class _Positions:
    """What is known of each position: the record, who shows it, and the append that put it there."""

    records: list[Any] = field(default_factory=list)
    shown: list[Event | None] = field(default_factory=list)
    owners: list[Appended | None] = field(default_factory=list)

    def extend(self, length: int) -> None:
        more = length - len(self.records)
        if more > 0:
            self.records += [_HOLE] * more
            self.shown += [None] * more
            self.owners += [None] * more

    def show(self, event: Event, start: int, records: Sequence[Any]) -> None:
        """`event` tells that `records` are at `start` and behind it."""
        end = start + len(records)
        self.extend(end)
        if self.records[start:end] == list(records):
            return
        for place, record in enumerate(records, start):
            if self.records[place] is _HOLE:
                self.records[place], self.shown[place] = record, event
            elif self.records[place] != record:
                other = self.shown[place]
                assert other is not None
                words = f"{{0}} and {{1}} have different records at position {place}"
                raise _Contradiction(words, *_in_time(event, other))

    def own(self, put: Appended) -> None:
        """`put` is the append at its positions."""
        assert put.position is not None
        self.extend(put.end)
        for place in range(put.position, put.end):
            other = self.owners[place]
            if other is not None and other is not put:
                words = f"{{0}} and {{1}} were both given position {place}"
                raise _Contradiction(words, *_in_time(other.event, put.event))
            self.owners[place] = put


def log_events(history: History) -> list[Event]:
    """What counts of a history of a log, the snapshot included."""
    events = operations_of(history, plain_reads=True)
    return [*events, final_event(history)] if history.has_final else events


def decide(events: Sequence[Event], final: Any = None) -> Decided:
    """Whether these events of a log are linearizable; `final` is what the snapshot among them shows."""
    try:
        return _decide(*_sorted_out(events, final))
    except _Contradiction as found:
        return found.decided
    except _Undecided:
        return OPEN


def _decide(puts: list[Appended], seen: list[Seen]) -> Decided:
    known = _Positions()
    for read in sorted(seen, key=lambda read: (-read.end, read.start)):
        if read.records:
            known.show(read.event, read.start, read.records)
    for put in puts:
        if put.position is not None:
            known.show(put.event, put.position, put.records)
            known.own(put)
    late, spare = _find_positions(puts, known)
    _fill_holes(known, late, spare)
    _check_batches(seen, known)
    return _in_order(puts, seen, late, len(known.records))


# --- who put what where ---------------------------------------------------------------------------


def _sorted_out(events: Sequence[Event], final: Any) -> tuple[list[Appended], list[Seen]]:
    puts: list[Appended] = []
    seen: list[Seen] = []
    for event in events:
        match None if event.called is None else event.called.operation:
            case Append(record):
                puts.append(_put(event, (record,)))
            case AppendMany(records):
                puts.append(_put(event, tuple(records)))
            case Read(start):
                assert event.called is not None
                seen.append(_seen(event, start, event.called.answer))
            case None:
                seen.append(_seen(event, 0, final))
            case other:
                raise UsageError(f"{type(other).__name__} is no operation of LOG: name the model it is of.")
    return puts, seen


def _put(event: Event, records: tuple[Any, ...]) -> Appended:
    answer = event.called.answer if event.called is not None and event.answered else None
    if type(answer) is not int:
        return Appended(event, tuple(map(_key, records)))
    if answer < 0:
        raise _Contradiction("{0} was given a position that no log has", event)
    return Appended(event, tuple(map(_key, records)), answer, True)


def _seen(event: Event, start: int, answer: Any) -> Seen:
    if type(start) is not int or start < 0:
        raise _Undecided
    if not isinstance(answer, list | tuple):
        raise _Contradiction("{0} gave no list of records", event)
    return Seen(event, start, tuple(map(_key, answer)))


def _key(record: Any) -> Any:
    return record if type(record) is str else canonical(record)


def _find_positions(puts: list[Appended], known: _Positions) -> tuple[list[Appended], list[Appended]]:
    """Give the appends without a position the one that shows their record.

    What is left: acknowledged ones that nobody has seen, and unanswered ones that nobody has seen.
    """
    untold = [put for put in puts if not put.told]
    places = defaultdict(list)
    for place, record in enumerate(known.records):
        if record is not _HOLE and known.owners[place] is None:
            places[record].append(place)
    claims = Counter(record for put in untold for record in put.records)
    for record, found in places.items():
        if len(found) > claims[record]:
            raise _Contradiction(_TOO_OFTEN[claims[record] > 0].format(place=found[-1]), *_showing(known, found[-1]))
    for put in untold:
        seen = [(places[record][0], place) for place, record in enumerate(put.records) if places.get(record)]
        if seen and any(claims[record] > 1 for record in put.records):
            raise _Undecided
        if seen:
            _place(put, {place - offset for place, offset in seen}, known)
    return (
        [put for put in untold if put.position is None and put.event.answered],
        [put for put in untold if put.position is None and not put.event.answered],
    )


_TOO_OFTEN = {
    False: "{{0}} shows a record at position {place} that nobody appended there",
    True: "{{0}} shows a record at position {place} that was not appended so often",
}


def _place(put: Appended, starts: set[int], known: _Positions) -> None:
    """All records of a batch are there, one behind the other."""
    put.position = min(starts)
    if put.position >= 0:
        known.extend(put.end)
    if len(starts) > 1 or put.position < 0 or not all(
        known.records[place] in (_HOLE, record) for place, record in enumerate(put.records, put.position)
    ):
        shown = next(known.shown[place] for place, record in enumerate(known.records) if record in put.records)
        assert shown is not None
        raise _Contradiction("{1} shows {0} in pieces", put.event, shown)
    known.own(put)


def _showing(known: _Positions, place: int) -> tuple[Event, ...]:
    event = known.shown[place]
    assert event is not None
    return (event,)


def _fill_holes(known: _Positions, late: list[Appended], spare: list[Appended]) -> None:
    """Positions that nobody has seen belong to appends that were not answered, the oldest first."""
    holes = [place for place, owner in enumerate(known.owners) if owner is None]
    if not holes:
        return
    if late or any(len(put.records) > 1 for put in spare):
        raise _Undecided
    if len(holes) > len(spare):
        hole = holes[len(spare)]
        place = next(place for place in range(hole, len(known.shown)) if known.shown[place] is not None)
        words = f"{{0}} puts a record at position {place}, but nobody appended what is at position {hole}"
        raise _Contradiction(words, *_showing(known, place))
    spare.sort(key=lambda put: put.event.invoked)
    for hole, put in zip(holes, spare, strict=False):
        put.position = hole
        known.owners[hole] = put


def _check_batches(seen: list[Seen], known: _Positions) -> None:
    """No read ends within a batch."""
    for read in seen:
        if read.records and read.end < len(known.owners):
            before, after = known.owners[read.end - 1], known.owners[read.end]
            assert before is not None
            if before is after:
                raise _Contradiction("{1} shows only a part of {0}", before.event, read.event)


# --- the order ------------------------------------------------------------------------------------


def _in_order(puts: list[Appended], seen: list[Seen], late: list[Appended], length: int) -> Decided:
    """Appends by position, each read behind what it shows; nothing was called after what stands behind it ended."""
    whole = length + sum(len(put.records) for put in late)
    if late and any(not read.records and length <= read.start < whole for read in seen):
        raise _Undecided
    steps: list[tuple[float, int, Appended | Seen]] = [(put.end, 0, put) for put in puts if put.position is not None]
    steps += [(read.end if read.end < whole else _BEHIND_ALL, 1, read) for read in seen]
    steps += [(_BEHIND_ALL, 0, put) for put in sorted(late, key=lambda put: put.event.invoked)]
    steps.sort(key=lambda step: step[:2])
    placed: list[tuple[float, Event]] = []
    latest: Appended | Seen | None = None
    for (_, is_read), group in itertools.groupby(steps, key=lambda step: step[:2]):
        members = [step[2] for step in group]
        if not is_read:  # late ones are several: each of them is behind those before it
            for put in members:
                latest = _behind(latest, [put], placed)
        else:
            latest = _behind(latest, members, placed)
    placed.sort(key=lambda step: step[0])
    return Decided(True, tuple(event for _, event in placed))


def _behind(
    latest: Appended | Seen | None, members: Iterable[Appended | Seen], placed: list[tuple[float, Event]]
) -> Appended | Seen | None:
    """Place `members` behind everything; the one of all that was called last."""
    newest = latest
    for member in members:
        event = member.event
        free = isinstance(member, Seen) and not member.records  # it may have come earlier as well
        if latest is not None and not free and event.completed < latest.event.invoked:
            raise _too_late(latest, member)
        placed.append((event.invoked if free or latest is None else max(event.invoked, latest.event.invoked), event))
        if newest is None or event.invoked > newest.event.invoked:
            newest = member
    return newest


def _too_late(before: Appended | Seen, behind: Appended | Seen) -> _Contradiction:
    """`before` has to come first, but was called only when `behind` had been answered."""
    first, second = behind.event, before.event
    if isinstance(before, Seen):
        has = f"ends at position {before.end}" if before.records else f"shows nothing from position {before.start} on"
        if isinstance(behind, Seen):
            words = f"{{1}} {has}, but {{0}} had shown {behind.end} records before it began"
            return _Contradiction(words, first, second)
        if not behind.told:
            return _Contradiction("{1} does not have {0}, which had been acknowledged before it began", first, second)
        words = f"{{1}} {has}, but {{0}} had been acknowledged at position {behind.position} before it began"
        return _Contradiction(words, first, second)
    if isinstance(behind, Seen):
        return _Contradiction("{0} shows what {1} appended only after it", first, second)
    places = f"{{0}} is at position {behind.position}, behind {{1}} at position {before.position}"
    return _Contradiction(f"{places}, which was called only after it had been acknowledged", first, second)


def _in_time(*events: Event) -> tuple[Event, ...]:
    return tuple(sorted(events, key=lambda event: (event.invoked, event.number)))
