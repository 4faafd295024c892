"""Structured log: events as JSON lines in one file, which many threads and processes append to.

    log = StructuredLogger("events.jsonl")
    with LogContext(request.headers["traceparent"], user=7):
        log.log_event(EventType.REQUEST_RECEIVED, path="/prices", body=body)
    for record in read_log("events.jsonl").records:
        ...

What it promises: `log_event` takes any values and raises nothing; a record that it calls written survives a crash of
the process; records of several writers never mix; each line is JSON (RFC 8259) in ASCII, carries a checksum of itself
and of its place, and damage is told apart from a writer that died in the middle of a line. What could not be written
goes to stderr, or is counted, and a later record says how many there were. What it does not: nothing is fsynced, so a
loss of power may take the newest records; and a log is never rotated while it is written. It needs a local file
system with flock(2).
"""

from store_under_test.structured_log.context import LogContext, current_fields, current_trace
from store_under_test.structured_log.errors import LogBusyError, LogDamagedError, LogError
from store_under_test.structured_log.events import EventType
from store_under_test.structured_log.logger import LogStats, StructuredLogger
from store_under_test.structured_log.reader import LogContents, Span, read_log, require_undamaged
from store_under_test.structured_log.trace import TraceContext, parse_traceparent

__all__ = [
    "EventType",
    "LogBusyError",
    "LogContents",
    "LogContext",
    "LogDamagedError",
    "LogError",
    "LogStats",
    "Span",
    "StructuredLogger",
    "TraceContext",
    "current_fields",
    "current_trace",
    "parse_traceparent",
    "read_log",
    "require_undamaged",
]
