"""The page: what it must show, what it must never let through, and its structure."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import re
from html.parser import HTMLParser

import pytest

from harness.core.evidence import Certificate, certificate_from_json
from harness.core.verdict import Verdict
from harness.report import render_html
from tests.golden.sample import HOSTILE, SAMPLES, failing, hostile, long_timeline, passing, unknown

VOID = {"meta", "br", "img", "link", "input", "hr", "path", "circle", "rect"}
ALLOWED = frozenset(
    "html head meta title style body a div header p strong nav ol ul li span main section h1 h2 h3 h4 h5 "
    "table caption thead tbody tr th td code pre article dl dt dd b details summary svg g text tspan "
    "desc figure figcaption footer path circle rect".split()
)


class Page(HTMLParser):
    """What the checks need to know of a page."""

    def __init__(self, shown: Certificate | str) -> None:
        super().__init__()
        self.source = shown if isinstance(shown, str) else render_html(shown)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.tags if attribute in attrs]


def test_hostile_text_creates_no_element_and_no_attribute() -> None:
    """Markup in names, messages and paths is text: no foreign element, no handler, no inline style."""
    page = Page(hostile())
    assert {tag for tag, _ in page.tags} <= ALLOWED
    names = {name for _, attrs in page.tags for name in attrs}
    assert not [name for name in names if name.startswith("on") or name in ("style", "src", "srcset")]
    assert "<script>alert(1)</script>" in page.text


def test_hostile_text_is_visible() -> None:
    """Control characters, overrides and surrogates are shown by name, and none of them is on the page."""
    page = Page(hostile())
    body = page.source.split("</style>")[1]
    assert not [char for char in body if not char.isprintable() and char != "\n"]
    for name in ("[NUL]", "[ESC]", "[U+202E]", "[U+D800]", "[LF]", "[U+2028]"):
        assert name in page.text
    page.source.encode("utf-8")


@pytest.mark.parametrize("name", SAMPLES)
def test_elements_are_closed_in_order(name: str) -> None:
    """The page is well formed: every element is closed, in order."""
    assert Page(SAMPLES[name]()).open == []


@pytest.mark.parametrize("name", SAMPLES)
def test_policy_allows_the_style_sheet_and_nothing_else(name: str) -> None:
    """The policy's hash is that of the style sheet; everything else stays forbidden."""
    page = Page(SAMPLES[name]())
    style = re.findall(r"<style>(.*?)</style>", page.source, flags=re.DOTALL)
    assert len(style) == 1
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    policy = next(attrs["content"] for tag, attrs in page.tags if "http-equiv" in attrs)
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@pytest.mark.parametrize("name", SAMPLES)
def test_references_lead_somewhere(name: str) -> None:
    """Ids are unique; every link and every label names one of them; nothing is loaded from elsewhere."""
    page = Page(SAMPLES[name]())
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert set(page.values("href")) <= {f"#{id_}" for id_ in ids}
    assert {label for value in page.values("aria-labelledby") for label in value.split()} <= set(ids)


@pytest.mark.parametrize("name", SAMPLES)
def test_headings_are_in_order(name: str) -> None:
    """One first heading, and no level left out on the way down."""
    levels = [int(tag[1]) for tag, _ in Page(SAMPLES[name]()).tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize("name", SAMPLES)
def test_tables_and_pictures_are_labelled(name: str) -> None:
    """Every table has a caption, every header cell a scope, every picture a label."""
    tags = Page(SAMPLES[name]()).tags
    names = [tag for tag, _ in tags]
    assert names.count("table") == names.count("caption")
    assert all("scope" in attrs for tag, attrs in tags if tag == "th")
    pictures = [attrs for tag, attrs in tags if tag == "svg"]
    assert all("aria-labelledby" in p or p.get("aria-hidden") == "true" or "role" not in p for p in pictures)


def test_broken_promise_is_told_with_its_story() -> None:
    """A failing page shows verdict, program, sentences, loss, files, fault line, fix and replay command."""
    text = Page(failing()).text
    for expected in (
        "2 of 5 promises broken",
        "Broken: power_loss under max-loss and strict; io_error.",
        "Acknowledged data lost",
        "Save({'agents': {'ada': {'runs': 1}}, 'events': []})",
        "power lost here",
        "the new directory entry state.json",
        "The document of the second save",
        "src/dashboard/metrics.py",
        "line at fault",
        "Sync the directory after os.replace",
        "harness replay reports/metrics.json f-3c1a9e20",
        "flaky",
        "No single change helps",
        "\u2717 broken",
    ):
        assert expected in text


def test_passing_page_claims_no_more_than_was_tried() -> None:
    """A passing page says what was not found, under which models, by a harness of which quality."""
    text = Page(passing()).text
    assert (
        "No violation found under ext4, max-loss, process-crash and strict, within the bounds listed below, "
        "by a harness that catches 28 of 28 planted defects." in text
    )
    assert not re.search(r"\bsafe\b", text)


def test_undecided_page_says_why() -> None:
    """An undecided claim is named with its reason; absent zoo, models and environment are said to be so."""
    text = Page(unknown()).text
    assert "1 of 5 promises undecided" in text
    assert "a C extension wrote data.mdb" in text
    assert "No stamped zoo run of this version was found" in text
    assert "This certificate describes no persistence model." in text


def test_empty_certificate_is_undecided() -> None:
    """A certificate without claims or evidence has nothing to be proud of."""
    empty = dataclasses.replace(unknown(), claims=(), evidence=())
    text = Page(empty).text
    assert empty.verdict is Verdict.UNKNOWN
    assert "0 of 0 promises undecided" in text and "No evidence was recorded." in text


def test_statement_of_the_certificate_is_kept() -> None:
    """Where the certificate carries its sentence, the page shows that one."""
    page = Page(dataclasses.replace(passing(), statement="It held, within bounds."))
    assert "It held, within bounds." in page.text


def test_sentence_without_evidence_or_counts_of_alarms() -> None:
    """A broken claim without model is named alone; a zoo run without sound stores says nothing of alarms."""
    bare = dataclasses.replace(
        failing(), evidence=(), findings=(failing().findings[1],), zoo={"caught": 1, "planted": 2}
    )
    text = Page(bare).text
    assert "Broken: power_loss; io_error." in text
    assert "This harness catches 1 of 2 planted defects (version not stamped)." in text
    text = Page(dataclasses.replace(passing(), zoo={})).text
    assert "by a harness without a stamped zoo run of this version." in text


def test_false_alarms_are_not_hidden() -> None:
    """A harness that cries wolf says so on its own certificates."""
    page = Page(
        dataclasses.replace(passing(), zoo={"caught": 1, "planted": 2, "sound": 12, "false_alarms": 3})
    )
    assert "raises 3 false alarms on 12 sound stores" in page.text


def test_finding_without_story_call_site_or_models() -> None:
    """The least that a finding can be is still shown."""
    bare = dataclasses.replace(
        failing().findings[0], story=None, call_site=None, persistence_models=(), operations=()
    )
    text = Page(dataclasses.replace(failing(), findings=(bare,))).text
    assert "no single line" in text and "It happens without any operation." in text


def test_story_without_timeline_files_source_and_fix() -> None:
    """A story of sentences only is shown without empty pictures and tables."""
    story = failing().findings[0].story
    assert story is not None
    spare = dataclasses.replace(
        story,
        timeline=(),
        lost=(),
        files_written=(),
        files_after_crash=(),
        files_recovered=(),
        source=None,
        fix=None,
    )
    finding = dataclasses.replace(failing().findings[0], story=spare)
    page = Page(dataclasses.replace(failing(), findings=(finding,)))
    assert "In five sentences" in page.text
    assert "What happened" not in page.text and "Cheapest fix" not in page.text


def test_models_may_be_tables_lists_or_sentences() -> None:
    """Whatever form the certificate gives its models, they are shown."""
    text = Page(dataclasses.replace(passing(), models={"a": ["assumes x"], "b": "b in a sentence"})).text
    assert "assumes x" in text and "b in a sentence" in text and "It lists no assumptions." in text


def test_long_timeline_is_folded_and_whole_in_the_table() -> None:
    """Hundreds of durable calls become one line of the picture; the table still has each of them."""
    page = Page(long_timeline(300, 200))
    assert "300 earlier calls, all durable" in page.text
    assert "All 523 lines as a table" in page.text
    assert page.source.count("write(log, 128 bytes at 12800)") == 1


def test_very_long_text_is_cut_with_its_length() -> None:
    """A summary of a megabyte does not make a page of a megabyte."""
    finding = dataclasses.replace(failing().findings[0], summary="x" * 1_000_000)
    page = Page(dataclasses.replace(failing(), findings=(finding,)))
    assert len(page.source) < 200_000
    assert "994000 more characters" in page.text


def test_page_after_a_trip_through_json_is_the_same() -> None:
    """Reports read nothing that the certificate's JSON does not hold."""
    for make in SAMPLES.values():
        again = certificate_from_json(make().to_json(), "sample")
        assert render_html(again) == render_html(make())


def test_digest_on_the_page_is_that_of_the_certificate() -> None:
    """The page shows the digest that a reader can recompute from the JSON."""
    assert failing().digest() in Page(failing()).text
    assert HOSTILE not in Page(hostile()).source
