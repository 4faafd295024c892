"""Certificates for GitHub Actions: annotations at the line at fault, and a job summary.

Workflow commands and their escaping: "Workflow commands for GitHub Actions" in GitHub's
documentation, and `toolkit/packages/core/src/command.ts`. A step shows at most ten annotations of a
kind; a job summary above 1 MiB is dropped, so this one stays below and says what it left out.
"""

import html
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from harness.core.evidence import Certificate, ClaimResult, Finding
from harness.core.trace import CallSite
from harness.core.verdict import Verdict
from harness.report.story import story_text
from harness.report.text import count, shorten, visible
from harness.report.view import totals
from harness.report.words import (
    VERDICTS,
    happens_under,
    headline,
    kind_words,
    promise,
    statement,
    zoo_sentence,
)

ANNOTATIONS_MAXIMUM = 10
SUMMARY_BYTES = 1_000_000
MESSAGE_CHARACTERS = 2_000
TEXT_CHARACTERS = 600
STORY_CHARACTERS = 20_000

# What Markdown, or GitHub's mentions, emoji and formulas, would read as structure in a line of text.
_MARKDOWN = re.compile(r"[\\`*_\[\]#!|~@$^]|:(?=\S)|^[-+=\d]")


def annotations(certificates: Sequence[Certificate], environ: Mapping[str, str] = os.environ) -> list[str]:
    """Workflow commands, one a line, for what is broken or undecided; none outside of GitHub Actions."""
    if not environ.get("GITHUB_ACTIONS"):
        return []
    workspace = environ.get("GITHUB_WORKSPACE", "")
    commands = list(_commands(certificates, workspace))
    if len(commands) <= ANNOTATIONS_MAXIMUM:
        return commands
    left = len(commands) - ANNOTATIONS_MAXIMUM + 1
    rest = _command("error", "", f"{left} more are in the job summary and in the report.", "More findings")
    return [*commands[: ANNOTATIONS_MAXIMUM - 1], rest]


def _commands(certificates: Sequence[Certificate], workspace: str) -> Iterator[str]:
    found = [(c, f) for c in certificates for f in c.findings]
    for certificate, finding in sorted(found, key=lambda pair: not pair[1].confirmed):
        title = f"{kind_words(finding.kind)} in {certificate.store}"
        kind = "error" if finding.confirmed else "warning"
        yield _command(kind, _place(finding.call_site, workspace), _message(finding), title)
    for certificate in certificates:
        explained = {claim for finding in certificate.findings for claim in finding.claims}
        for claim in certificate.claims:
            if claim.verdict is not Verdict.PASS and claim.claim not in explained:
                yield _claim_command(certificate, claim)


def _claim_command(certificate: Certificate, claim: ClaimResult) -> str:
    kind = "error" if claim.verdict is Verdict.FAIL else "warning"
    message = "; ".join(claim.reasons) or promise(claim)
    title = f"{claim.claim} of {certificate.store}: {VERDICTS[claim.verdict].word}"
    return _command(kind, "", message, title)


def _command(kind: str, place: str, message: str, title: str) -> str:
    properties = ",".join(part for part in (place, f"title={_property(title)}") if part)
    return f"::{kind} {properties}::{_data(message)}"


def _message(finding: Finding) -> str:
    fix = finding.story.fix if finding.story is not None else None
    lines = [finding.summary, f"Breaks {happens_under(finding)}."]
    lines += [f"At {finding.call_site}."] if finding.call_site is not None else []
    lines += [f"{'Fix' if fix.works else 'Advice'}: {fix.sentence}"] if fix is not None else []
    return "\n".join(visible(line) for line in (*lines, f"Replay: {finding.replay}"))


def _place(site: CallSite | None, workspace: str) -> str:
    """`file` and `line`, relative to the workspace; nothing for a file outside of it."""
    if site is None:
        return ""
    path = PurePosixPath(site.file.replace("\\", "/"))
    if path.is_absolute():
        if not workspace or not path.is_relative_to(workspace):
            return ""
        path = path.relative_to(workspace)
    return f"file={_property(str(path))},line={max(site.line, 1)}"


def _data(text: str) -> str:
    shown = "\n".join(visible(line) for line in shorten(text, MESSAGE_CHARACTERS).split("\n"))
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    shown = visible(shorten(text, TEXT_CHARACTERS))
    return shown.replace("%", "%25").replace(":", "%3A").replace(",", "%2C")


def job_summary(certificates: Sequence[Certificate]) -> str:
    """Markdown for `$GITHUB_STEP_SUMMARY`, below 1 MiB as UTF-8."""
    blocks: list[str] = []
    used, left = 0, 0
    for block in _blocks(certificates):
        size = len(block.encode()) + 2
        if used + size > SUMMARY_BYTES:
            left += 1
            continue
        blocks.append(block)
        used += size
    if left:
        blocks.append(f"{count(left, 'part')} left out to stay below the size limit: see the report.")
    return "\n\n".join(blocks) + "\n"


def _blocks(certificates: Sequence[Certificate]) -> Iterator[str]:
    """Verdicts of all stores first, so that a long story costs other stories and no verdict."""
    for certificate in certificates:
        yield _verdict_block(certificate)
    for certificate in certificates:
        for finding in certificate.findings:
            yield _finding_block(certificate, finding)


def _verdict_block(certificate: Certificate) -> str:
    words = VERDICTS[certificate.verdict]
    rows = "\n".join(_claim_row(claim) for claim in certificate.claims)
    return (
        f"## {words.icon} {_markdown(certificate.store)}: {_markdown(headline(certificate))}\n\n"
        f"{_markdown(statement(certificate))}\n\n"
        f"| Claim | Promise | Verdict |\n| --- | --- | --- |\n{rows}\n\n"
        f"{_markdown(zoo_sentence(certificate.zoo))}\n\n"
        f"{_markdown(totals(certificate))}; seed {certificate.seed}; "
        f"digest <code>{certificate.digest()}</code>"
    )


def _claim_row(claim: ClaimResult) -> str:
    words = VERDICTS[claim.verdict]
    reasons = "".join(f"<br>{_markdown(reason)}" for reason in claim.reasons)
    return f"| {_code(claim.claim)} | {_markdown(promise(claim))}{reasons} | {words.icon} {words.word} |"


def _finding_block(certificate: Certificate, finding: Finding) -> str:
    story = shorten(story_text(finding), STORY_CHARACTERS)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", story)), default=0))
    site = f" at {_code(str(finding.call_site))}" if finding.call_site is not None else ""
    return (
        f"### {_markdown(kind_words(finding.kind))} in {_markdown(certificate.store)}\n\n"
        f"{_markdown(finding.summary)}\n\nBreaks {_markdown(happens_under(finding))}{site}.\n\n"
        f"{fence}text\n{story}\n{fence}"
    )


def _markdown(text: str) -> str:
    """Text as Markdown that shows it: what could be structure becomes a character reference."""
    escaped = html.escape(visible(shorten(text, TEXT_CHARACTERS)))
    return _MARKDOWN.sub(lambda match: f"&#{ord(match.group())};", escaped)


def _code(text: str) -> str:
    return f"<code>{_markdown(text)}</code>"
