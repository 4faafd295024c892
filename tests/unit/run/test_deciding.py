"""A decision says what it does not rest on: what the profile left out, and what was not exhausted."""

from __future__ import annotations

import dataclasses

from harness.core.evidence import Certificate, certificate_from_json
from harness.core.limits import LIMITS_CLAIM
from harness.core.verdict import Verdict
from harness.report.console import certificate_text
from harness.report.html import render_html
from harness.run.deciding import decided, not_tried
from harness.run.options import not_part_of
from tests.golden.sample import evidence, failing, passing


def quick(*left_out: str) -> Certificate:
    """What quick says of a store in which it found nothing: two searches that came to no end, and a measurement."""
    short = {"bounds": {"largest_workload_operations": 3}}
    cut = {"exhausted": False, "bounds": {"largest_workload_operations": 8}}
    rows = (
        evidence("power-loss", "power_loss", "max-loss", Verdict.PASS, **short),
        evidence("power-loss", "power_loss", "strict", Verdict.PASS, **cut),
        evidence("power-loss", "power_loss", "ext4", Verdict.PASS, **cut),
        evidence("nemesis", "process_crash", "", Verdict.PASS, **cut),
        evidence("limits", LIMITS_CLAIM, "", Verdict.PASS, exhausted=False, bounds={"operations": 400}),
    )
    reasons = [f"{name}: {not_part_of('quick')}" for name in left_out]
    not_exercised = (*reasons, "full-disk: it takes a private file system (no)")
    return dataclasses.replace(passing(), profile="quick", evidence=rows, not_exercised=not_exercised)


def test_ready_names_what_it_does_not_rest_on() -> None:
    """On the console and on the page, and in the JSON; what the machine lacks is told elsewhere."""
    sentences = (
        "left out by the profile quick: power-loss-large, writers-clocks",
        "not exhausted by the profile quick: power-loss (strict, ext4), nemesis",
        "no workload had more than 8 operations",
    )
    certificate = decided(quick("power-loss-large", "writers-clocks"), None)

    assert certificate.decision is not None and certificate.decision.decision == "ready"
    assert certificate.decision.not_tried == sentences
    text, page = certificate_text(certificate), render_html(certificate)
    assert "decision: ready (policy: every promise is kept)\n      but: left out by the profile quick: " in text
    assert all(f"      but: {sentence}\n" in text and f"<li>{sentence}</li>" in page for sentence in sentences)
    assert certificate_from_json(certificate.to_json(), "it").decision == certificate.decision


def test_where_all_was_tried_there_is_nothing_to_add() -> None:
    """But for the length of the workloads, which always ends somewhere."""
    certificate = quick()
    whole = dataclasses.replace(certificate, evidence=certificate.evidence[:1])

    assert list(not_tried(whole)) == ["no workload had more than 3 operations"]
    assert list(not_tried(dataclasses.replace(whole, evidence=()))) == []


def test_what_is_not_ready_has_other_things_to_say_first() -> None:
    """The console tells what is missing; what was not tried is in the certificate all the same."""
    certificate = decided(failing(), None)

    assert certificate.decision is not None and certificate.decision.not_tried
    assert "      but: " not in certificate_text(certificate)
