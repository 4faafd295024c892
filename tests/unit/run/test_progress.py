"""Progress on a terminal, silence elsewhere."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn

from harness.run.campaign import Silent
from harness.run.progress import Bar, shown_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_there_is_silence_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a byte is written."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)

    with shown_progress("store.py:Store") as progress:
        assert isinstance(progress, Silent)
        progress.phase("recording", 3)
        progress.advance("short-0")

    assert stream.getvalue() == ""


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
