"""Advice where no change of a trace helps: by what was lost, and by which call failed."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.trace import (
    ROOT,
    AddEntry,
    CallSite,
    Image,
    InodeKind,
    IoEvent,
    Marker,
    MarkerKind,
    NewInode,
    Node,
    SetSize,
    Trace,
    WriteData,
    empty_image,
)
from harness.crash.losses import Losses
from harness.crash.states import Knowledge
from harness.judge.classify import Violation
from harness.run.advising import ORDER, TORN_APPEND, of_crash, of_failure
from harness.run.exploring import Found
from harness.run.live.values import Struck, Trial

SITE = CallSite("/somewhere/log.py", 7, "append")
LOG = 5


def event(*effects: Any, marker: Marker | None = None) -> IoEvent:
    return IoEvent("write", None if marker else SITE, 0, 0, effects, marker=marker)


def trace_of(*events: IoEvent) -> Trace:
    return Trace(empty_image(), events, (), "")


MADE = event(NewInode(LOG, InodeKind.FILE, 0o644), AddEntry(ROOT, "log", LOG))
BEGIN = event(marker=Marker(MarkerKind.BEGIN, 0))
#: A log that is there already, and an append to it in two calls, of which the second ends at 8.
APPENDS = trace_of(MADE, BEGIN, event(WriteData(LOG, 0, b"head")), event(WriteData(LOG, 4, b"tail")))


def crashed(trace: Trace, at: int, losses: Losses, content: bytes) -> Found:
    image = Image({ROOT: empty_image().nodes[ROOT], LOG: Node(InodeKind.FILE, 0o644, 0, content, "", {})})
    what = ("strict", "power_loss", "acknowledged", Violation("phantom", "it"), "short-0", at, Knowledge(), losses)
    return Found(*what, SITE, image, None, ())


@pytest.mark.parametrize(
    ("at", "losses", "content", "advice"),
    [
        (3, Losses(torn=frozenset({3})), b"headta", TORN_APPEND),
        (3, Losses(lost=frozenset({2}), torn=frozenset({3})), b"\0\0\0\0ta", TORN_APPEND),
        (2, Losses(), b"head", TORN_APPEND),
        (2, Losses(), b"he", TORN_APPEND),
        (3, Losses(), b"headtail", ORDER),
        (3, Losses(lost=frozenset({3})), b"head", ""),
        (3, Losses(lost=frozenset({0}), torn=frozenset({3})), b"", ""),
    ],
)
def test_what_is_said_depends_on_what_is_left(at: int, losses: Losses, content: bytes, advice: str) -> None:
    """Part of an append, all of it, none of it, or something else besides."""
    assert of_crash(crashed(APPENDS, at, losses, content), APPENDS) == advice


@pytest.mark.parametrize(
    "before",
    [
        (BEGIN, MADE),
        (MADE, event(WriteData(LOG, 0, b"earlier")), BEGIN, event(SetSize(LOG, 0))),
    ],
)
def test_a_file_that_is_written_whole_is_no_log(before: tuple[IoEvent, ...]) -> None:
    """Neither one that the operation makes nor one that it empties first."""
    trace = trace_of(*before, event(WriteData(LOG, 0, b"whole")))
    torn = Losses(torn=frozenset({len(before)}))

    assert of_crash(crashed(trace, len(before), torn, b"wh"), trace) == ""


def test_what_is_overwritten_is_no_append() -> None:
    """It is another content that is at stake."""
    trace = trace_of(MADE, event(WriteData(LOG, 0, b"first")), BEGIN, event(WriteData(LOG, 2, b"second")))

    assert of_crash(crashed(trace, 3, Losses(torn=frozenset({3})), b"fisec"), trace) == ""


def failed(kind: str, fault: str = "EIO", call: str = "write", **more: Any) -> Trial:
    struck = (Struck(CallSite("other.py", 1, "f"), "open", "EMFILE"), Struck(SITE, call, fault))
    return Trial(1, Violation(kind, "it"), SITE, struck=struck, **more)


def test_a_failing_call_is_named_with_its_line() -> None:
    """Whatever else failed besides; and nothing is claimed to have been tried."""
    fix = of_failure(failed("swallowed_error"))

    assert fix is not None and (fix.works, fix.tried) == (False, 0)
    assert fix.sentence.startswith("Let the error of the write in line 7 of log.py leave the operation")


def test_the_fault_matters_more_than_the_kind() -> None:
    """A short write is no error, and after a failed sync there is nothing to take back."""
    short, sync = of_failure(failed("torn_operation", "short write")), failed("lost_acknowledged", call="fsync")
    again = of_failure(failed("lost_acknowledged", call="fsync", models=("ext4",)))
    plain = of_failure(sync)

    assert short is not None and "compare what the write in line 7 of log.py returns with the length" in short.sentence
    assert again is not None and "even if the next sync succeeds" in again.sentence
    assert plain is not None and plain.sentence.startswith("When the fsync in line 7 of log.py fails")


def test_without_a_call_or_for_another_kind_nothing_is_said() -> None:
    """Advice for nothing in particular helps nobody."""
    assert of_failure(failed("leak")) is None
    assert of_failure(Trial(1, Violation("phantom", "it"))) is None
