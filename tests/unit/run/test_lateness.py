"""What a certificate says where its time was up, and that every report says it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from harness.core.evidence import Evidence
from harness.core.verdict import Verdict
from harness.report.console import certificate_text
from harness.report.html import render_html
from harness.report.junit import render_junit
from harness.run import lateness
from harness.run.options import PROFILES
from tests.golden.sample import evidence, passing

QUICK = PROFILES["quick"]
LATE = lateness.of_the_run(QUICK, "any of these faults was tried")


def row(scenario: str, *reasons: str, **counts: Any) -> Evidence:
    return evidence(scenario, "io_error", "", Verdict.PASS, reasons=reasons, **counts)


def test_every_scenario_that_time_cut_short_is_named() -> None:
    """Those of which nothing was tried apart from those of which something was; and what to do."""
    rows = [
        row("kills", LATE, states_judged=0),
        row("whole"),
        row("power-loss", "another reason"),
        row("power-loss", LATE, states_judged=0),
    ]

    assert lateness.summary(QUICK, rows) == (
        "out of time: the limit of the profile quick is 120 s. Not tried: kills; not fully tried: power-loss. "
        "Try them alone with --scenario, or with --profile standard, which has 900 s."
    )


def test_in_time_there_is_nothing_to_say() -> None:
    """Whatever else is undecided."""
    assert lateness.summary(QUICK, [row("kills", "no fault fired", states_judged=0)]) == ""


def test_the_longest_profile_names_no_longer_one() -> None:
    """There is none."""
    assert "--profile" not in lateness.summary(PROFILES["exhaustive"], [row("kills", LATE)])


@pytest.mark.parametrize("render", [certificate_text, render_html, lambda it: render_junit([it])])
def test_every_report_says_it(render: Any) -> None:
    """Console, page and JUnit alike; of a row that passed as far as it was tried too."""
    summary = lateness.summary(QUICK, [row("kills", LATE)])
    late = dataclasses.replace(passing(), notes=(summary,), evidence=(row("kills", LATE),))

    assert "the limit of the profile quick is 120 s. Not fully tried: kills." in render(late)


def test_junit_keeps_the_reasons_of_what_passed() -> None:
    """They are part of the output of the case."""
    assert LATE in render_junit([dataclasses.replace(passing(), evidence=(row("kills", LATE),))])
