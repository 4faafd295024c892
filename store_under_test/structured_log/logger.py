"""`StructuredLogger.log_event`: one call, one record, and never an exception for the caller.

A record that cannot be written to the file goes to stderr, as one JSON line without a checksum; if that fails too, it
is gone. Both are counted, and the next record that reaches the file says how many there were since the last:
`"lost":{"stderr":2,"nowhere":1}`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from store_under_test.structured_log.context import current_fields, current_trace
from store_under_test.structured_log.events import EventType
from store_under_test.structured_log.forking import remember_to_forget
from store_under_test.structured_log.line import encode, with_member
from store_under_test.structured_log.logfile import LogFile
from store_under_test.structured_log.plain import plain, text

MAX_RECORD_BYTES = 16 << 20
_STDERR, _NOWHERE = "stderr", "nowhere"


@dataclass(frozen=True, slots=True)
class LogStats:
    """What became of the records of one logger; of `untold` lost ones no record in the file says so yet."""

    written: int
    stderr: int
    nowhere: int
    untold: int


class StructuredLogger:
    """Writes events to the log `path`; threads and tasks share it, and each process may have its own.

    Nothing is opened before the first event, and what fails is tried again with each one. `wall` gives seconds since
    1970.
    """

    file_type = LogFile

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        wall: Callable[[], float] = time.time,
        lock_timeout_s: float = 2.0,
        max_record_bytes: int = MAX_RECORD_BYTES,
    ) -> None:
        self.file = self.file_type(path, lock_timeout_s=lock_timeout_s)
        self._wall = wall
        self._max_record_bytes = max_record_bytes
        self.forget()
        remember_to_forget(self)

    def log_event(self, type: Enum, /, **fields: object) -> bool:
        """Record an event with whatever values, and what `LogContext` says. Whether it is in the file.

        What is no member of an `Enum` is recorded as the type "unknown". A record of more than 16 MiB is replaced by
        one that says how large it was.
        """
        try:
            return self._log(self._body(type, fields))
        except Exception:  # nothing is left to fall back to: no stack, no memory
            self._untold[_NOWHERE] += 1
            self._totals[_NOWHERE] += 1
            return False

    def stats(self) -> LogStats:
        """The counts since this logger was made."""
        with self._counting:
            totals, untold = self._totals, sum(self._untold.values())
            return LogStats(self._written, totals[_STDERR], totals[_NOWHERE], untold)

    def close(self) -> None:
        """Tell of what was lost, if that was not told, and release the file. Events from now on go to stderr."""
        if self.stats().untold:
            self.log_event(EventType.RECORDS_LOST)
        self.file.close()

    def forget(self) -> None:
        """In a child after a fork, and in the beginning: nothing was counted; the parent tells what it lost."""
        self._counting = threading.Lock()
        self._written = 0
        self._totals = {_STDERR: 0, _NOWHERE: 0}
        self._untold = {_STDERR: 0, _NOWHERE: 0}

    # --- the record --------------------------------------------------------------------------

    def _body(self, type: object, fields: dict[str, object]) -> bytes:
        trace = current_trace()
        record = {"time": self._time(), "event": _event_name(type), "process": os.getpid()}
        record["thread"] = plain(threading.current_thread().name)
        if trace is not None:
            record |= {"trace_id": trace.trace_id, "span_id": trace.span_id, "sampled": trace.sampled}
            record["traceparent"] = trace.header()
        if record["event"] == _UNKNOWN:
            record["given"] = plain(type)
        body = encode({**record, "context": plain(self._around()), "fields": plain(fields)})
        if len(body) <= self._max_record_bytes:
            return body
        return encode({**record, "too_large_bytes": len(body)})

    def _around(self) -> dict[str, Any]:
        """The fields of the blocks that this event is in."""
        return current_fields()

    def _time(self) -> str | None:
        """In UTC, to the microsecond; `None` if the clock gives no time."""
        try:
            return datetime.fromtimestamp(self._wall(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        except Exception:
            return None

    # --- where it goes ---------------------------------------------------------------------------

    def _log(self, body: bytes) -> bool:
        told = self._take_untold()
        try:
            self.file.append(with_member(body, "lost", told) if any(told.values()) else body)
        except Exception:
            self._count_lost(self._fall_back(body), told)
            return False
        except BaseException:  # Ctrl-C: nobody knows whether it is in the file
            self._count_lost(_NOWHERE, told)
            raise
        with self._counting:
            self._written += 1
        return True

    def _fall_back(self, body: bytes) -> str:
        """Where the record went instead."""
        try:
            sys.stderr.write(body.decode("ascii") + "\n")
        except Exception:
            return _NOWHERE
        return _STDERR

    def _take_untold(self) -> dict[str, int]:
        with self._counting:
            taken, self._untold = self._untold, {_STDERR: 0, _NOWHERE: 0}
            return taken

    def _count_lost(self, where: str, told: dict[str, int]) -> None:
        """One more is lost, and what was to be told is still untold."""
        with self._counting:
            self._totals[where] += 1
            self._untold[where] += 1
            for name, count in told.items():
                self._untold[name] += count


_UNKNOWN = "unknown"


def _event_name(type: object) -> str:
    if not isinstance(type, Enum):
        return _UNKNOWN
    value: Any = type.value
    return text(value if isinstance(value, str) else type.name)
