"""Progress on stderr: a bar on a terminal, silence elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from harness.run.campaign import Progress as Told
from harness.run.campaign import Silent


class Bar:
    """One line for each phase of a run."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name
        self._task: TaskID | None = None

    def phase(self, title: str, total: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, detail="")
        if total:
            label = f"{escape(self._name)}: {title}"
            self._task = self._progress.add_task(label, total=total, detail="")

    def advance(self, detail: str) -> None:
        if self._task is not None:
            self._progress.update(self._task, advance=1, detail=escape(detail))


@contextlib.contextmanager
def shown_progress(name: str) -> Iterator[Told]:
    """Progress for the length of a block, removed at its end."""
    if not sys.stderr.isatty():
        yield Silent()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[detail]}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(progress, name.rpartition(":")[2] or name)
