"""Events, contexts, traces, counts, and the log while every circuit is open."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Generator
from enum import Enum
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from harness import Append, Read, Unsupported
from store_under_test.circuit_breaker import CircuitBreaker, CircuitOpenError
from store_under_test.structured_log import (
    EventType,
    LogContext,
    LogDamagedError,
    StructuredLogger,
    TraceContext,
    current_fields,
    current_trace,
    parse_traceparent,
    read_log,
    require_undamaged,
)
from store_under_test.structured_log.adapter import StructuredLogAdapter
from tests.unit.structured_log.kit import numbers, others_run, strict_lines, writes

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


class Own(Enum):
    NAMED = "own.event"
    COUNTED = 7
    ODD = "\udc80"


def last(path: Path) -> dict[str, Any]:
    return strict_lines(path)[-1]


def test_a_record_says_when_what_and_who(tmp_path: Path) -> None:
    """In this order, after the checksum."""
    StructuredLogger(tmp_path / "log", wall=lambda: 1709208000.25).log_event(EventType.CALL_FAILED, reason="down")
    line = last(tmp_path / "log")
    assert list(line) == ["crc", "time", "event", "process", "thread", "context", "fields"]
    assert (line["time"], line["event"]) == ("2024-02-29T12:00:00.250000Z", "call.failed")
    assert line["fields"] == {"reason": "down"}


def test_event_types_of_ones_own(tmp_path: Path) -> None:
    """Their value is the name, if it is text; what is no enum is kept as it was given."""
    logger = StructuredLogger(tmp_path / "log")
    for type in (*Own, "text"):
        logger.log_event(type)
    lines = strict_lines(tmp_path / "log")
    assert [line["event"] for line in lines] == ["own.event", "COUNTED", "\\udc80", "unknown"]
    assert lines[-1]["given"] == "text"


def test_a_record_that_is_too_large_says_so(tmp_path: Path) -> None:
    """It is an event all the same."""
    StructuredLogger(tmp_path / "log", max_record_bytes=1000).log_event(EventType.RECORD, text="x" * 1000)
    assert last(tmp_path / "log")["too_large_bytes"] > 1000
    assert "fields" not in last(tmp_path / "log")


def test_closing_tells_of_what_was_lost(tmp_path: Path) -> None:
    """If no record has; after closing events go to stderr and are counted."""
    logger = StructuredLogger(tmp_path / "log")
    with patch.object(sys, "stderr", None), writes(lambda original, descriptor, data: 0):
        logger.log_event(EventType.RECORD, n=1)
    logger.close()
    logger.close()
    assert (last(tmp_path / "log")["event"], read_log(tmp_path / "log").lost) == ("log.records-lost", 1)
    with patch.object(sys, "stderr", None):
        assert not logger.log_event(EventType.RECORD, n=2)
    stats = logger.stats()
    assert (stats.written, stats.stderr, stats.nowhere, stats.untold) == (1, 0, 2, 1)


def test_an_interrupt_while_writing_passes_through(tmp_path: Path) -> None:
    """The record is counted as lost, and the lock is free."""

    def interrupted(original: Any, descriptor: int, data: Any) -> int:
        raise KeyboardInterrupt

    logger = StructuredLogger(tmp_path / "log")
    with writes(interrupted), pytest.raises(KeyboardInterrupt):
        logger.log_event(EventType.RECORD, n=1)
    assert logger.log_event(EventType.RECORD, n=2)
    assert read_log(tmp_path / "log").lost == 1


# --- contexts and traces ---------------------------------------------------------------------------


def test_blocks_that_end_out_of_turn_take_only_their_own() -> None:
    """As generators make them."""

    def block(**fields: object) -> Generator[None, None, None]:
        with LogContext(**fields):
            yield

    first, second = block(a=1), block(b=2)
    next(first), next(second)
    assert current_fields() == {"a": 1, "b": 2}
    first.close()
    assert current_fields() == {"b": 2}
    second.close()
    assert current_fields() == {}


def test_one_object_is_used_again_and_by_several_tasks() -> None:
    """Inside itself, too."""
    same = LogContext(a=1)

    async def one() -> None:
        with same:
            await others_run()
            with same:
                assert current_fields() == {"a": 1}
            assert current_fields() == {"a": 1}

    async def main() -> None:
        await asyncio.gather(one(), one())
        assert current_fields() == {}

    asyncio.run(main())
    same.__exit__()
    assert current_fields() == {}


def test_a_trace_is_carried_into_records(tmp_path: Path) -> None:
    """Of the innermost block that has one; a header that cannot be read starts a new trace."""
    logger = StructuredLogger(tmp_path / "log")
    with LogContext(f"00-{TRACE}-{SPAN}-01", user=7), LogContext(step=1):
        logger.log_event(EventType.REQUEST_RECEIVED)
        trace = current_trace()
        with LogContext("rubbish"):
            logger.log_event(EventType.REQUEST_RECEIVED)
    given, new = strict_lines(tmp_path / "log")
    assert (given["trace_id"], given["span_id"], given["sampled"]) == (TRACE, SPAN, True)
    assert given["context"] == {"user": 7, "step": 1}
    assert parse_traceparent(f"00-{new['trace_id']}-{new['span_id']}-00") is not None
    assert new["trace_id"] != TRACE
    assert trace is not None and current_trace() is None
    child = trace.child()
    assert (child.trace_id, child.header()[:36]) == (TRACE, f"00-{TRACE}-")
    assert child.span_id != SPAN


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f" 00-{TRACE}-{SPAN}-02\t", False),
        (f"cc-{TRACE}-{SPAN}-ff-what the future will be", True),
        (f"01-{TRACE}-{SPAN}-00", False),
    ],
)
def test_headers_that_are_read(header: str, sampled: bool) -> None:
    """Of later versions what is known of them."""
    assert parse_traceparent(header) == TraceContext(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "header",
    [
        *("", "00", None, 7, f"ff-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01-more", f"00-{TRACE}-{SPAN}-01-"),
        *(f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{SPAN}-01"),
        *(f"00-{TRACE[1:]}-{SPAN}-01", f"00-{TRACE}-{SPAN}-1", f"00-{TRACE}-{SPAN}-01x", f"00_{TRACE}_{SPAN}_01"),
        *(f"cc-{TRACE}-{SPAN}-01.more", f"00-{TRACE}-{SPAN}-01\n", f"00-{TRACE}-{SPAN}-٠١"),
    ],
)
def test_headers_that_are_none(header: object) -> None:
    """By the rules of version 00, and those for all versions."""
    assert parse_traceparent(header) is None


def test_identifiers_are_never_all_zeros() -> None:
    """Whatever the source of randomness gives first."""
    given = iter([bytes(16), b"\x01" * 16, bytes(8), b"\x02" * 8])
    trace = TraceContext.started(lambda size: next(given))
    assert trace.header() == f"00-{'01' * 16}-{'02' * 8}-00"


# --- with others -------------------------------------------------------------------------------------


def test_it_works_while_every_circuit_is_open(tmp_path: Path) -> None:
    """It depends on none of them, and writes down how they came to be open."""
    log = StructuredLogger(tmp_path / "log")

    def note(transition: Any) -> None:
        log.log_event(EventType.CIRCUIT_CHANGED, before=transition.before, after=transition.after)

    breakers = [CircuitBreaker(name=name, listeners=[note]) for name in ("prices", "stock", "users")]
    for breaker in breakers:
        breaker.force_open()
        with pytest.raises(CircuitOpenError):
            breaker.call(str)
        assert log.log_event(EventType.CALL_FAILED, circuit=breaker.name)
    lines = [line for line in strict_lines(tmp_path / "log") if line["event"] == "circuit.changed"]
    assert [line["fields"] for line in lines] == [{"before": "closed", "after": "forced open"}] * 3


def test_a_torn_end_is_a_warning_and_damage_an_exception(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """For those who want to know before they use what was read."""
    path = tmp_path / "log"
    logger = StructuredLogger(path)
    for number in range(2):
        logger.log_event(EventType.RECORD, n=number)
    data = path.read_bytes()
    path.write_bytes(data[:-5])
    with caplog.at_level(logging.WARNING):
        assert numbers(require_undamaged(read_log(path))) == [0]
    assert "ends in an unfinished line" in caplog.text
    path.write_bytes(data.replace(b'"n":0', b'"n":5'))
    length = data.index(b"\n") + 1
    with pytest.raises(LogDamagedError, match=f"log, bytes 0 to {length}: these are not the lines"):
        require_undamaged(read_log(path))


def test_reading_ends_where_it_is_told_to(tmp_path: Path) -> None:
    """In the middle of a line that is torn then."""
    path = tmp_path / "log"
    logger = StructuredLogger(path)
    logger.log_event(EventType.RECORD, n=0)
    size = logger.file.settled_bytes()
    logger.log_event(EventType.RECORD, n=1)
    assert numbers(read_log(path, up_to=size)) == [0]
    assert read_log(path, up_to=size + 3).torn is not None
    assert numbers(read_log(path, up_to=10**9)) == [0, 1]


def test_a_sound_line_of_another_form_is_no_record(tmp_path: Path) -> None:
    """A checksum alone makes no JSON; and what a record says is believed only where it makes sense."""
    file = StructuredLogger(tmp_path / "log").file
    file.append(b'{"broken":}')
    file.append(b'{"lost":{"stderr":"many","nowhere":2}}')
    file.append(b'{"lost":3}')
    contents = read_log(tmp_path / "log")
    assert (contents.malformed, len(contents.records), contents.lost) == (1, 2, 2)


def test_the_adapter_drives_the_log(tmp_path: Path) -> None:
    """Appends, reads, refuses what is too long, raises for what was not written, and knows no other operation."""
    adapter = StructuredLogAdapter()
    store = adapter.open(tmp_path)
    for record in ("", "a\x00\u2028", "x" * 70_000):
        adapter.apply(store, Append(record))
    assert adapter.apply(store, Read(1)) == ["a\x00\u2028", "x" * 70_000]
    with pytest.raises(Unsupported, match="at most"):
        adapter.apply(store, Append("x" * (2 << 20)))
    with pytest.raises(TypeError, match="not an operation"):
        adapter.apply(store, "append")
    with (
        patch.object(sys, "stderr", None),
        writes(lambda original, descriptor, data: 0),
        pytest.raises(OSError, match="not in the file"),
    ):
        adapter.apply(store, Append("lost"))
    adapter.close(store)
    again = adapter.open(tmp_path)
    assert adapter.snapshot(again) == ["", "a\x00\u2028", "x" * 70_000]
    adapter.close(again)
