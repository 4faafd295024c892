"""Calls that fail: which errors a call may give, and in which order the faults of a run are tried.

The errors are those that the manual pages of Linux document for a call (section 2 of each), as far as a store on a
local file system meets them. A close that fails has closed the descriptor all the same (close(2), "Dealing with error
returns"). A write may take less than it was given (write(2)); what the rest of it meets is another call. Other
calls may be carried out and fail afterwards: a network file system loses an answer, a device reports too late.
A lock that is asked for without waiting may be taken (EWOULDBLOCK, flock(2)): by somebody who frees it before the next
look, or keeps it for `HELD_S` of the store's own waiting, so that whoever has a time limit runs into it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import zip_longest


class CallWay(Enum):
    """What becomes of a call that is struck."""

    FAILS = "fails"
    DONE = "is carried out and fails"
    SHORT = "takes half of its bytes"
    SHORT_THEN_FULL = "takes half of its bytes, and the rest fails"
    TAKEN = "finds the lock taken"
    FORKED = "is made while the process is forked"


class CallLasting(Enum):
    """How long the fault stays."""

    ONCE = "once"
    A_WHILE = "and like it all until the second next step has ended"
    FROM_THEN_ON = "and like it all from then on"
    HELD = "and so does every other look, until somebody has waited for half a minute"


#: How long a lock stays taken, in seconds that the store waits; and how often it is looked at by who does not wait.
HELD_S = 30.0
LOOKS_MOST = 20_000


@dataclass(frozen=True, slots=True)
class Seen:
    """One call of a run without faults.

    `creates`: it makes a file; `site` is anything that tells places apart; `tries`: it asks for a lock that this
    descriptor has not, and does not wait; `locked`: a lock was held then.
    """

    name: str
    group: str
    creates: bool
    size_bytes: int
    site: str
    tries: bool = False
    locked: bool = False


@dataclass(frozen=True, slots=True)
class CallFault:
    """The `number`-th call `name` (from 1) gives `error`, the name of an errno ("" for a short write alone)."""

    name: str
    number: int
    error: str
    way: CallWay = CallWay.FAILS
    lasting: CallLasting = CallLasting.ONCE

    @property
    def word(self) -> str:
        """The fault in a word, for tables."""
        if self.way in (CallWay.SHORT, CallWay.SHORT_THEN_FULL):
            return "short write" if self.way is CallWay.SHORT else f"short write, then {self.error}"
        if self.way in (CallWay.TAKEN, CallWay.FORKED):
            return "lock taken" if self.way is CallWay.TAKEN else "fork"
        return self.error if self.way is CallWay.FAILS else f"{self.error} after effect"

    def describe(self) -> str:
        call = f"the {ordinal(self.number)} {self.name.removeprefix('file_')}"
        match self.way:
            case CallWay.SHORT:
                what = "takes only half of its bytes"
            case CallWay.SHORT_THEN_FULL:
                what = f"takes only half of its bytes, and the next gives {self.error}"
            case CallWay.DONE:
                what = f"is carried out, and gives {self.error} all the same"
            case CallWay.TAKEN | CallWay.FORKED:
                what = self.way.value
            case _:
                what = f"gives {self.error}"
        return f"{call} {what}" if self.lasting is CallLasting.ONCE else f"{call} {what}, {self.lasting.value}"


def ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def os_error(name: str, path: str = "") -> OSError:
    """The exception that Python makes of the errno called `name`."""
    number = getattr(errno, name)
    return OSError(number, os.strerror(number), path) if path else OSError(number, os.strerror(number))


# --- what a call may give -----------------------------------------------------------------------

_ONCE, _WHILE, _ON = CallLasting.ONCE, CallLasting.A_WHILE, CallLasting.FROM_THEN_ON
Kind = tuple[str, CallWay, CallLasting]

#: Calls without a way to fail that a local file system has: access(2) answers, and sync(2) is always successful.
_NEVER = ("access", "sync")
#: Calls of a workload at which the process is forked.
_FORKS = 3
#: What makes or renames entries needs room for them.
_NEEDS_ROOM = ("rename", "replace", "link", "symlink", "mkdir")

_KINDS: dict[str, tuple[Kind, ...]] = {
    "open": (("EIO", CallWay.FAILS, _ONCE), ("EMFILE", CallWay.FAILS, _ON), ("EACCES", CallWay.FAILS, _ONCE)),
    "read": (("EIO", CallWay.FAILS, _ONCE), ("EIO", CallWay.FAILS, _ON)),
    "write": (
        ("EIO", CallWay.FAILS, _ONCE),
        ("", CallWay.SHORT, _ONCE),
        ("ENOSPC", CallWay.FAILS, _ON),
        ("ENOSPC", CallWay.SHORT_THEN_FULL, _WHILE),
        ("EIO", CallWay.DONE, _ONCE),
        ("EIO", CallWay.FAILS, _ON),
        ("ENOSPC", CallWay.SHORT_THEN_FULL, _ONCE),
        ("EDQUOT", CallWay.FAILS, _WHILE),
        ("", CallWay.SHORT, _ON),
        ("ENOSPC", CallWay.SHORT_THEN_FULL, _ON),
    ),
    "sync": (
        ("EIO", CallWay.FAILS, _ONCE),
        ("EIO", CallWay.FAILS, _ON),
        ("EIO", CallWay.DONE, _ONCE),
        ("ENOSPC", CallWay.FAILS, _WHILE),
        ("EDQUOT", CallWay.FAILS, _ONCE),
    ),
    "size": (
        ("EIO", CallWay.FAILS, _ONCE),
        ("ENOSPC", CallWay.FAILS, _ON),
        ("EIO", CallWay.DONE, _ONCE),
        ("EDQUOT", CallWay.FAILS, _WHILE),
    ),
    "name": (
        ("EIO", CallWay.FAILS, _ONCE),
        ("EIO", CallWay.DONE, _ONCE),
        ("EACCES", CallWay.FAILS, _ON),
        ("EIO", CallWay.FAILS, _WHILE),
    ),
    # `Path.glob` takes EACCES for an empty directory.
    "list": (("EIO", CallWay.FAILS, _ONCE), ("EMFILE", CallWay.FAILS, _WHILE)),
    # stat(2) names no EIO, and `os.path.exists` takes every error for "not there": no store could tell.
    "status": (),
    "attribute": (("EIO", CallWay.FAILS, _ONCE), ("EACCES", CallWay.FAILS, _ON)),
    "close": (("EIO", CallWay.DONE, _ONCE), ("EIO", CallWay.DONE, _ON), ("ENOSPC", CallWay.DONE, _ONCE)),
    "lock": (("ENOLCK", CallWay.FAILS, _ONCE), ("ENOLCK", CallWay.FAILS, _ON)),
}
_OF_TRIES: tuple[Kind, ...] = (("EAGAIN", CallWay.TAKEN, CallLasting.HELD), ("EAGAIN", CallWay.TAKEN, _ONCE))
_OF_CREATION: tuple[Kind, ...] = (("ENOSPC", CallWay.FAILS, _ON), ("EDQUOT", CallWay.FAILS, _ONCE))
_OF_NEW_ENTRIES: tuple[Kind, ...] = (("ENOSPC", CallWay.FAILS, _ON), ("EDQUOT", CallWay.FAILS, _ONCE))


def kinds(call: Seen) -> tuple[Kind, ...]:
    """What this call may meet, the most telling first."""
    if call.name in _NEVER:
        return ()
    found = _KINDS.get(call.group, ())
    if call.group == "open" and call.creates:
        return (*found, *_OF_CREATION)
    if call.tries:
        return (*found, *_OF_TRIES)
    if call.name in _NEEDS_ROOM:
        return (*found, *_OF_NEW_ENTRIES)
    if call.group == "write" and 0 <= call.size_bytes < 2:  # can't be short
        return tuple(kind for kind in found if kind[1] not in (CallWay.SHORT, CallWay.SHORT_THEN_FULL))
    return tuple(kind for kind in found if call.name != "fstat" or kind[0] != "EACCES")


def words(call: Seen) -> tuple[str, ...]:
    """The faults that apply to a call, in words: each error once, however long it lasts."""
    return tuple(dict.fromkeys(fault.word for fault in _of_call(call, 1)))


def ever_fails(name: str, group: str) -> bool:
    """Whether there is any fault for a call of this name."""
    return bool(kinds(Seen(name, group, False, -1, "")))


def once(call: Seen, number: int) -> Iterator[CallFault]:
    """Every fault that applies to a call, each once, by the simplest means."""
    for error, way in dict.fromkeys((error, way) for error, way, _ in kinds(call)):
        yield CallFault(call.name, number, error, way)


def forks(calls: Iterable[Seen]) -> Iterator[CallFault]:
    """A fork at a few of the calls during which a lock is held: what the child inherits is the parent's business."""
    numbers: dict[str, int] = {}
    found = []
    for call in calls:
        numbers[call.name] = numbers.get(call.name, 0) + 1
        if call.locked and call.group not in ("lock", "status"):
            found.append(CallFault(call.name, numbers[call.name], "", CallWay.FORKED))
    for part in range(min(_FORKS, len(found))):
        yield found[(2 * part + 1) * len(found) // (2 * _FORKS)]


# --- which faults, and in which order -----------------------------------------------------------


def faults(calls: Iterable[Seen]) -> Iterator[CallFault]:
    """Every fault of a run, so ordered that a budget may cut the tail.

    First each kind of fault once at every call site, the most telling kind first; then at a second call of each
    site, and so on. The calls of a site take turns from both ends: the first meets an empty store, the last a full one.
    """
    sites = [[list(_of_call(*item)) for item in _in_turn(found)] for found in _by_site(calls)]
    rounds = max((len(calls_of_site) for calls_of_site in sites), default=0)
    for turn in range(rounds):
        yield from _round(sites, turn)


def _round(sites: list[list[list[CallFault]]], turn: int) -> Iterator[CallFault]:
    """The `turn`-th fault of each kind at every site. Of a site each kind strikes another of its calls."""
    columns = []
    for calls in sites:
        if turn < len(calls):
            most = max(map(len, calls))
            column = [_at(calls, (turn + place) % len(calls), place) for place in range(most)]
            columns.append(column)
    for row in zip_longest(*columns):
        yield from (fault for fault in row if fault is not None)


def _at(calls: list[list[CallFault]], number: int, place: int) -> CallFault | None:
    return calls[number][place] if place < len(calls[number]) else None


def _by_site(calls: Iterable[Seen]) -> list[list[tuple[Seen, int]]]:
    """The calls of each site with their numbers, sites in the order of their first call."""
    numbers: dict[str, int] = {}
    sites: dict[tuple[str, str, bool], list[tuple[Seen, int]]] = {}
    for call in calls:
        numbers[call.name] = numbers.get(call.name, 0) + 1
        sites.setdefault((call.site, call.name, call.creates), []).append((call, numbers[call.name]))
    return list(sites.values())


def _in_turn(found: list[tuple[Seen, int]]) -> list[tuple[Seen, int]]:
    """From the last to the first: last, first, last but one, second, ..."""
    half = (len(found) + 1) // 2
    pairs = zip_longest(reversed(found[len(found) - half :]), found[: len(found) - half])
    return [item for pair in pairs for item in pair if item is not None]


def _of_call(call: Seen, number: int) -> Iterator[CallFault]:
    for error, way, lasting in kinds(call):
        yield CallFault(call.name, number, error, way, lasting)


# --- what stays broken --------------------------------------------------------------------------


def strikes_too(fault: CallFault, call: Seen, struck: Seen) -> bool:
    """Whether a fault that lasts, and struck the call `struck` first, strikes `call` as well.

    A full disk refuses whatever needs room; no more descriptors, whatever makes one; all else the calls of a group.
    """
    if call.name in _NEVER:
        return False
    if fault.way is CallWay.TAKEN:
        return call.tries
    if fault.error in ("ENOSPC", "EDQUOT") and (call.group in ("write", "size") or call.name in _NEEDS_ROOM):
        return True
    if fault.error in ("ENOSPC", "EDQUOT") and call.group == "open":
        return call.creates
    if fault.error == "EMFILE":
        return call.group in ("open", "list")
    return call.group == struck.group
