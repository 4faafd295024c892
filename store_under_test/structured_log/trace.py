"""The W3C trace context (Trace Context Level 1, www.w3.org/TR/trace-context-1): the header `traceparent`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Which trace something belongs to, and which span of it: lower-case hexadecimal, never all zeros."""

    trace_id: str
    span_id: str
    sampled: bool = False

    @classmethod
    def started(cls, random_bytes: Callable[[int], bytes] = os.urandom) -> TraceContext:
        """A new trace."""
        return cls(_identifier(16, random_bytes), _identifier(8, random_bytes))

    def child(self, random_bytes: Callable[[int], bytes] = os.urandom) -> TraceContext:
        """Another span of the same trace, for a call to somebody else."""
        return replace(self, span_id=_identifier(8, random_bytes))

    def header(self) -> str:
        """The value of `traceparent`, version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED if self.sampled else 0:02x}"


def parse_traceparent(header: object) -> TraceContext | None:
    """What a header says, or `None` if it is none: it is to be ignored then, and a new trace started (section 3.2).

    Later versions may have more fields at the end; of version 00 nothing but the four is accepted, and ff is no
    version.
    """
    match = _HEADER.fullmatch(header.strip(" \t")) if isinstance(header, str) else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not (trace_id.strip("0") and span_id.strip("0")):
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def _identifier(size: int, random_bytes: Callable[[int], bytes]) -> str:
    while not any(found := random_bytes(size)):
        continue
    return found.hex()
