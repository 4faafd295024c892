"""Text of strangers, made visible.

Names, messages, paths and file contents come from the store under test. They may hold control
characters, bidirectional overrides or lone surrogates; a report shows each as a visible
character, so that what is read is what is there. Markup is no subject here: every writer
escapes for its own format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: A run of the same invisible character that is longer than this is shown as one, with its length.
RUN_SHOWN = 8

# Control pictures (U+2400) would be shorter, but few fonts have them.
_ASCII_NAMES = (
    "NUL SOH STX ETX EOT ENQ ACK BEL BS TAB LF VT FF CR SO SI "
    "DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US"
).split()

_RUN = re.compile(r"(.)\1*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a shown text; `special` if it stands for characters that can't be seen."""

    text: str
    special: bool


def picture(char: str) -> str:
    """A visible stand-in for one character that can't be seen: its ASCII name, or its code point."""
    code = ord(char)
    if code < len(_ASCII_NAMES):
        return f"[{_ASCII_NAMES[code]}]"
    return "[DEL]" if code == 0x7F else f"[U+{code:04X}]"


def visible(text: str) -> str:
    """`text` on one line, with every character that can't be seen replaced by a stand-in."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else picture(char) for char in text)


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, and how many were left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\u2026 ({len(text) - limit} more characters)"


def pieces(text: str) -> tuple[Piece, ...]:
    """`text` in printable and special pieces; long runs of one special character become one piece."""
    found: list[Piece] = []
    for match in _RUN.finditer(text):
        run, special = match.group(), not match.group(1).isprintable()
        shown = _special_run(run) if special else run
        if found and found[-1].special is special:
            found[-1] = Piece(found[-1].text + shown, special)
        else:
            found.append(Piece(shown, special))
    return tuple(found)


def _special_run(run: str) -> str:
    if len(run) > RUN_SHOWN:
        return f"{picture(run[0])}\u00d7{len(run)}"
    return picture(run[0]) * len(run)


def content_lines(text: str, limit: int) -> tuple[str, ...]:
    """File content as lines for a plain-text report: at most `limit` characters, all of them visible."""
    lines = shorten(text, limit).split("\n")
    return tuple("".join(piece.text for piece in pieces(line)) for line in lines)


def wrap(text: str, columns: int, lines_max: int) -> tuple[str, ...]:
    """`text`, visible, cut into lines of `columns` characters; an ellipsis ends what has too many lines."""
    shown = visible(text)
    lines: list[str] = []
    while len(shown) > columns and len(lines) < lines_max - 1:
        cut = _break(shown, columns)
        lines.append(shown[:cut].rstrip())
        shown = shown[cut:].lstrip()
    return (*lines, shown if len(shown) <= columns else shown[: columns - 1] + "\u2026")


def _break(text: str, columns: int) -> int:
    """Where to break: after the last space or punctuation of the line, unless that wastes half of it."""
    at = max((text.rfind(mark, 0, columns) for mark in (" ", "/", ",", "(", "_")), default=-1) + 1
    return at if at > columns // 2 else columns


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 call`, `2 calls`, `1,000 calls`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(words: Iterable[str], none: str = "none") -> str:
    """`a`, `a and b`, `a, b and c`; `none` where there are no words."""
    known = list(words)
    if len(known) < 2:
        return known[0] if known else none
    return f"{', '.join(known[:-1])} and {known[-1]}"


def duration(seconds: float) -> str:
    """Seconds for a reader: `340 ms`, `4.2 s`, `12 min 3 s`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
