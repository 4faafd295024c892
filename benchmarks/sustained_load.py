"""`python -m benchmarks.sustained_load SEED RATE BATCH`: batches of agent sessions on stdout, with when each is due.

Made in a process of its own, so that making them takes no time of the store. It ends with the pipe. Times are fixed by
the seed alone, before anything is appended.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import operator
import pickle
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import IO, Any

from harness.measure.arrivals import Arrival
from store_under_test.event_store import NewEvent, sessions

#: How far ahead of the run the load is made: about a thousand events.
PIPE_BYTES = 1 << 20

#: Plain tuples: a frozen dataclass with slots is unpickled by Python code, several times slower than it is made.
_FIELDS_OF = operator.attrgetter(*(field.name for field in fields(NewEvent)))


@dataclass(frozen=True, slots=True)
class Due(Arrival):
    """A batch of events, and when it is due: when its last event is."""

    events: tuple[NewEvent, ...]


def batches(seed: int, rate: float, size: int) -> Iterator[Due]:
    """Batches without end, `rate` events per second on average, in the order of time."""
    arrivals = sessions.arrivals(seed, per_second=rate)
    while True:
        part = list(itertools.islice(arrivals, size))
        yield Due(int(part[-1][0] * 1e9), 0, tuple(event for _, event in part))


def next_of(stream: IO[bytes]) -> tuple[int, list[tuple[Any, ...]]]:
    """When the next batch is due, in nanoseconds, and its events, as `events_of` takes them."""
    at_ns, plain = pickle.load(stream)
    return at_ns, plain


def events_of(plain: Iterable[tuple[Any, ...]]) -> tuple[NewEvent, ...]:
    """The events that were written."""
    return tuple(NewEvent(*values) for values in plain)


def main() -> None:
    """Write until nobody reads."""
    seed, rate, size = sys.argv[1:]
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(sys.stdout.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    try:
        for due in batches(int(seed), float(rate), int(size)):
            sys.stdout.buffer.write(pickle.dumps((due.at_ns, list(map(_FIELDS_OF, due.events)))))
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        sys.stderr.close()


if __name__ == "__main__":
    main()
