"""The page, the console and the JUnit of a comparison, whatever text the certificates hold."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from harness.core.costs import Cost, Costs, LeftOut
from harness.core.decision import Condition, Decision
from harness.core.verdict import Verdict
from harness.judge.comparing import compare
from harness.report import comparison_text, render_comparison, render_comparison_junit, render_html
from harness.report.console import certificate_text
from harness.report.costs import table
from tests.golden.sample import HOSTILE, SAMPLES, failing, hostile, passing

COSTS = Costs(
    1,
    "w",
    "3.11.7",
    3,
    {"Put": 4, HOSTILE: 1},
    (
        *(Cost("Put", "sync calls", 8), Cost("Put", "bytes written", 10)),
        *(Cost(HOSTILE, HOSTILE, 3), Cost("all", "Blocks", 9)),
    ),
    (LeftOut(HOSTILE, HOSTILE),),
)
CHANGED = (Cost("Put", "sync calls", 9), Cost("Put", "bytes written", 9))
MORE = dataclasses.replace(COSTS, amounts=(*CHANGED, *COSTS.amounts[2:]))


class Page(HTMLParser):
    """Counts elements, and checks that those which have to be are closed in order."""

    VOID = ("meta", "br", "img", "input", "link", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_regression_is_told_everywhere() -> None:
    """Headline, sentences, findings and costs are on the page and on the console."""
    old = dataclasses.replace(passing(), costs=COSTS)
    comparison = compare(old, dataclasses.replace(failing(), store="metrics", costs=MORE))
    page, text = render_comparison(comparison), comparison_text(comparison)

    for told in (page, text):
        assert "sync calls of Put: 8 before, 9 now (+12.5 %)." in told and "power_loss was kept and is broken." in told
    assert text.startswith("\u2717 metrics: 7 regressions\n") and 'class="worse"' in page and 'class="better"' in page
    assert page.count('<span class="tag fail">new</span>') == 2


def test_an_outcome_in_words() -> None:
    same = compare(passing(), passing())
    assert comparison_text(same).startswith("\u2713 metrics: No regression\n  from 2026-03-14T09:26:53Z (")
    assert "None before, and none now." in render_comparison(same) and "None were compared." in render_comparison(same)


@pytest.mark.parametrize("sample", SAMPLES)
def test_pages_are_well_formed_and_run_nothing(sample: str) -> None:
    """Every sample as it is, and with hostile text on both sides."""
    old = dataclasses.replace(SAMPLES[sample](), costs=COSTS, findings=())
    new = dataclasses.replace(SAMPLES[sample](), costs=MORE, seed=7, notes=(HOSTILE,))
    text = render_comparison(compare(old, new))
    page = Page(text)

    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img", "iframe", "link", "object", "form"}
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert text.count("Content-Security-Policy") == 1 and "default-src &#39;none&#39;" in text
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(attributes["href"])[1:] for tag, attributes in page.elements if tag == "a"]
    assert set(links) <= set(ids)
    labelled = [attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes]
    assert set(labelled) <= set(ids)


def test_hostile_text_does_no_harm_on_console_and_in_junit() -> None:
    comparison = compare(hostile(), dataclasses.replace(hostile(), findings=(), claims=()))
    assert "\x1b" not in comparison_text(comparison) and "\0" not in comparison_text(comparison)
    root = ElementTree.fromstring(render_comparison_junit([comparison]))
    assert root.get("failures") == "1"


def test_junit_has_a_case_for_each_area() -> None:
    """A regression is a failure, what can't be decided an error, and the rest passes."""
    comparison = compare(passing(), dataclasses.replace(failing(), store="metrics", seed=3))
    suite = ElementTree.fromstring(render_comparison_junit([comparison])).find("testsuite")
    assert suite is not None
    failed = {case.get("name") for case in suite if case.find("failure") is not None}
    errors = {case.get("name") for case in suite if case.find("error") is not None}

    assert (failed, errors) == ({"claims", "findings", "evidence"}, {"run"})
    assert suite.get("tests") == "10" and suite.get("failures") == "3" and suite.get("errors") == "1"


# --- on the certificate -------------------------------------------------------------------------


def test_costs_are_told_per_operation() -> None:
    shown = table(COSTS)
    assert shown.columns == (("Put", 4), (HOSTILE, 1), ("all", 0))
    assert dict(shown.rows)["sync calls"] == ("2", "", "") and dict(shown.rows)["bytes written"] == ("2.50", "", "")
    assert shown.operations == 5


def test_a_certificate_shows_costs_and_decision() -> None:
    """The decision with what is missing, on page and console; hostile text in either does no harm."""
    conditions = (
        Condition("a", Verdict.PASS, "met."),
        Condition("b", Verdict.UNKNOWN, f"perhaps {HOSTILE}"),
        Condition("c", Verdict.FAIL, "refused."),
    )
    decision = Decision("not ready", HOSTILE, conditions)
    certificate = dataclasses.replace(passing(), costs=COSTS, decision=decision)
    text, page = certificate_text(certificate), render_html(certificate)

    assert "decision: not ready (policy: " in text and text.index("missing: refused.") < text.index("missing: perhaps")
    assert "missing: met." not in text and "\x1b" not in text
    assert Page(page) and "<script" not in page and 'id="costs"' in page
    assert re.search(r'<li class="reason fail">refused\.</li>\s*<li class="reason unknown">perhaps', page)

    ready = dataclasses.replace(passing(), decision=Decision("ready", "ours", conditions[:1]))
    assert "1 condition met." in render_html(ready) and 'id="costs"' not in render_html(ready)
