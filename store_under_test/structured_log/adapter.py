"""What the structured log promises, and how the harness drives it: each record is the field of an event.

There is no `AppendMany`: one line is one record, and a crash between two lines would leave half of a batch.
"""

from __future__ import annotations

from pathlib import Path

from harness import LOG, Append, Contract, Read, Unsupported
from store_under_test.structured_log.errors import LogError
from store_under_test.structured_log.events import EventType
from store_under_test.structured_log.logger import MAX_RECORD_BYTES, StructuredLogger
from store_under_test.structured_log.reader import read_log, require_undamaged

FILE_NAME = "events.jsonl"
_ENVELOPE_BYTES = 4096  # everything in a record but its text
_BYTES_PER_CHARACTER = 12  # at most: two escapes

CONTRACT = Contract(
    process_crash="acknowledged",
    power_loss=None,
    io_error=None,
    corruption="detected",
    writers="processes",
    errors=(LogError, OSError),
)


class StructuredLogAdapter:
    """Each record is the field `record` of an event."""

    name = "structured-log"
    model = LOG
    contract = CONTRACT
    operations = (Append, Read)

    def open(self, directory: Path) -> StructuredLogger:
        store = StructuredLogger(directory / FILE_NAME)
        self._records(store)
        return store

    def apply(self, store: StructuredLogger, operation: object) -> list[str] | None:
        match operation:
            case Append(record):
                if len(record) * _BYTES_PER_CHARACTER > MAX_RECORD_BYTES - _ENVELOPE_BYTES:
                    raise Unsupported(f"a record has at most {MAX_RECORD_BYTES} bytes")
                if not store.log_event(EventType.RECORD, record=record):
                    raise OSError("the record is not in the file")
                return None
            case Read(start):
                return self._records(store)[start:]
        raise TypeError(f"not an operation of this store: {operation!r}")

    def snapshot(self, store: StructuredLogger) -> list[str]:
        return self._records(store)

    def close(self, store: StructuredLogger) -> None:
        store.close()

    def _records(self, store: StructuredLogger) -> list[str]:
        """Up to a moment at which nobody was writing."""
        settled = store.file.settled_bytes()
        contents = require_undamaged(read_log(store.file.path, up_to=settled))
        return [record["fields"]["record"] for record in contents.records if record["event"] == EventType.RECORD.value]
