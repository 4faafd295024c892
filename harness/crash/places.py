"""Where to crash a run of very many operations: a crash at each of them would take too long, and show little new.

Crashed are the operations in which the store does something that it has not done before, and the one after each of
them; those around which something that is counted turns, by twos or by tens; and the last ones.
"""

from __future__ import annotations

from harness.core.operations import Compact, Sync
from harness.core.trace import Trace

#: The first of the counts that are looked at; fewer operations are the business of short workloads.
FIRST_TURN = 16
#: Operations that are crashed because they do something new; a store may do so in each of them.
MOST_NEW = 24
LAST = 2
OPENING_OR_CLOSING = -1


def places(trace: Trace) -> frozenset[int]:
    """The numbers of the operations to crash, from 0; -1 for the time before and after all of them."""
    count = len(trace.operations)
    new = sorted(_new(trace))[:MOST_NEW]
    chosen = {*new, *(number + 1 for number in new), *_turns(trace), *range(max(0, count - LAST), count)}
    return frozenset(number for number in chosen if number < count) | {OPENING_OR_CLOSING}


def _turns(trace: Trace) -> set[int]:
    """Of the operations that change something, those whose number, counted from 1, is a power of 2 or 10, with the one
    before and the one after each of them."""
    changing = [number for number, item in enumerate(trace.operations) if not isinstance(item, Sync | Compact)]
    exponents = range(1, len(changing).bit_length() + 1)
    powers = {base**exponent for base in (2, 10) for exponent in exponents}
    wanted = {power + by for power in powers if power >= FIRST_TURN for by in (-1, 0, 1)}
    return {number for turn, number in enumerate(changing, 1) if turn in wanted}


def _new(trace: Trace) -> set[int]:
    """The first operations with calls from just these lines, and with just these kinds of effects."""
    done: dict[int, set[tuple[object, ...]]] = {}
    for event in trace.events:
        if event.marker is None and event.operation >= 0:
            kinds = tuple(type(effect) for effect in event.effects)
            done.setdefault(event.operation, set()).add((event.call, event.site, *kinds))
    seen: dict[frozenset[tuple[object, ...]], int] = {}
    for number, calls in done.items():
        seen.setdefault(frozenset(calls), number)
    return set(seen.values())
