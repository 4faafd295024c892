"""One line of a log: a JSON object whose first member is a checksum of the rest and of the line's place.

    {"crc":"1c291ca3","time":"2024-02-29T12:00:00.000000Z","event":"record",...}\\n

The checksum is a CRC-32 of the offset of the line in the file, in decimal, a colon, and the object without the member
`crc`. So a line that was copied, moved or left from an older version of a page is no line of the log. CRC-32 sees
every change of up to 32 bits in a row (Koopman, "32-bit cyclic redundancy codes for Internet applications", DSN
2002).

A writer that finds the end of a line missing, because another one died in it, starts on a fresh line and says in its
record which bytes before it are void: `"void":[start,length,"crc"]`. Only so are they told apart from damage. What it
ends the cut line with is more than a line break: a line that lacks nothing else would become a record again.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

FRESH_LINE = b"#\n"

_HEAD = b'{"crc":"%08x",'
_HEAD_BYTES = len(_HEAD % 0)


@dataclass(frozen=True, slots=True)
class Void:
    """Bytes that a dead writer has left: `length` of them from `start`, and their CRC-32."""

    start: int
    length: int
    crc: int

    def plain(self) -> list[Any]:
        """As the member `void` has it."""
        return [self.start, self.length, f"{self.crc:08x}"]


def encode(record: dict[str, Any]) -> bytes:
    """The body of a line: an object of plain data as ASCII."""
    return json.dumps(record, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")


def with_member(body: bytes, name: str, value: Any) -> bytes:
    """A body, which is not empty, with one member more at its end."""
    return b'%s,"%s":%s}' % (body[:-1], name.encode("ascii"), encode(value))


def line_at(offset: int, body: bytes) -> bytes:
    """The line for this place of the file."""
    return _HEAD % _checksum(offset, body) + body[1:] + b"\n"


def body_of(line: bytes, offset: int) -> bytes | None:
    """The body of a whole line that was written at `offset`, or `None` if it is not one."""
    if len(line) <= _HEAD_BYTES or not line.endswith(b"\n"):
        return None
    body = b"{" + line[_HEAD_BYTES:-1]
    return body if line.startswith(_HEAD % _checksum(offset, body)) else None


def record_of(line: bytes, offset: int) -> dict[str, Any] | None:
    """The record of a whole line that was written at `offset`, or `None` if it is not one."""
    body = body_of(line, offset)
    if body is None:
        return None
    try:
        record = json.loads(body)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _checksum(offset: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(b"%d:" % offset))
