"""Progress on stderr: a bar on a terminal; elsewhere nothing, or for the log of a job a plain line now and then."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from harness.report.text import visible
from harness.run.campaign import Progress as Told
from harness.run.campaign import Silent

#: The longest silence in a log while steps of a run end.
EVERY_S = 15.0


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

    def begin(self, part: str, total: int) -> None:
        return None

    def advance(self, detail: str) -> None:
        if self._task is not None:
            self._progress.update(self._task, advance=1, detail=escape(detail))


@dataclass(slots=True)
class _Part:
    left: int
    began_s: float


class Plain:
    """A line when a phase or a part of one begins, when a part has ended, and at least every `EVERY_S` seconds."""

    def __init__(self, stream: TextIO, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._name = name
        self._clock = clock
        self._began_s = self._said_s = clock()
        self._title, self._done, self._total = "", 0, 0
        self._parts: dict[str, _Part] = {}

    def phase(self, title: str, total: int) -> None:
        self._title, self._done, self._total = title, 0, total
        self._parts.clear()
        self._say(f"{title} ({total} to do)" if total else title)

    def begin(self, part: str, total: int) -> None:
        self._parts[part] = _Part(total, self._clock())
        self._say(f"{part}: begun")

    def advance(self, detail: str) -> None:
        self._done += 1
        part = next((name for name in self._parts if detail.startswith(f"{name} ")), "")
        if part:
            self._parts[part].left -= 1
            if not self._parts[part].left:
                took_s = self._clock() - self._parts.pop(part).began_s
                self._say(f"{part}: ended after {took_s:.0f} s")
                return
        if self._clock() - self._said_s >= EVERY_S:
            self._say(f"{self._title}: {self._done} of {self._total}{f' ({detail})' if detail else ''}")

    def _say(self, text: str) -> None:
        self._said_s = self._clock()
        with contextlib.suppress(OSError):  # nobody reads on: that is no reason to stop
            self._stream.write(visible(f"{self._name}, {self._said_s - self._began_s:.0f} s: {text}") + "\n")
            self._stream.flush()


@contextlib.contextmanager
def shown_progress(name: str, *, plain: bool = False) -> Iterator[Told]:
    """Progress for the length of a block: a bar that is removed at its end, or `plain` lines."""
    short = name.rpartition(":")[2] or name
    if plain or not sys.stderr.isatty():
        yield Plain(sys.stderr, short) if plain else Silent()
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
        yield Bar(progress, short)
