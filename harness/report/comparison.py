"""A comparison made readable: console lines and an HTML page. Reads comparisons only."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.comparison import Change, Comparison, CostChange, Weight
from harness.core.verdict import Verdict
from harness.report import view
from harness.report.console import Line, plain
from harness.report.html import render_page
from harness.report.text import count, shorten, visible
from harness.report.words import VERDICTS

#: A title for each weight, and the verdict whose icon and colour it has.
WEIGHTS = {
    Weight.REGRESSION: ("Regressions", Verdict.FAIL),
    Weight.UNDECIDED: ("Not decided", Verdict.UNKNOWN),
    Weight.IMPROVEMENT: ("Improvements", Verdict.PASS),
    Weight.NOTE: ("Unchanged, or of no weight", Verdict.PASS),
}
STATUSES = {"new": Verdict.FAIL, "ongoing": Verdict.UNKNOWN, "mended": Verdict.PASS}
TEXT_CHARACTERS = 500
_STYLES = {Weight.REGRESSION: "bold red", Weight.UNDECIDED: "yellow", Weight.IMPROVEMENT: "green", Weight.NOTE: "dim"}
_VERDICT_STYLES = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.UNKNOWN: "yellow"}
_ICONS = {Weight.REGRESSION: "\u2717", Weight.UNDECIDED: "?", Weight.IMPROVEMENT: "\u2713", Weight.NOTE: "\u00b7"}


def headline(comparison: Comparison) -> str:
    """The outcome in a few words."""
    worse, undecided = len(comparison.of(Weight.REGRESSION)), len(comparison.of(Weight.UNDECIDED))
    if worse:
        return count(worse, "regression")
    if undecided:
        return f"Undecided: {count(undecided, 'point')} can't be compared"
    return "No regression"


def comparison_lines(comparison: Comparison) -> Iterator[Line]:
    """The outcome, then every change, the worst first."""
    title = f"{VERDICTS[comparison.verdict].icon} {_text(comparison.store)}: {headline(comparison)}"
    yield Line(title, _VERDICT_STYLES[comparison.verdict], len(title))
    yield Line(f"  {_text(sides(comparison))}")
    width = max((len(change.area) for change in comparison.changes), default=0)
    for change in comparison.changes:
        start = f"  {_ICONS[change.weight]} {change.area:<{width}}"
        yield Line(f"{start}  {_text(change.sentence)}", _STYLES[change.weight], len(start))


def comparison_text(comparison: Comparison) -> str:
    """The comparison as plain text, ending with a newline."""
    return plain(comparison_lines(comparison))


def sides(comparison: Comparison) -> str:
    """Which certificates were compared, in a sentence."""
    old, new = comparison.old, comparison.new
    return f"from {old.issued_at} ({old.digest[:12]}) to {new.issued_at} ({new.digest[:12]}), profile {new.profile}"


def render_comparison(comparison: Comparison) -> str:
    """The page, complete; write it as UTF-8."""
    return render_page(
        "comparison.html.j2",
        comparison=comparison,
        headline=headline(comparison),
        groups=_groups(comparison),
        costs=[row for row in comparison.costs if row.old or row.new],
        percent=percent,
        statuses=STATUSES,
        rows_shown=view.TABLE_ROWS,
        weights=Weight,
    )


def _groups(comparison: Comparison) -> list[tuple[Weight, str, Verdict, tuple[Change, ...]]]:
    """The changes by weight, those that there are."""
    groups = ((weight, *WEIGHTS[weight], comparison.of(weight)) for weight in Weight)
    return [group for group in groups if group[3]]


def percent(row: CostChange) -> str:
    """How much more or less, for a reader."""
    if row.old == row.new:
        return "equal"
    return "new" if row.percent is None else f"{row.percent:+.1f} %"


def _text(text: str) -> str:
    return visible(shorten(text, TEXT_CHARACTERS))
