"""`python -m benchmarks.opened DIRECTORY`: open the event log there in this fresh process, and print as JSON what that
took: seconds, and the peak of resident memory in bytes before and after. Imports nothing of the harness.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass

from benchmarks.peak import peak_bytes
from store_under_test.event_store import EventStore


@dataclass(frozen=True, slots=True)
class Opened:
    """One opening, and the first query after it: what is put off until then, and what it found."""

    events: int
    open_s: float
    before_bytes: int
    peak_bytes: int
    query_s: float
    found: int


def opened(directory: str) -> Opened:
    """Open the log, ask for the events of the aggregate of its last event (at most 1,000), close it."""
    before = peak_bytes()
    started = time.perf_counter()
    store = EventStore.open(directory)
    open_s = time.perf_counter() - started
    peak = peak_bytes()
    try:
        [last] = store.read(store.last_sequence)
        started = time.perf_counter()
        page = store.query(aggregate=last.aggregate, limit=1000)
        return Opened(store.last_sequence, open_s, before, peak, time.perf_counter() - started, len(page.events))
    finally:
        store.close()


if __name__ == "__main__":
    print(json.dumps(asdict(opened(sys.argv[1]))))
