"""Certificates as JUnit XML: a test suite per store, a test case per claim, scenario and model.

A broken claim is a `<failure>`. An undecided one is an `<error>`: a check that should have been
made and could not be. It is no `<skipped>`, because CI shows skipped cases as green, and nothing that was
not decided may look like a pass; the command line agrees, and does not exit with 0 either.
`<skipped>` is left for what the certificate lists as not exercised: mechanisms that this machine lacks,
while the claim was decided by others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from harness.core.comparison import AREAS, Comparison, Weight
from harness.core.evidence import Certificate, ClaimResult, Evidence, Finding
from harness.core.verdict import Verdict, merge
from harness.report.story import story_text
from harness.report.text import shorten, visible
from harness.report.view import bounds_text
from harness.report.words import kind_words, promise, statement

MESSAGE_CHARACTERS = 1_000
BODY_CHARACTERS = 60_000


@dataclass(frozen=True, slots=True)
class Case:
    """One test case: a verdict with what explains it."""

    claim: str
    name: str
    verdict: Verdict
    seconds: float
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]
    output: str


def render_junit(certificates: Sequence[Certificate]) -> str:
    """The XML document, with its declaration; write it as UTF-8."""
    root = Element("testsuites", name="durability")
    for certificate in certificates:
        _suite(root, certificate)
    _total(root, root.findall("testsuite"))
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def render_comparison_junit(comparisons: Sequence[Comparison]) -> str:
    """The XML document of comparisons: a suite per store, a case for each area that two certificates can differ in.

    A regression is a `<failure>`, what can't be decided an `<error>`, for the same reason as above.
    """
    root = Element("testsuites", name="durability comparison")
    for comparison in comparisons:
        suite = SubElement(root, "testsuite", name=_attribute(f"{comparison.store} compared"))
        for area in AREAS:
            _area(suite, comparison, area)
        _total(suite, [suite])
    _total(root, root.findall("testsuite"))
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _area(suite: Element, comparison: Comparison, area: str) -> None:
    name = _attribute(f"{comparison.store}.comparison")
    case = SubElement(suite, "testcase", classname=name, name=area, time="0.000")
    for weight, tag in ((Weight.REGRESSION, "failure"), (Weight.UNDECIDED, "error")):
        told = [change.sentence for change in comparison.of(weight) if change.area == area]
        if told:
            element = SubElement(case, tag, message=_attribute(told[0]), type=weight.value)
            element.text = _body("\n".join(told))
            return


def cases(certificate: Certificate) -> tuple[Case, ...]:
    """The test cases of a certificate. Whatever it holds against the store is in one of them."""
    groups: dict[tuple[str, str, str], list[Evidence]] = {}
    for item in certificate.evidence:
        groups.setdefault((item.claim, item.scenario, item.persistence_model), []).append(item)
    tried = [_tried(key, group, certificate) for key, group in groups.items()]
    shown = {finding.id for case in tried for finding in case.findings}
    alone = [_alone(finding) for finding in certificate.findings if finding.id not in shown]
    told = [*tried, *alone]
    return (*told, *(_claim(claim) for claim in certificate.claims if not _covers(told, claim)))


def _tried(key: tuple[str, str, str], group: list[Evidence], certificate: Certificate) -> Case:
    claim, scenario, model = key
    verdict = merge(item.verdict for item in group)
    decided_well = verdict is Verdict.PASS
    findings = () if decided_well else _behind(certificate.findings, key)
    return Case(
        claim=claim,
        name=f"{scenario} [{model}]" if model else scenario,
        verdict=verdict,
        seconds=sum(item.seconds for item in group),
        reasons=tuple(reason for item in group for reason in item.reasons),
        findings=findings,
        output="\n".join(line for item in group for line in _output(item)),
    )


def _behind(findings: Sequence[Finding], key: tuple[str, str, str]) -> tuple[Finding, ...]:
    """Its own findings; where it has none, those of another claim that break this one under the same model."""
    claim, _, model = key
    own = tuple(finding for finding in findings if _belongs(finding, key))
    return own or tuple(f for f in findings if f.claim != claim in f.claims and model in f.persistence_models)


def _belongs(finding: Finding, key: tuple[str, str, str]) -> bool:
    claim, scenario, model = key
    models = finding.persistence_models
    return finding.claim == claim and finding.scenario == scenario and (not models or model in models)


def _alone(finding: Finding) -> Case:
    """A finding that no evidence of the same scenario stands for: merged ones, for instance.

    One that did not happen again in a fresh interpreter decides nothing, but is never left out.
    """
    verdict = Verdict.FAIL if finding.confirmed else Verdict.UNKNOWN
    reasons = () if finding.confirmed else (f"flaky: {finding.summary}",)
    models = ", ".join(finding.persistence_models)
    name = f"{finding.scenario} [{models}]" if models else finding.scenario
    return Case(finding.claim, f"{name} finding {finding.id}", verdict, 0.0, reasons, (finding,), "")


def _claim(claim: ClaimResult) -> Case:
    """A claim whose verdict is not explained by any other case."""
    return Case(
        claim.claim, f"claim ({claim.promised})", claim.verdict, 0.0, claim.reasons, (), promise(claim)
    )


def _covers(told: list[Case], claim: ClaimResult) -> bool:
    known = [case.verdict for case in told if case.claim == claim.claim]
    return bool(known) and merge(known) | claim.verdict is merge(known)


def _output(item: Evidence) -> Iterator[str]:
    """What was done, and what there is to say beside it; of what is undecided that is the message already."""
    yield _counts(item)
    yield from () if item.verdict is Verdict.UNKNOWN else item.reasons


def _counts(item: Evidence) -> str:
    bounds = f"; bounds: {bounds_text(item.bounds)}" if item.bounds else ""
    return (
        f"{item.workloads} workloads, {item.crash_points} crash points, "
        f"states {item.states_generated} generated, {item.states_distinct} distinct, "
        f"{item.states_judged} judged, {item.faults_fired} faults fired, "
        f"exhausted: {'yes' if item.exhausted else 'no'}{bounds}; seed {item.seed}"
    )


def _suite(root: Element, certificate: Certificate) -> None:
    suite = SubElement(
        root, "testsuite", name=_attribute(certificate.store), timestamp=_timestamp(certificate)
    )
    properties = SubElement(suite, "properties")
    for name, value in _properties(certificate):
        SubElement(properties, "property", name=name, value=_attribute(value))
    for case in cases(certificate):
        _case(suite, certificate, case)
    for mechanism in certificate.not_exercised:
        element = _case_element(suite, certificate, "not exercised", mechanism, 0.0)
        SubElement(element, "skipped", message=_attribute(mechanism))
    if certificate.notes:
        SubElement(suite, "system-out").text = _body("\n".join(map(visible, certificate.notes)))
    _total(suite, [suite])


def _timestamp(certificate: Certificate) -> str:
    # The schema wants xs:dateTime without a zone; readers take it as UTC.
    return _attribute(certificate.issued_at)[:19]


def _properties(certificate: Certificate) -> tuple[tuple[str, str], ...]:
    return (
        ("verdict", certificate.verdict.value),
        ("statement", statement(certificate)),
        ("adapter", certificate.adapter),
        ("profile", certificate.profile),
        ("seed", str(certificate.seed)),
        ("digest", certificate.digest()),
    )


def _case(suite: Element, certificate: Certificate, case: Case) -> None:
    element = _case_element(suite, certificate, case.claim, case.name, case.seconds)
    if case.verdict is Verdict.FAIL:
        _failure(element, case)
    elif case.verdict is Verdict.UNKNOWN:
        message = "undecided: " + ("; ".join(case.reasons) or "no reason was recorded")
        error = SubElement(element, "error", message=_attribute(message), type="unknown")
        error.text = _body("\n\n".join([message, *map(story_text, case.findings)]))
    if case.output:
        SubElement(element, "system-out").text = _body(case.output)


def _case_element(suite: Element, certificate: Certificate, claim: str, name: str, seconds: float) -> Element:
    return SubElement(
        suite,
        "testcase",
        classname=_attribute(f"{certificate.store}.{claim}"),
        name=_attribute(name),
        time=f"{seconds:.3f}",
    )


def _failure(element: Element, case: Case) -> None:
    first = case.findings[0] if case.findings else None
    message = first.summary if first else "broken: " + ("; ".join(case.reasons) or "no reason was recorded")
    if len(case.findings) > 1:
        message = f"{len(case.findings)} findings, the first: {message}"
    failure = SubElement(element, "failure", message=_attribute(message))
    failure.set("type", _attribute(kind_words(first.kind)) if first else "broken")
    failure.text = _body("\n\n".join(story_text(finding) for finding in case.findings) or message)


def _total(element: Element, suites: list[Element]) -> None:
    found = [case for suite in suites for case in suite.findall("testcase")]
    element.set("tests", str(len(found)))
    for counter, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(counter, str(sum(case.find(tag) is not None for case in found)))
    element.set("time", f"{sum(float(case.get('time', '0')) for case in found):.3f}")


def _attribute(text: str) -> str:
    """Text that XML 1.0 can hold in an attribute (section 2.2 forbids most control characters)."""
    return visible(shorten(text, MESSAGE_CHARACTERS))


def _body(text: str) -> str:
    return "\n".join(visible(line) for line in shorten(text, BODY_CHARACTERS).split("\n"))
