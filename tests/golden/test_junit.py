"""JUnit: a broken claim is red, an undecided one too, and hostile text is text."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

from harness.core.evidence import Certificate, ClaimResult
from harness.core.verdict import Verdict
from harness.report import render_junit
from harness.report.junit import cases
from tests.golden.sample import failing, hostile, passing, unknown


def _suite(certificate: Certificate) -> ElementTree.Element:
    suite = ElementTree.fromstring(render_junit([certificate]).encode()).find("testsuite")
    assert suite is not None
    return suite


def _names(suite: ElementTree.Element, tag: str) -> list[str]:
    return [case.get("name", "") for case in suite.findall("testcase") if case.find(tag) is not None]


def test_broken_claim_is_a_failure_with_its_story() -> None:
    """A FAIL is a failure: summary as message, story and replay command as text."""
    suite = _suite(failing())
    failure = suite.find("testcase/failure")
    assert failure is not None and failure.text is not None
    assert "power-loss [strict]" in _names(suite, "failure")
    assert failure.get("message", "").startswith("An acknowledged save is gone")
    assert "replay    harness replay reports/metrics.json f-3c1a9e20" in failure.text


def test_held_claims_are_green() -> None:
    """A certificate without violations has neither failures nor errors; what was not exercised is skipped."""
    suite = _suite(passing())
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("0", "0", "1")
    assert suite.get("tests") == str(len(suite.findall("testcase")))


def test_undecided_claim_is_an_error() -> None:
    """UNKNOWN is no skip: CI must not show it as green."""
    suite = _suite(unknown())
    error = suite.find("testcase/error")
    assert error is not None
    assert suite.get("errors") == "1" and suite.get("skipped") == "0"
    assert "a C extension wrote data.mdb" in error.get("message", "")


def test_undecided_evidence_without_reason_says_so() -> None:
    """A missing reason is named as missing."""
    evidence = tuple(dataclasses.replace(item, reasons=()) for item in unknown().evidence)
    error = _suite(dataclasses.replace(unknown(), evidence=evidence)).find("testcase/error")
    assert error is not None and "no reason was recorded" in error.get("message", "")


def test_flaky_finding_without_evidence_is_an_error() -> None:
    """A finding that did not happen again decides nothing, but is not left out either."""
    suite = _suite(failing())
    assert [name for name in _names(suite, "error") if "f-77b0d144" in name]


def test_confirmed_finding_without_evidence_is_a_failure() -> None:
    """A finding that no evidence stands for is a failure of its own."""
    suite = _suite(dataclasses.replace(failing(), evidence=()))
    assert "power-loss [strict, max-loss] finding f-3c1a9e20" in _names(suite, "failure")


def test_claim_worse_than_its_evidence_is_shown() -> None:
    """A claim that is broken or undecided is never hidden behind green evidence, or behind none."""
    claims = (
        ClaimResult("process_crash", "acknowledged", Verdict.FAIL, (), ("two runs disagree",)),
        ClaimResult("rollback", "detected", Verdict.UNKNOWN, (), ()),
    )
    suite = _suite(dataclasses.replace(passing(), claims=claims))
    assert _names(suite, "failure") == ["claim (acknowledged)"]
    assert _names(suite, "error") == ["claim (detected)"]


def test_what_a_kill_breaks_is_told_where_a_power_cut_breaks_it_too() -> None:
    """The finding is of the claim `process_crash`; the case of the other claim that it breaks has it as well."""
    failed = failing()
    models = ("process-crash", "strict", "max-loss")
    killed = dataclasses.replace(
        failed.findings[0], claim="process_crash", scenario="process-crash", persistence_models=models
    )
    cases_ = cases(dataclasses.replace(failed, findings=(killed,)))
    told = {case.name: case.findings for case in cases_ if case.findings}
    assert told["power-loss [strict]"] == told["power-loss [max-loss]"] == (killed,)
    alone = dataclasses.replace(killed, persistence_models=("process-crash",))
    cases_ = cases(dataclasses.replace(failed, findings=(alone,)))
    assert [case.name for case in cases_ if case.findings] == ["process-crash [process-crash] finding f-3c1a9e20"]


def test_several_findings_of_one_case_are_one_failure() -> None:
    """Two findings of one scenario and model are told in one failure, with their number."""
    first = failing().findings[0]
    both = (first, dataclasses.replace(first, id="f-other", summary="another"))
    failure = _suite(dataclasses.replace(failing(), findings=both)).find("testcase/failure")
    assert failure is not None and failure.text is not None
    assert failure.get("message", "").startswith("2 findings, the first:")
    assert "another" in failure.text


def test_hostile_text_stays_text() -> None:
    """The document parses, has no foreign element, and shows what XML cannot hold by name."""
    document = render_junit([hostile(), failing()])
    root = ElementTree.fromstring(document.encode("utf-8"))
    assert {element.tag for element in root.iter()} <= {
        "testsuites",
        "testsuite",
        "properties",
        "property",
        "testcase",
        "failure",
        "error",
        "skipped",
        "system-out",
    }
    assert "[NUL]" in document and "[U+202E]" in document and "[U+D800]" in document
    assert "]]>" not in document


def test_totals_are_sums_over_the_suites() -> None:
    """The root counts what the suites count."""
    root = ElementTree.fromstring(render_junit([failing(), unknown()]).encode())
    for name in ("tests", "failures", "errors", "skipped"):
        assert root.get(name) == str(sum(int(suite.get(name, "")) for suite in root.findall("testsuite")))
