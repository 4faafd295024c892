"""What recording costs a store: the same work with and without, for several ways of writing files."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from benchmarks.chores import STYLES, Style
from benchmarks.measuring import Spent, campaign, in_worker, middle, ratio
from benchmarks.stores import RECORD_LOG
from benchmarks.table import Column, Table
from harness.run.campaign import Campaign


@dataclass(frozen=True, slots=True)
class Size:
    """Which ways of writing, and how often."""

    styles: tuple[Style, ...]
    repetitions: int


FULL = Size(STYLES, repetitions=3)
QUICK = Size(tuple(dataclasses.replace(style, count=20) for style in STYLES[::3]), repetitions=1)


@dataclass(frozen=True, slots=True)
class Turn:
    """The same work without the recorder, with it idle, and recorded; then making a trace."""

    bare: Spent
    idle: Spent
    calls: Spent
    finishing: Spent


def run(size: Size) -> tuple[Table, ...]:
    """All ways, in turns."""
    turns: dict[Style, list[Turn]] = {style: [] for style in size.styles}
    with campaign(RECORD_LOG.spec) as run_:
        for _ in range(size.repetitions):
            for style in size.styles:
                turns[style].append(_turn(run_, style))
    columns = (
        Column("way of writing"),
        Column("pieces", ",d"),
        Column("bare, us per piece", ",.1f"),
        Column("installed / bare", ".2f"),
        Column("recorded / bare", ".2f"),
        Column("with the trace / bare", ".2f"),
        Column("recorded / bare, wall", ".2f"),
    )
    notes = (
        "On a file system in memory, where syncing is free and recording shows most (aim: recorded below 3).",
        "With the trace: the log is resolved to a trace, replayed, and compared with the directory, too.",
    )
    rows = tuple(_row(style, found) for style, found in turns.items())
    return (Table("recording", "Recording, against the same calls without", columns, rows, notes),)


def _turn(run_: Campaign, style: Style) -> Turn:
    bare: Spent = in_worker(run_, "benchmarks.bare:chore", style)
    idle: Spent = in_worker(run_, "benchmarks.tapped:idle", style)
    calls, finishing = in_worker(run_, "benchmarks.tapped:recorded", style)
    return Turn(bare, idle, calls, finishing)


def _row(style: Style, turns: list[Turn]) -> tuple[object, ...]:
    return (
        style.name,
        style.count,
        1e6 * middle([turn.bare.cpu_s for turn in turns]) / style.count,
        middle([ratio(turn.idle.cpu_s, turn.bare.cpu_s) for turn in turns]),
        middle([ratio(turn.calls.cpu_s, turn.bare.cpu_s) for turn in turns]),
        middle([ratio(turn.calls.cpu_s + turn.finishing.cpu_s, turn.bare.cpu_s) for turn in turns]),
        middle([ratio(turn.calls.wall_s, turn.bare.wall_s) for turn in turns]),
    )
