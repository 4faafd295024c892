"""Progress on a terminal, and as plain lines elsewhere."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn

from harness.run.progress import EVERY_S, Bar, Plain, shown_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Moves when it is told to."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_without_a_terminal_there_are_plain_lines_for_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nothing. With the name of the class; none of them moves a cursor or has a colour."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)

    for plain in (False, True):
        assert stream.getvalue() == ""
        with shown_progress("store.py:St\x1b[1more", plain=plain) as progress:
            progress.phase("recording", 3)
            progress.begin("kills", 0)
            progress.advance("short-0")
            progress.phase("counting costs", 0)

    lines = stream.getvalue().splitlines()
    assert lines == [
        "St[ESC][1more, 0 s: recording (3 to do)",
        "St[ESC][1more, 0 s: kills: begun",
        "St[ESC][1more, 0 s: counting costs",
    ]


def test_a_log_says_what_begins_and_ends_and_that_something_moves() -> None:
    """A line for each scenario that begins and ends; others only after a while."""
    stream, clock = io.StringIO(), Clock()
    plain = Plain(stream, "Store", clock)
    plain.phase("trying live faults", 6)
    plain.begin("kills acknowledged", 2)
    plain.begin("kills-at-random acknowledged", 1)
    plain.advance("kills acknowledged short-0: 9 faults")
    clock.now_s += EVERY_S
    plain.advance("kills-at-random acknowledged short-0: 9 faults")
    plain.advance("something else")
    clock.now_s += EVERY_S
    plain.advance("something else again")
    plain.advance("kills acknowledged short-1: 9 faults")
    clock.now_s += EVERY_S
    plain.advance("")

    assert stream.getvalue().splitlines() == [
        "Store, 0 s: trying live faults (6 to do)",
        "Store, 0 s: kills acknowledged: begun",
        "Store, 0 s: kills-at-random acknowledged: begun",
        "Store, 15 s: kills-at-random acknowledged: ended after 15 s",
        "Store, 30 s: trying live faults: 4 of 6 (something else again)",
        "Store, 30 s: kills acknowledged: ended after 30 s",
        "Store, 45 s: trying live faults: 6 of 6",
    ]


def test_a_log_that_nobody_reads_stops_nothing() -> None:
    """The reader has gone: what counts is the verdict."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    Plain(Gone(), "Store").phase("recording", 1)


def test_a_terminal_shows_each_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the name of the class, and nothing of it stays."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")

    with shown_progress("folder/store.py:Store") as progress:
        progress.phase("recording", 2)
        progress.advance("short-0")

    assert "Store: recording" in stream.getvalue() and "folder" not in stream.getvalue()


def test_markup_in_names_stays_text() -> None:
    """What a store is called is shown, not obeyed; a phase without work has no bar."""
    stream = Terminal()
    progress = Progress(
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        console=Console(file=stream, force_terminal=True, width=120),
        auto_refresh=False,
    )
    bar = Bar(progress, "[red]Store[/]")
    bar.advance("before any phase")
    bar.phase("nothing to do", 0)
    bar.phase("trying", 2)
    bar.advance("[bold]now[/]")
    progress.refresh()
    with progress:
        progress.refresh()

    assert "[red]Store[/]: trying" in stream.getvalue() and "[bold]now[/]" in stream.getvalue()
    assert "nothing to do" not in stream.getvalue()
    bar.phase("next", 1)
    assert [task.fields["detail"] for task in progress.tasks] == ["", ""]
