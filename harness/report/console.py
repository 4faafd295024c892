"""The verdict on standard output: claims first, then the gist of each finding; the whole stories are on the page.

Plain text where the stream is no terminal, the same lines in colour where it is. Colours
stay off with `NO_COLOR` (no-color.org); icons that the stream's encoding lacks become escapes.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TextIO

from harness.core.decision import Decision, Readiness
from harness.core.evidence import Certificate, ClaimResult, Finding
from harness.core.verdict import Verdict
from harness.report.faults import thorough
from harness.report.measurements import limit_lines
from harness.report.story import gist, story_text
from harness.report.text import shorten, visible
from harness.report.view import totals
from harness.report.words import VERDICTS, happens_under, headline, statement

__all__ = ["certificate_text", "print_certificate", "story_text"]

TEXT_CHARACTERS = 500
#: Enough for the names of all scenarios with all their models.
DECISION_CHARACTERS = 4_000

_STYLES = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.UNKNOWN: "yellow"}
_READINESS = {Readiness.READY: "green", Readiness.NOT_READY: "bold red", Readiness.UNDECIDED: "yellow"}
_LABEL_STYLES = {"fix": "green", "advice": "green", "replay": "cyan", "lost": "red", "found": "red"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the report; `style` is for terminals, `styled` says how many characters have it."""

    text: str
    style: str = ""
    styled: int = 0


def print_certificate(certificate: Certificate, stream: TextIO) -> None:
    """Write the verdict to `stream`: in colour on a terminal, as plain text anywhere else."""
    print_lines(_lines(certificate), stream)


def print_lines(lines: Iterable[Line], stream: TextIO) -> None:
    """Write `lines` to `stream`: in colour on a terminal, as plain text anywhere else."""
    colour = stream.isatty() and not os.environ.get("NO_COLOR")
    stream.write(_encodable(_coloured(lines) if colour else plain(lines), stream))


def certificate_text(certificate: Certificate) -> str:
    """The verdict as plain text, ending with a newline."""
    return plain(_lines(certificate))


def plain(lines: Iterable[Line]) -> str:
    """The lines without their styles, each ending with a newline."""
    return "".join(f"{line.text}\n" for line in lines)


def _lines(certificate: Certificate) -> Iterator[Line]:
    icon = VERDICTS[certificate.verdict].icon
    title = f"{icon} {_text(certificate.store)}: {headline(certificate)}"
    yield Line(title, _STYLES[certificate.verdict], len(title))
    yield Line(f"  {_text(statement(certificate))}")
    yield Line("")
    yield from _claims(certificate.claims)
    for verdict, start, rest in limit_lines(certificate.measurements):
        yield Line(_text(f"{start} {rest}"), _STYLES[verdict], len(start))
    yield Line("")
    first: dict[tuple[str, ...], int] = {}
    for number, finding in enumerate(certificate.findings, 1):
        like = first.setdefault(_likeness(finding, number), number)
        yield from _finding_lines(number, gist(finding, like if like < number else 0))
        yield Line("")
    if any(finding.story is not None for finding in certificate.findings):
        yield Line("  the whole story of each finding: the HTML page, or its replay command", "dim")
    if certificate.decision is not None:
        yield from decision_lines(certificate.decision)
    for mechanism in certificate.not_exercised:
        yield Line(f"  not exercised: {_text(mechanism)}", "yellow", 16)
    for note in certificate.notes:
        yield Line(f"  note: {_text(note)}", "yellow", 7)
    if reached := thorough(certificate.fault_coverage):
        yield Line(f"  {reached}", "dim", len(reached) + 2)
    run = f"  {totals(certificate)}; seed {certificate.seed}; digest {certificate.digest()[:12]}"
    yield Line(run, "dim", len(run))


def _claims(claims: tuple[ClaimResult, ...]) -> Iterator[Line]:
    name = max((len(_text(claim.claim)) for claim in claims), default=0)
    promised = max((len(_text(claim.promised)) for claim in claims), default=0)
    for claim in claims:
        words = VERDICTS[claim.verdict]
        start = f"  {words.icon} {words.word:<12}"
        columns = f"{_text(claim.claim):<{name}}  {_text(claim.promised):<{promised}}"
        scenarios = _text(", ".join(claim.scenarios)) or "no scenario"
        yield Line(f"{start} {columns}  {scenarios}", _STYLES[claim.verdict], len(start))
        for reason in claim.reasons:
            yield Line(f"      {'note:' if claim.verdict is Verdict.PASS else 'because'} {_text(reason)}")


def decision_lines(decision: Decision) -> Iterator[Line]:
    """Ready or not, and what is missing; where nothing is, what was not tried."""
    title = f"  decision: {decision.decision} (policy: {_text(decision.policy)})"
    yield Line(title, _READINESS[decision.readiness], len(title))
    for condition in decision.missing:
        yield Line(f"      missing: {_text(condition.sentence)}")
    for sentence in decision.not_tried if decision.readiness is Readiness.READY else ():
        yield Line(f"      but: {visible(shorten(sentence, DECISION_CHARACTERS))}")


def _likeness(finding: Finding, number: int) -> tuple[str, ...]:
    """What has it in common with findings that need not be told again: not where it has a fix of its own."""
    fix, site = finding.story.fix if finding.story is not None else None, finding.call_site
    if site is None or (fix is not None and fix.works):
        return (str(number),)
    return (finding.kind, happens_under(finding), finding.scenario, site.file, site.function)


def _finding_lines(number: int, lines: Iterable[str]) -> Iterator[Line]:
    first, *rest = lines
    yield Line(f"[{number}] {first}", "bold red", len(str(number)) + 2)
    for text in rest:
        label = text[2:11].strip()
        yield Line(text, _LABEL_STYLES.get(label, ""), 2 + len(label))


def _text(text: str) -> str:
    return visible(shorten(text, TEXT_CHARACTERS))


def _coloured(lines: Iterable[Line]) -> str:
    # Imported here: a run that writes to a file or a pipe need not pay for it.
    from rich.console import Console
    from rich.text import Text

    buffer = io.StringIO()
    console = Console(
        file=buffer,
        force_terminal=True,
        color_system="standard",
        highlight=False,
        soft_wrap=True,
        _environ={},
    )
    for line in lines:
        text = Text(line.text)
        text.stylize(line.style or "none", 0, line.styled)
        console.print(text)
    return buffer.getvalue()


def _encodable(text: str, stream: TextIO) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
