"""Findings that are new, mended or ongoing.

A finding is known again by its kind, the name of the file, the function, and the text of its line. Numbers of lines and
ids change with every edit, so they only tell which is which among equals. Where a line was edited, it is the same
finding if most of the text is (a ratio of `SIMILAR` after Ratcliff and Obershelp, `difflib`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.core.comparison import Change, FindingChange, Weight
from harness.core.evidence import Certificate, Finding
from harness.core.verdict import Verdict
from harness.judge.comparing.pair import Pair

SIMILAR = 0.6


@dataclass(frozen=True, slots=True)
class Matched:
    """The same defect on both sides, or on one of them."""

    old: Finding | None
    new: Finding | None


def matched(old: Certificate, new: Certificate) -> tuple[Matched, ...]:
    """Every finding of both, each once: pairs and new ones in the order of `new`, then those that are gone."""
    left = list(old.findings)
    partner: dict[int, Finding] = {}
    for alike in (_same_line, _similar_line):  # what is surely the same goes first
        for number, finding in enumerate(new.findings):
            candidates = [other for other in left if _same_place(other, finding) and alike(other, finding, old, new)]
            if number not in partner and candidates:
                partner[number] = min(candidates, key=lambda other: _distance(other, finding))
                left.remove(partner[number])
    found = [Matched(partner.get(number), finding) for number, finding in enumerate(new.findings)]
    return (*found, *(Matched(finding, None) for finding in left))


def _same_place(one: Finding, other: Finding) -> bool:
    return _place(one) == _place(other)


def _place(finding: Finding) -> tuple[str, str, str]:
    site = finding.call_site
    if site is None:
        return (finding.kind, finding.claim, finding.scenario)
    return (finding.kind, base_name(site.file), site.function)


def base_name(path: str) -> str:
    """The last part of a path, whoever wrote it."""
    return path.replace("\\", "/").rpartition("/")[2]


def _same_line(one: Finding, other: Finding, old: Certificate, new: Certificate) -> bool:
    """Equal texts; where one is not known, the place has to do."""
    texts = line_text(one, old), line_text(other, new)
    return texts[0] == texts[1] or "" in texts


def _similar_line(one: Finding, other: Finding, old: Certificate, new: Certificate) -> bool:
    matcher = difflib.SequenceMatcher(None, line_text(one, old), line_text(other, new), autojunk=False)
    return matcher.ratio() >= SIMILAR


def line_text(finding: Finding, certificate: Certificate) -> str:
    """The line at fault, without its indentation; empty if the certificate does not show it."""
    site = finding.call_site
    if site is None:
        return ""
    source = finding.story.source if finding.story else None
    if source is not None and source.line == site.line and 0 <= site.line - source.first < len(source.lines):
        return source.lines[site.line - source.first].strip()
    known = certificate.fault_coverage.sources if certificate.fault_coverage else ()
    lines = next((item.lines for item in known if item.file == site.file), ())
    return lines[site.line - 1].strip() if 1 <= site.line <= len(lines) else ""


def _distance(one: Finding, other: Finding) -> int:
    if one.call_site is None or other.call_site is None:
        return 0
    return abs(one.call_site.line - other.call_site.line)


# --- what follows -------------------------------------------------------------------------------


def finding_changes(pair: Pair) -> tuple[tuple[FindingChange, ...], list[Change]]:
    """Every finding with its status, and what that means."""
    pairs = matched(pair.old, pair.new)
    told: dict[str, Callable[[Pair, Matched], Iterator[Change]]] = {"new": _new, "mended": _mended, "ongoing": _ongoing}
    rows = tuple(_row(item) for item in pairs)
    return rows, [change for row, item in zip(rows, pairs, strict=True) for change in told[row.status](pair, item)]


def _row(item: Matched) -> FindingChange:
    shown = item.new or item.old
    assert shown is not None
    status = "ongoing" if item.old and item.new else "new" if item.new else "mended"
    ids = (item.old.id if item.old else "", item.new.id if item.new else "")
    return FindingChange(status, shown.kind, str(shown.call_site or ""), shown.summary, *ids)


def _new(pair: Pair, item: Matched) -> Iterator[Change]:
    finding = item.new
    assert finding is not None
    tried = any(claim.claim == finding.claim for claim in pair.old.claims)
    weight, remark = Weight.REGRESSION, ""
    if not tried:
        weight, remark = Weight.UNDECIDED, f" Whether it is older is not known: {finding.claim} was not tried before."
    elif not finding.confirmed:
        weight, remark = Weight.UNDECIDED, " It did not happen again in a fresh interpreter."
    elif not pair.same_search:
        remark = " The earlier search was another one and may have missed it."
    sentence = f"New: {_told(finding)}.{remark}"
    yield Change("findings", weight, finding.kind, sentence, "", finding.id)


def _mended(pair: Pair, item: Matched) -> Iterator[Change]:
    finding = item.old
    assert finding is not None
    if _looked_again(pair, finding) or _other_finding(pair.new, finding):
        sentence = f"No longer found: {_told(finding)}."
        yield Change("findings", Weight.IMPROVEMENT, finding.kind, sentence, finding.id, "")
    else:
        sentence = f"Not seen, but {finding.scenario} came to no result either: {_told(finding)}."
        yield Change("findings", Weight.UNDECIDED, finding.kind, sentence, finding.id, "")


def _looked_again(pair: Pair, finding: Finding) -> bool:
    """Whether what found it passed; where no evidence goes by the name of its scenario, whether its claim is kept."""
    rows = [row for row in pair.new.evidence if (row.claim, row.scenario) == (finding.claim, finding.scenario)]
    if not rows and all(row.scenario != finding.scenario for row in pair.old.evidence):
        return any(claim.claim == finding.claim and claim.verdict is Verdict.PASS for claim in pair.new.claims)
    return any(row.verdict is Verdict.PASS for row in rows)


def _other_finding(certificate: Certificate, finding: Finding) -> bool:
    """Whether the same scenario broke the claim in another way: it did look."""
    return any(
        (other.claim, other.scenario) == (finding.claim, finding.scenario) and other.confirmed
        for other in certificate.findings
    )


def _ongoing(pair: Pair, item: Matched) -> Iterator[Change]:
    assert item.old is not None and item.new is not None
    yield Change("findings", Weight.NOTE, item.new.kind, f"Ongoing: {_told(item.new)}.", item.old.id, item.new.id)


def _told(finding: Finding) -> str:
    """Its summary and its place, as a part of a sentence."""
    return finding.summary.rstrip(".") + (f" ({finding.call_site})" if finding.call_site else "")
