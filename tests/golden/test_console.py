"""The verdict on standard output."""

from __future__ import annotations

import dataclasses
import io
import re

import pytest

from harness.core.trace import CallSite
from harness.report import print_certificate, story_text
from harness.report.console import certificate_text
from harness.report.story import gist
from harness.report.words import happens_under, statement
from tests.golden.sample import SAMPLES, failing, hostile, passing

ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _no_colour_wishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


def _printed(stream: io.StringIO, name: str = "failing") -> str:
    print_certificate(SAMPLES[name](), stream)
    return stream.getvalue()


def test_broken_promise_is_told_as_a_short_program() -> None:
    """Summary, source line, program, loss, fix and replay command, in this order."""
    text = certificate_text(failing())
    places = [
        text.index(part)
        for part in (
            "2 of 5 promises broken",
            "power_loss     acknowledged",
            "An acknowledged save is gone",
            "src/dashboard/metrics.py:61",
            "Save({'agents': {}",
            "power lost here",
            "lost      the new directory entry",
            "fix       Sync the directory",
            "replay    harness replay",
            "[2] Swallowed error",
            "the whole story of each finding: the HTML page",
        )
    ]
    assert places == sorted(places)


def test_findings_are_short() -> None:
    """Eight lines at most, without files or the five sentences: these are on the page, in JUnit and in a replay."""
    text = certificate_text(failing())
    for number in (1, 2):
        [told] = re.findall(rf"^\[{number}\] .*?\n\n", text, re.DOTALL | re.MULTILINE)
        assert len(told.strip().splitlines()) <= 8
    assert not re.search("^  (told|called|found|expected|written|crashed|recovered)", text, re.MULTILINE)
    assert all(f"\n  {label}" in story_text(failing().findings[0]) for label in ("told", "expected", "recovered"))


def test_what_another_finding_says_is_not_said_again() -> None:
    """Same kind, same function, no fix of its own: only the line differs."""
    failed = failing()
    mended, second = failed.findings
    assert second.call_site is not None
    elsewhere = dataclasses.replace(second, call_site=dataclasses.replace(second.call_site, line=99), id="f-99")
    text = certificate_text(dataclasses.replace(failed, findings=(mended, second, elsewhere, mended)))
    assert "  like      [2]: the same kind, in the same function\n  at        src/dashboard/metrics.py:99" in text
    assert text.count("  like ") == 1 and text.count("  advice ") == 1 and text.count("  fix ") == 2


def test_the_program_is_one_line() -> None:
    """Its last steps, what is repeated once, and a fault only if the summary does not tell it."""
    finding = failing().findings[0]
    operations = ("Put('a', '1')", *("Get('a')",) * 9, "Put('b', '2')", "<fault: the 2nd write gives EIO>")
    bare = dataclasses.replace(finding, operations=operations, story=None)
    [program] = [line for line in gist(bare) if line.startswith("  program")]
    assert program == "  program   Put('a', '1'); Get('a'); Put('b', '2'); fault: the 2nd write gives EIO"
    told = dataclasses.replace(bare, summary="The 2nd write gives EIO: all is gone.", operations=operations * 3)
    [program] = [line for line in gist(told) if line.startswith("  program")]
    assert program.startswith("  program   4 steps, then Get('a'); Put('b', '2'); ") and "EIO" not in program


def test_passing_certificate_is_short() -> None:
    """Without findings: the verdict, the claims, what was not exercised, notes, and the counts."""
    text = certificate_text(passing())
    assert len(text.splitlines()) == 12
    assert "\u2713 no violation power_loss" in text


@pytest.mark.parametrize("name", SAMPLES)
def test_no_colour_where_the_stream_is_no_terminal(name: str) -> None:
    """A pipe or a file gets plain text."""
    assert "\x1b" not in _printed(io.StringIO(), name)


@pytest.mark.parametrize("name", SAMPLES)
def test_terminal_gets_the_same_text_in_colour(name: str) -> None:
    """Colours add nothing and hide nothing."""
    text = _printed(Terminal(), name)
    assert ANSI.search(text)
    plain = [line.rstrip() for line in certificate_text(SAMPLES[name]()).splitlines()]
    assert [line.rstrip() for line in ANSI.sub("", text).splitlines()] == plain


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR wins over the terminal."""
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in _printed(Terminal())


def test_icons_become_escapes_where_the_encoding_lacks_them() -> None:
    """An ASCII stream gets escapes, not an exception."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", newline="")
    print_certificate(failing(), stream)
    stream.flush()
    assert raw.getvalue().startswith(b"\\u2717 metrics")


def test_hostile_text_cannot_start_a_line() -> None:
    """No line can be taken for a workflow command, and every character is visible."""
    hostile_ = hostile()
    finding = hostile_.findings[0]
    assert finding.story is not None
    views = tuple(
        dataclasses.replace(view, path=path)
        for view, path in zip(finding.story.files_written * 2, ("::error::a", "::error::b"), strict=True)
    )
    story = dataclasses.replace(finding.story, files_written=views, lost=("::error::a", "::error::b"))
    finding = dataclasses.replace(finding, story=story, kind="::error::kind", operations=("::error::a",))
    lines = certificate_text(dataclasses.replace(hostile_, findings=(finding,))).split("\n")
    assert not [line for line in [*lines, *story_text(finding).split("\n")] if line.strip().startswith("::")]
    assert all(line.isprintable() for line in lines)


def test_story_of_a_bare_finding() -> None:
    """A finding without story, call site or models still has its lines."""
    bare = dataclasses.replace(failing().findings[0], story=None, call_site=None, persistence_models=())
    assert story_text(bare).splitlines()[1:3] == ["  broken    power_loss (scenario power-loss)", "  program"]


def test_a_killed_process_needs_no_file_system() -> None:
    """Its claim stands without models; those under which a power loss does the same are told apart from it."""
    failed = failing()
    killed = dataclasses.replace(
        failed.findings[0], claim="process_crash", persistence_models=("process-crash", "strict", "ext4")
    )
    alone = dataclasses.replace(killed, persistence_models=("process-crash",))
    claims = tuple(dataclasses.replace(claim, claim="process_crash") for claim in failed.claims)

    assert happens_under(killed) == "process_crash; a power loss leaves the same under strict and ext4"
    powered = dataclasses.replace(killed, claim="power_loss")
    assert happens_under(powered) == "power_loss under strict and ext4; killing the process is enough"
    assert happens_under(alone) == "process_crash"
    broken = dataclasses.replace(failed, claims=claims, findings=(killed,), statement="")
    assert statement(broken).startswith("Broken: process_crash")
    assert "process_crash under" not in statement(broken)


def test_where_no_model_was_tried_none_is_named() -> None:
    """Live faults alone need none."""
    live = dataclasses.replace(passing(), evidence=(), statement="")
    assert statement(live).startswith("No violation found within the bounds listed below")


def test_story_without_fix_and_before_the_first_call() -> None:
    """A crash before everything names no call; a story without a fix has no line for it."""
    story = failing().findings[0].story
    assert story is not None
    spare = dataclasses.replace(story, fix=None, crash_after=-1, lost=())
    text = story_text(dataclasses.replace(failing().findings[0], story=spare))
    assert "    --  power lost here\n" in text
    assert "  fix" not in text and "  lost" not in text and "  crash     " not in text


def test_reopenings_and_crashes_of_a_program_have_no_number() -> None:
    """Operations keep the numbers of the timeline, whatever happens between them."""
    first, second = failing().findings[0].operations
    steps = (first, "Reopen()", second, "<crash>", "<crash during recovery>")
    text = story_text(dataclasses.replace(failing().findings[0], operations=steps))
    assert "    --  close and open again\n     2  Save({'agents': {'ada'" in text
    assert "# acknowledged\n    --  crash\n    --  crash during recovery\n  crash     after: Save #2" in text
    assert "power lost here" not in text


def test_long_programs_are_cut() -> None:
    """A program of hundreds of operations is shown in part, with the number of what is missing."""
    long = dataclasses.replace(failing().findings[0], operations=("Put('a', '1')",) * 100)
    assert "(40 more)" in story_text(long)
    assert str(CallSite("a.py", 1, "f")) == "a.py:1 in f"
