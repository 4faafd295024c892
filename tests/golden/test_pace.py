"""The report of two versions: what it says, what it draws, and that nothing in it can do harm."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import math
import re

import pytest

from harness.core.verdict import Verdict
from harness.measure.comparison import Comparison, Metric
from harness.measure.pairs import Interval
from harness.measure.stages import Decision
from harness.report.pace import interval_words, pace_text, picture, print_pace, render_pace, signed, time_words
from tests.golden.test_html import ALLOWED, Page
from tests.unit.measure.comparisons import compared, job, steady

SLOWER = compared(job(3, {"Put": 0.07, "Delete": 0.0}, steady(0.17)))
EQUAL = compared(job(1, {"Put": 0.0}, steady(0.05)), notes=("Both versions have the same source.",))
OPEN = compared(job(3, {"Put": 0.03}, steady(1.0)))
UNFIT = compared(job(1, {"Put": 0.0}, steady(0.1), unlike=0.3))
SAMPLES = {"slower": SLOWER, "equal": EQUAL, "open": OPEN, "unfit": UNFIT}


def hostile() -> Comparison:
    """Names as a store or a command line could have them."""
    evil = '<script>alert(1)</script>"\x00\u202e'
    metric = dataclasses.replace(SLOWER.metrics[0], name=evil)
    side = dataclasses.replace(SLOWER.old, given=evil)
    return dataclasses.replace(SLOWER, store=evil, adapter=evil, old=side, metrics=(metric,), not_tested=(evil,))


@pytest.mark.parametrize(
    ("comparison", "verdict", "words"),
    [
        (SLOWER, Verdict.FAIL, ("slower than before", "Put is slower by more than 1 %")),
        (EQUAL, Verdict.PASS, ("no regression", "1 kind of operation tested over 40 pairs", "the same source")),
        (OPEN, Verdict.UNKNOWN, ("undecided", "over 400 pairs", "It takes a quieter machine")),
        (
            UNFIT,
            Verdict.UNKNOWN,
            ("the machine is unfit", "differs from itself in Put", "new against old     not measured"),
        ),
    ],
    ids=SAMPLES,
)
def test_the_decision_is_told(comparison: Comparison, verdict: Verdict, words: tuple[str, ...]) -> None:
    """In the text, on the page, and in the JSON form, with how many were tested and what was not."""
    text, page = pace_text(comparison), " ".join(Page(render_pace(comparison)).text.split())

    assert comparison.verdict is verdict
    for expected in words:
        assert expected in text
    assert words[0] in page.lower() and words[1] in page
    assert "not tested, because not every sample has one: Compact" in text
    document = comparison.to_json()
    assert document["verdict"] == verdict.value
    assert document["tested"] == len(comparison.metrics)


def test_several_slower_kinds_are_named() -> None:
    """Both of them."""
    both = compared(job(1, {"Put": 0.5, "Delete": 0.5}, steady(0.1)))

    assert "2 kinds of operation tested over 40 pairs: Put and Delete are slower by more than 1 %." in pace_text(both)


def test_metrics_that_were_left_open_say_why() -> None:
    """A regression elsewhere ended the job, or one version did other work."""
    noisy = job(3, {"Put": 0.03}, steady(1.0)).steps["Put"][:1]
    metrics = (*SLOWER.metrics, Metric("Get", noisy, (1.0,), (1.0,)), Metric("Load", noisy, (), (), "other work"))
    text = pace_text(dataclasses.replace(SLOWER, metrics=metrics))

    assert "? Get: not decided when the job ended" in text
    assert "? Load: other work" in text


def test_work_that_differs_is_no_pass() -> None:
    """Whatever its times are."""
    spoilt = dataclasses.replace(EQUAL, metrics=(dataclasses.replace(EQUAL.metrics[0], reason="other work"),))

    assert (EQUAL.verdict, spoilt.verdict) == (Verdict.PASS, Verdict.UNKNOWN)
    assert spoilt.decision is Decision.OPEN


@pytest.mark.parametrize("name", SAMPLES)
def test_the_json_form_has_everything(name: str) -> None:
    """It is JSON without NaN or infinity, has every ratio, and every stage with both intervals."""
    document = json.loads(json.dumps(SAMPLES[name].to_json(), allow_nan=False))

    assert document["format_version"] == 1
    assert document["margins_percent"] == {"regression_above": 1.0, "accepted_below": 5.0}
    for metric, known in zip(document["metrics"], SAMPLES[name].metrics, strict=True):
        pairs = sum(map(len, metric["log_ratios"]))
        assert pairs == len(metric["old_ns"]) == len(metric["new_ns"])
        assert [step["decision"] for step in metric["course"]] == [step.decision.value for step in known.steps]
        assert sum(map(len, metric["log_ratios_of_old_against_itself"])) == known.steps[-1].stage.pairs


def test_bounds_that_there_are_none_of_are_null() -> None:
    """Too few pairs for a bound: JSON has no infinity, the text has."""
    few = job(1, {"Put": 0.0}, steady(0.1)).steps["Put"][0]
    few = dataclasses.replace(few, same=((0.1, 0.2),), versions=((0.1, 0.2),))
    document = dataclasses.replace(EQUAL, metrics=(Metric("Put", (few,), (1.0, 2.0), (1.0, 2.0)),))

    assert document.to_json()["metrics"][0]["course"][0]["new_against_old"]["lower_percent"] is None
    assert "(−∞ to +∞)" in pace_text(document)
    assert picture(document.metrics[0], document).bars[1].open_left
    assert "−∞ to +∞" in Page(render_pace(document)).text


# --- the page ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_the_page_is_well_formed_and_inert(name: str) -> None:
    """Everything is closed, ids are unique, references lead somewhere, and the policy allows its style sheet alone."""
    page = Page(render_pace(SAMPLES[name]))

    assert page.open == []
    assert {tag for tag, _ in page.tags} <= ALLOWED
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert set(page.values("href")) <= {f"#{id_}" for id_ in ids}
    assert {label for value in page.values("aria-labelledby") for label in value.split()} <= set(ids)
    style = re.findall(r"<style>(.*?)</style>", page.source, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    policy = next(attrs["content"] for tag, attrs in page.tags if "http-equiv" in attrs)
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_hostile_names_are_text() -> None:
    """No element, no attribute, and what can't be seen is named."""
    page = Page(render_pace(hostile()))
    names = {name for _, attrs in page.tags for name in attrs}

    assert {tag for tag, _ in page.tags} <= ALLOWED
    assert not [name for name in names if name.startswith("on") or name in ("style", "src")]
    assert "<script>alert(1)</script>" in page.text and "[NUL]" in page.text
    assert all(char.isprintable() or char == "\n" for char in pace_text(hostile()))


def test_both_distributions_and_every_interval_are_drawn() -> None:
    """One curve for each version, which rise from left to right; one bar for each interval, where it belongs."""
    metric = SLOWER.metrics[0]
    drawn = picture(metric, SLOWER)

    assert [curve.label.split(":")[0] for curve in drawn.curves] == ["old", "new"]
    for curve in drawn.curves:
        heights = [float(height) for height in re.findall(r"V([\d.]+)", curve.path)]
        assert heights == sorted(heights, reverse=True) and heights[-1] <= 2.0
    assert drawn.curves[1].median > drawn.curves[0].median
    assert len(drawn.bars) == 2 * len(metric.steps)
    assert 50 == drawn.zero < drawn.negligible < drawn.accepted < 100
    last = drawn.bars[-1]
    assert last.left > drawn.negligible and last.left < last.middle < last.right
    assert 2 <= len(drawn.times) <= 6 and len({tick.label for tick in drawn.times}) == len(drawn.times)
    assert "0" in [tick.label for tick in drawn.percents]


def test_an_unfit_machine_has_no_distributions_to_draw() -> None:
    """The new version was never measured."""
    assert picture(UNFIT.metrics[0], UNFIT).curves == ()
    assert "How long one" not in Page(render_pace(UNFIT)).text


@pytest.mark.parametrize("low", [1.0, 37.0, 5.2e3, 9.99e6])
@pytest.mark.parametrize("factor", [1.001, 1.3, 4.0, 50.0, 1e5])
def test_axes_have_a_few_round_times(low: float, factor: float) -> None:
    """Whatever the range, and never two labels that read alike."""
    step = SLOWER.metrics[0].steps
    ticks = picture(Metric("Put", step, (low,) * 3 + (low * factor,) * 3, (low,) * 3), SLOWER).times

    assert 1 <= len(ticks) <= 6
    assert all(0 <= tick.x <= 100 for tick in ticks)
    assert len({tick.label for tick in ticks}) == len(ticks)


@pytest.mark.parametrize(
    ("nanoseconds", "words"),
    [(12, "12 ns"), (12_345, "12.3 µs"), (3.1e6, "3.1 ms"), (1.25e9, "1.25 s"), (999, "999 ns")],
)
def test_times_are_read_with_their_unit(nanoseconds: float, words: str) -> None:
    """Three digits are enough."""
    assert time_words(nanoseconds) == words


def test_percentages_are_signed() -> None:
    """A log ratio of a tenth is more than 10 %; nothing is +0.0 %, never -0.0 %."""
    assert [signed(value) for value in (0.1, -0.1, -1e-9, math.inf, -math.inf)] == [
        "+10.5 %",
        "−9.5 %",
        "+0.0 %",
        "+∞",
        "−∞",
    ]
    assert interval_words(None) == "not measured"
    assert interval_words(Interval(0.0, -0.01, 0.01, 0.1, 0.1, 9, 3, 1.0)) == "+0.0 % (−1.0 % to +1.0 %)"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_only_terminals_get_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not those that asked for none."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain, terminal, quiet = io.StringIO(), Terminal(), Terminal()
    print_pace(SLOWER, plain)
    print_pace(SLOWER, terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    print_pace(SLOWER, quiet)

    assert plain.getvalue() == quiet.getvalue() == pace_text(SLOWER)
    assert terminal.getvalue().startswith("\x1b[31m✗ mystore")
