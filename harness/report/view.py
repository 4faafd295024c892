"""A certificate arranged for the page: numbered, grouped, aligned. Pure functions over values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.evidence import Certificate, Evidence, FileView, Finding, SourceView, Story
from harness.core.limits import LIMITS_CLAIM
from harness.report.story import Step, steps
from harness.report.text import count, duration
from harness.report.timeline import NARROW, WIDE, Drawing, draw
from harness.report.words import FATES

TABLE_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class FileRow:
    """One path as written, after the crash and as recovered; None where it was not there.

    `changed` tells for each of them whether it differs from what was written.
    """

    path: str
    views: tuple[FileView | None, FileView | None, FileView | None]
    changed: tuple[bool, bool, bool]


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One line of source; `fault` marks the line at fault."""

    number: int
    text: str
    fault: bool


@dataclass(frozen=True, slots=True)
class FindingView:
    """A finding with what the page needs around it."""

    number: int
    anchor: str
    finding: Finding
    steps: tuple[Step, ...]
    drawings: tuple[Drawing, ...]
    files: tuple[FileRow, ...]
    source: tuple[SourceLine, ...]
    fates: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class ModelBar:
    """States tried under one persistence model; widths in percent of the largest."""

    name: str
    generated: int
    distinct: int
    judged: int
    generated_width: float
    distinct_width: float
    judged_width: float


@dataclass(frozen=True, slots=True)
class ModelView:
    """One persistence model as the certificate describes it."""

    name: str
    summary: str
    assumptions: tuple[str, ...]
    knobs: tuple[tuple[str, str], ...]


def finding_views(certificate: Certificate) -> tuple[FindingView, ...]:
    """The findings, numbered from 1. Anchors are numbers: an id may hold anything."""
    return tuple(_finding_view(number, finding) for number, finding in enumerate(certificate.findings, 1))


def _finding_view(number: int, finding: Finding) -> FindingView:
    story = finding.story
    has_timeline = story is not None and bool(story.timeline)
    return FindingView(
        number=number,
        anchor=f"finding-{number}",
        finding=finding,
        steps=steps(finding),
        drawings=tuple(draw(finding, story, size) for size in (WIDE, NARROW))
        if story and has_timeline
        else (),
        files=file_rows(story) if story else (),
        source=source_lines(story.source) if story and story.source else (),
        fates=_fates(story) if story else (),
    )


def file_rows(story: Story) -> tuple[FileRow, ...]:
    """The files of the three moments, one row a path; those that changed first, then in order of path."""
    moments = (story.files_written, story.files_after_crash, story.files_recovered)
    known = [{view.path: view for view in views} for views in moments]
    paths = sorted({path for views in known for path in views})
    return tuple(sorted((_file_row(path, known) for path in paths), key=lambda row: not any(row.changed)))


def _file_row(path: str, known: list[dict[str, FileView]]) -> FileRow:
    written, crashed, recovered = (views.get(path) for views in known)
    changed = (False, crashed != written, recovered != written)
    return FileRow(path, (written, crashed, recovered), changed)


def source_lines(source: SourceView) -> tuple[SourceLine, ...]:
    """Lines of source with their numbers."""
    return tuple(
        SourceLine(number, text, number == source.line)
        for number, text in enumerate(source.lines, source.first)
    )


def _fates(story: Story) -> tuple[tuple[str, str, str], ...]:
    """The legend: (fate, word, meaning) of the fates that the timeline shows."""
    present = {item.fate for item in story.timeline if not item.marker}
    return tuple((fate, word, why) for fate, (word, why) in FATES.items() if fate in present)


def model_bars(evidence: Iterable[Evidence]) -> tuple[ModelBar, ...]:
    """States summed per persistence model, most first."""
    sums: dict[str, tuple[int, int, int]] = {}
    for item in evidence:
        generated, distinct, judged = sums.get(item.persistence_model, (0, 0, 0))
        sums[item.persistence_model] = (
            generated + item.states_generated,
            distinct + item.states_distinct,
            judged + item.states_judged,
        )
    largest = max((max(numbers) for numbers in sums.values()), default=0)
    ordered = sorted(sums.items(), key=lambda pair: (-pair[1][0], pair[0]))
    return tuple(_bar(name, numbers, largest) for name, numbers in ordered if any(numbers))


def _bar(name: str, numbers: tuple[int, int, int], largest: int) -> ModelBar:
    generated, distinct, judged = (round(100 * number / largest, 2) for number in numbers)
    return ModelBar(name or "live faults", *numbers, generated, distinct, judged)


def bounds_text(bounds: Mapping[str, Any]) -> str:
    """The bounds of a search: `name value, name value`."""
    return ", ".join(f"{name.replace('_', ' ')} {value_text(value)}" for name, value in bounds.items())


def value_text(value: Any) -> str:
    """A JSON value for a reader."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(str(item) for item in value)
    return json.dumps(value, ensure_ascii=False, default=str)


def pairs(table: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The entries of a table as words."""
    return tuple((name.replace("_", " "), value_text(value)) for name, value in table.items())


def model_views(models: Mapping[str, Any]) -> tuple[ModelView, ...]:
    """The persistence models on the certificate; each is a table, a list of assumptions, or a sentence."""
    return tuple(_model_view(name, description) for name, description in models.items())


def _model_view(name: str, description: Any) -> ModelView:
    if isinstance(description, Mapping):
        rest = {k: v for k, v in description.items() if k not in ("name", "summary", "assumptions")}
        assumptions = tuple(str(item) for item in description.get("assumptions", ()))
        return ModelView(name, str(description.get("summary", "")), assumptions, pairs(rest))
    if isinstance(description, list | tuple):
        return ModelView(name, "", tuple(str(item) for item in description), ())
    return ModelView(name, str(description), (), ())


def zoo_rest(zoo: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What a zoo run says beyond its counts."""
    told = ("caught", "planted", "sound", "false_alarms", "version")
    return pairs({name: value for name, value in zoo.items() if name not in told})


def totals(certificate: Certificate) -> str:
    """How much was tried, in one line."""
    crashed = [item for item in certificate.evidence if item.persistence_model]
    measured = [item for item in certificate.evidence if item.claim == LIMITS_CLAIM]
    live = [item for item in certificate.evidence if not item.persistence_model and item not in measured]
    states = sum(item.states_judged for item in crashed)
    points = sum(item.crash_points for item in crashed)
    none = not (live or measured)
    parts = [f"{count(states, 'crash state')} judged at {count(points, 'crash point')}"] if crashed or none else []
    if live:
        parts.append(f"{count(sum(item.faults_fired for item in live), 'live fault')} fired")
    if measured:
        parts.append(f"{count(sum(item.bounds.get('limits', 0) for item in measured), 'limit')} measured")
    return f"{', '.join(parts)}, in {duration(certificate.seconds)}"
