"""What is kept and told of the series (`run_series`): a JSON file, and a block of `docs/ZOO.md` that is made of it."""

from __future__ import annotations

import fcntl
import json
import os
import statistics
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.power import lower_share
from tests.zoo.mutants import ROOT
from tests.zoo.planted import Sought
from tests.zoo.publishing import markdown_table
from tests.zoo.quiet import LEAST, Mode, Quiet

SERIES_FILE = ROOT / "tests" / "zoo" / "series.json"
_LONGEST_TEXT = 300


@dataclass(frozen=True, slots=True)
class Searched:
    """One planted defect and what came of each seed; `budget` says in words what is tried for one seed at most."""

    defect: str
    budget: str
    sought: tuple[Sought, ...]
    source_digest: str

    @property
    def caught(self) -> int:
        return sum(one.caught for one in self.sought)


@dataclass(frozen=True, slots=True)
class Hushed:
    """The runs over one sound store: how often in each mode, the operations answered in all and in the run that had the
    fewest, and what was found or not decided, or why a run does not count, with the seed."""

    modes: dict[str, int]
    operations: int
    fewest: int
    seconds: float
    alarms: tuple[str, ...]
    unknown: tuple[str, ...]
    idle: tuple[str, ...]
    source_digest: str

    @property
    def runs(self) -> int:
        return sum(self.modes.values())


@dataclass(frozen=True, slots=True)
class Repeated:
    """A finding, and what came of it when it was replayed `times` times: `others` are those that were not the same."""

    finding: str
    seed: int
    times: int
    others: tuple[str, ...]
    source_digest: str


@dataclass(frozen=True, slots=True)
class Series:
    """All three series, by the names of defects and stores. Parts may be empty."""

    detection: dict[str, Searched] = field(default_factory=dict)
    quiet: dict[str, Hushed] = field(default_factory=dict)
    replays: dict[str, Repeated] = field(default_factory=dict)


def hushed(runs: Sequence[Quiet], digest: str) -> Hushed:
    """The runs over one store in one value."""
    done = [run for run in runs if not run.idle]
    modes = {str(mode): count for mode in Mode if (count := sum(run.mode is mode for run in done))}
    return Hushed(
        modes,
        sum(run.operations for run in done),
        min((run.operations for run in done), default=0),
        round(sum(run.seconds for run in runs), 1),
        tuple(f"seed {run.seed}: {run.alarm}"[:_LONGEST_TEXT] for run in runs if run.alarm),
        tuple(f"seed {run.seed}: {run.unknown}"[:_LONGEST_TEXT] for run in runs if run.unknown),
        tuple(f"seed {run.seed}: {run.idle}"[:_LONGEST_TEXT] for run in runs if run.idle),
        digest,
    )


# --- the file -----------------------------------------------------------------------------------


def read_series(file: Path | None = None) -> Series:
    """The series as they are on the disk; empty if there is no such file."""
    file = file or SERIES_FILE
    if not file.exists():
        return Series()
    found = json.loads(file.read_text(encoding="utf-8"))
    return Series(
        {name: Searched(**{**row, "sought": _sought(row["sought"])}) for name, row in found["detection"].items()},
        {name: Hushed(**_tuples(row)) for name, row in found["quiet"].items()},
        {name: Repeated(**_tuples(row)) for name, row in found["replays"].items()},
    )


def _sought(rows: list[list[Any]]) -> tuple[Sought, ...]:
    return tuple(Sought(*row[:-1], tuple(row[-1])) for row in rows)


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}


@contextmanager
def changing(file: Path | None = None) -> Iterator[Series]:
    """The series as they are on the disk, written back when the block ends; no other process changes them meanwhile."""
    folder = os.open((file or SERIES_FILE).parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        series = read_series(file)
        yield series
        write_series(series, file)
    finally:
        os.close(folder)


def write_series(series: Series, file: Path | None = None) -> None:
    """A line for each defect, store and replay."""
    parts = [f"  {json.dumps(name)}: {{\n{_lines(part)}\n  }}" for name, part in _plain(series).items()]
    (file or SERIES_FILE).write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def _plain(series: Series) -> dict[str, dict[str, Any]]:
    searched = {
        name: {**asdict(row), "sought": [list(asdict(one).values()) for one in row.sought]}
        for name, row in series.detection.items()
    }
    quiet = {name: asdict(row) for name, row in series.quiet.items()}
    replays = {name: asdict(row) for name, row in series.replays.items()}
    return {"detection": searched, "quiet": quiet, "replays": replays}


def _lines(part: dict[str, Any]) -> str:
    return ",\n".join(f"    {json.dumps(name)}: {json.dumps(row)}" for name, row in part.items())


# --- the page -----------------------------------------------------------------------------------


def block(series: Series) -> str:
    """The part of the page that tells of the series."""
    parts = [_HEAD, *_detection(series.detection), *_quiet(series.quiet), *_replays(series.replays)]
    return "\n".join(parts).rstrip("\n")


_HEAD = """## Series

What several clients do is a matter of luck, and of the seed. `python -m tests.zoo.run_series` repeats it: `detection`
searches for each planted defect with one seed after the other, `quiet` has clients work on sound stores, `replays` does
a finding of each defect again.
"""


def _detection(rows: dict[str, Searched]) -> Iterable[str]:
    if not rows:
        return
    yield """### Each planted defect, with many seeds

Caught: the first finding that has the right kind and line happened again in a fresh interpreter. The share is at least
so much with 95 % (Clopper and Pearson, 1934), if other seeds are like these. Elsewhere: searches that also had a
finding which blames another line, or has another kind. Rows of the zoo, and what is planted in the log for several
writers, are searched for by the scenarios that caught them before and all for several writers, in the order and with
the budget of the profile; other defects of the breaker and the log by the checks of their tests.
"""
    heads = ("defect", "caught", "at least", "median", "worst", "trials, worst", "by", "elsewhere", "budget of a seed")
    yield from markdown_table(heads, (_searched_row(name, row) for name, row in rows.items()))
    yield ""
    for name, row in rows.items():
        missed = [str(one.seed) for one in row.sought if not one.caught]
        if missed:
            yield f"{name}: not caught with seed {', '.join(missed)}.\n"


def _searched_row(name: str, row: Searched) -> list[str]:
    found = [one for one in row.sought if one.caught]
    seconds = [one.seconds for one in found]
    return [
        name,
        f"{row.caught} of {len(row.sought)}",
        f"{lower_share(row.caught, len(row.sought)):.1%}",
        f"{statistics.median(seconds):.2f} s" if seconds else "",
        f"{max(seconds):.2f} s" if seconds else "",
        str(max(one.trials for one in found)) if found and any(one.trials for one in found) else "",
        ", ".join(sorted({one.scenario for one in found})),
        str(sum(bool(one.elsewhere) for one in row.sought)),
        row.budget,
    ]


def _quiet(rows: dict[str, Hushed]) -> Iterable[str]:
    if not rows:
        return
    runs, alarms = sum(row.runs for row in rows.values()), sum(len(row.alarms) for row in rows.values())
    most = 1 - lower_share(runs - alarms, runs) if runs else 1.0
    yield f"""### Sound stores, many times

Four clients, and at least {LEAST} operations that were answered in each run; one with fewer, because the store told
somebody that it was busy, does not count. What all were told, and the state at the end, is judged.

{runs:,} runs, {alarms} false alarms: at most {most:.2%} of such runs, with 95 %.
"""
    heads = ("store", "runs", "operations", "fewest", "false alarms", "unknown", "do not count", "modes")
    yield from markdown_table(heads, (_hushed_row(name, row) for name, row in rows.items()))
    yield ""


def _hushed_row(name: str, row: Hushed) -> list[str]:
    modes = ", ".join(f"{mode} {count}" for mode, count in row.modes.items())
    counts = (len(row.alarms), len(row.unknown), len(row.idle))
    return [name, str(row.runs), f"{row.operations:,}", str(row.fewest), *map(str, counts), modes]


def _replays(rows: dict[str, Repeated]) -> Iterable[str]:
    if not rows:
        return
    yield """### Findings, done again

From the certificate, or the seed, alone; each time in a fresh interpreter. The same: kind and line; of a check the
assertion, and what it says where that depends on the seed.
"""
    heads = ("defect", "the same", "finding", "seed")
    yield from markdown_table(heads, (_repeated_row(name, row) for name, row in rows.items()))
    yield ""


def _repeated_row(name: str, row: Repeated) -> list[str]:
    return [name, f"{row.times - len(row.others)} of {row.times}", f"`{row.finding}`", str(row.seed)]
