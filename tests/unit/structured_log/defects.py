"""Logs with one planted defect each, made from the sound one, and the check that must find it."""

from __future__ import annotations

import json
import os
import threading
import zlib
from enum import Enum
from pathlib import Path
from typing import Any
from unittest.mock import patch

from store_under_test.structured_log import LogContents, LogContext, StructuredLogger, line, logfile, read_log, reader
from store_under_test.structured_log.logfile import LogFile
from tests.unit.structured_log.kit import Kit


def of_file(kind: type[LogFile]) -> Kit:
    """Loggers on such files."""
    return Kit(logger=type("Defective", (StructuredLogger,), {"file_type": kind}))


# --- contexts ------------------------------------------------------------------------------------


class SharedContext:
    """One stack for everybody, or one for each thread: tasks that take turns see each other's fields."""

    stack: Any

    def __init__(self, **fields: object) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        self.around().append(self._fields)

    def __exit__(self, *error: object) -> None:
        self.around().remove(self._fields)

    @classmethod
    def around(cls) -> list[dict[str, object]]:
        if isinstance(cls.stack, list):
            return cls.stack
        if not hasattr(cls.stack, "fields"):
            cls.stack.fields = []
        found: list[dict[str, object]] = cls.stack.fields
        return found


def with_shared_context(stack: object) -> Kit:
    context = type("Context", (SharedContext,), {"stack": stack})

    class Logger(StructuredLogger):
        def _around(self) -> dict[str, Any]:
            return {name: value for fields in context.around() for name, value in fields.items()}  # type: ignore[attr-defined]

    return Kit(logger=Logger, context=context)


class StaysAfterAnError(LogContext):
    """Unwinds only where all went well."""

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            super().__exit__(*error)


# --- records -------------------------------------------------------------------------------------


class PlainJson(StructuredLogger):
    """Trusts json.dumps with the values."""

    def _body(self, type: object, fields: dict[str, object]) -> bytes:
        return json.dumps({"event": "record", "context": {}, "fields": fields}, default=str).encode()


class Raises(StructuredLogger):
    """What fails in writing is the caller's problem."""

    def log_event(self, type: Enum, /, **fields: object) -> bool:
        self.file.append(self._body(type, fields))
        return True


class LostNotTold(StructuredLogger):
    """Counts what was lost, and keeps it to itself."""

    def _take_untold(self) -> dict[str, int]:
        return {"stderr": 0, "nowhere": 0}


# --- the file ------------------------------------------------------------------------------------


class TwoWrites(LogFile):
    """A line in two writes, with no lock: O_APPEND keeps each of them whole, not both together."""

    def append(self, body: bytes) -> int:
        descriptor = self._opened()
        offset = os.fstat(descriptor).st_size
        written = os.write(descriptor, line.line_at(offset, body))
        os.write(descriptor, line.line_at(offset, body)[written:])
        return offset


class SeekAndWrite(LogFile):
    """Knows where it has stopped, and goes on there."""

    offset = 0

    def append(self, body: bytes) -> int:
        offset = self.offset
        plain = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
        data = line.line_at(offset, body)
        os.pwrite(plain, data, offset)
        os.close(plain)
        self.offset += len(data)
        return offset


class OneWriteIsEnough(LogFile):
    """Does not look at how much was written."""

    def _write(self, descriptor: int, data: bytes) -> None:
        os.write(descriptor, data)


class GluedToTheTornLine(LogFile):
    """Does not look at how the file ends."""

    def append(self, body: bytes) -> int:
        with patch.object(logfile, "torn_tail", lambda descriptor, size: None):
            return super().append(body)


class TornLineComesBack(LogFile):
    """Ends it with a line break, which may be all that it lacked."""

    def append(self, body: bytes) -> int:
        with patch.object(logfile, "FRESH_LINE", b"\n"):
            return super().append(body)


class TornLineIsDamage(LogFile):
    """Starts on a fresh line, and says nothing about the cut one."""

    def append(self, body: bytes) -> int:
        with patch.object(logfile, "with_member", lambda body, name, value: body):
            return super().append(body)


# --- reading ---------------------------------------------------------------------------------------


def ends_at_the_first_bad_line(path: Path) -> LogContents:
    """What comes after it is not read."""
    contents = read_log(path)
    spans = [*contents.damaged, *([contents.torn] if contents.torn else [])]
    bad = [span.start for span in spans]
    data, good = path.read_bytes(), 0
    for text in data.splitlines(keepends=True):
        if line.record_of(text, good) is None:
            break
        good += len(text)
    return read_log(path, up_to=min([good, *bad])) if good else contents


def any_json_will_do(path: Path) -> LogContents:
    """The checksum is not looked at."""

    def unverified(text: bytes, offset: int) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            return None

    with patch.object(reader, "record_of", unverified):
        return read_log(path)


def without_place(offset: int, body: bytes) -> int:
    """The checksum of a line is the same everywhere."""
    return zlib.crc32(body)


class PlaceNotCovered(LogFile):
    """Lines that may stand anywhere."""

    def append(self, body: bytes) -> int:
        with patch.object(line, "_checksum", without_place):
            return super().append(body)


def read_without_place(path: Path) -> LogContents:
    with patch.object(line, "_checksum", without_place):
        return read_log(path)


DEFECTS: dict[str, tuple[Kit, str]] = {
    "one context for all": (with_shared_context([]), "contexts_stay_in_their_thread"),
    "one context for a thread": (with_shared_context(threading.local()), "contexts_stay_in_their_task"),
    "context stays after an error": (Kit(context=StaysAfterAnError), "contexts_unwind"),
    "broken JSON": (Kit(logger=PlainJson), "every_line_is_json"),
    "raises into the caller": (Kit(logger=Raises), "nothing_is_raised"),
    "two writes for a record": (of_file(TwoWrites), "writers_do_not_mix"),
    "seek and write": (of_file(SeekAndWrite), "writers_append"),
    "short write": (of_file(OneWriteIsEnough), "short_writes_are_continued"),
    "glued to the torn line": (of_file(GluedToTheTornLine), "a_torn_line_stays_gone"),
    "the torn line comes back": (of_file(TornLineComesBack), "a_torn_line_stays_gone"),
    "the torn line is damage": (of_file(TornLineIsDamage), "a_torn_line_stays_gone"),
    "lost ones not told": (Kit(logger=LostNotTold), "what_was_lost_is_told"),
    "ends at a malformed line": (Kit(read=ends_at_the_first_bad_line), "a_malformed_line_is_passed_over"),
    "checksum not looked at": (Kit(read=any_json_will_do), "damage_is_noticed"),
    "place not covered": (
        Kit(logger=of_file(PlaceNotCovered).logger, read=read_without_place),
        "damage_is_noticed",
    ),
}
