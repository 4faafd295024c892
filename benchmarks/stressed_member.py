"""One of the processes of `benchmarks.stressed_processes`.

    python -m benchmarks.stressed_member '["metrics", PATH, NUMBER, CALLS]'

It says a line when the store is open, waits for one, says another right before its first call, and its calls when all
are done; then it waits once more, so that somebody can look at what it holds. When whoever started it is gone it ends.
It imports nothing of the harness, so that what it holds is the store's.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.counting import TIMEOUT_S, counting
from store_under_test.metrics_store import MetricsStore
from store_under_test.metrics_store.state import DashboardState
from store_under_test.structured_log import EventType, StructuredLogger


def _on_metrics_store(path: Path, member: int) -> Callable[[int], object]:
    store = MetricsStore(path, timeout=TIMEOUT_S)
    own, every = counting(f"process-{member}"), counting("all")

    def both(state: DashboardState) -> None:
        own(state)
        every(state)

    return lambda number: store.update(both)


def _on_log(path: Path, member: int) -> Callable[[int], object]:
    log = StructuredLogger(path, lock_timeout_s=TIMEOUT_S)

    def write(number: int) -> None:
        if not log.log_event(EventType.RECORD, member=member, number=number):
            raise RuntimeError(f"record {number} of process {member} is not in the file")

    return write


_STORES = {"metrics": _on_metrics_store, "log": _on_log}


def main(job: str) -> None:
    """See the module."""
    store, path, member, calls = json.loads(job)
    call = _STORES[store](Path(path), member)
    _say("open")
    if not sys.stdin.readline():
        return
    _say("begun")
    done = []
    for number in range(calls):
        started = time.monotonic()
        call(number)
        done.append((started, time.monotonic()))
    _say(json.dumps(done))
    sys.stdin.readline()


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
