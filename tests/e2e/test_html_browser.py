"""The page in a real browser: no errors, no overflow, reachable by keyboard, and inert.

Needs Chromium and the `playwright` package. On CI a missing browser fails; elsewhere the tests say
that they were not run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.report import render_html
from harness.report.pace import render_pace
from tests.golden.sample import SAMPLES, long_timeline
from tests.golden.test_histories import SAMPLES as HISTORIES
from tests.golden.test_histories import page_of
from tests.golden.test_pace import SAMPLES as PACES

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WIDTHS = (375, 768, 1440)
CONTRAST_AA = 4.5

# WCAG 2.2, "contrast ratio": the smallest one of any text against the nearest opaque background.
LOWEST_CONTRAST = """() => {
  const channel = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const parse = s => s.match(/[\\d.]+/g).map(Number);
  const back = e => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  let worst = [99, ''];
  for (const e of document.querySelectorAll('body *')) {
    const text = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!text || !e.getClientRects().length) continue;
    const svg = e instanceof SVGElement;
    const style = getComputedStyle(e);
    const a = light(parse(svg ? style.fill : style.color));
    const b = light(back(svg ? e.closest('div, figure') : e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, e.tagName + ': ' + e.textContent.trim().slice(0, 60)];
  }
  return worst;
}"""


def _unavailable(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; on CI the page must be looked at")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        _unavailable("no Chromium found")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _unavailable("the playwright package is not installed")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A fresh page that fails the test on any console error, uncaught exception, dialog or request."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    fresh = context.new_page()
    complaints: list[str] = []
    fresh.on("console", lambda message: complaints.append(message.text))
    fresh.on("pageerror", lambda error: complaints.append(str(error)))
    fresh.on("dialog", lambda dialog: complaints.append(dialog.message))
    fresh.on("request", lambda request: _note_request(complaints, request.url))
    yield fresh
    context.close()
    assert complaints == []


def _note_request(complaints: list[str], url: str) -> None:
    if not url.startswith("file:"):
        complaints.append(f"request for {url}")


def _visit(page: Any, directory: Path, name: str) -> None:
    file = directory / "page.html"
    if name in PACES:
        text = render_pace(PACES[name])
    elif name.startswith("history-"):
        text = page_of(HISTORIES[name.removeprefix("history-")]())
    else:
        text = render_html(long_timeline(300, 120) if name == "long" else SAMPLES[name]())
    file.write_text(text, encoding="utf-8")
    page.goto(file.as_uri())


@pytest.mark.parametrize("name", [*SAMPLES, "long", *PACES, "history-lost", "history-long", "history-hostile"])
def test_nothing_overflows(page: Any, tmp_path: Path, name: str) -> None:
    """At no width, with every detail open, does the page scroll sideways."""
    _visit(page, tmp_path, name)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_finding_link_leads_to_the_finding(page: Any, tmp_path: Path) -> None:
    """A click in the list of findings brings the finding into view."""
    from playwright.sync_api import expect

    page.emulate_media(reduced_motion="reduce")
    _visit(page, tmp_path, "failing")
    page.locator(".index a").nth(1).click()
    assert page.url.endswith("#finding-2")
    expect(page.locator("#finding-2 h3")).to_be_in_viewport()
    assert page.locator("#finding-2 h3").inner_text().startswith("A save is acknowledged")


def test_details_open(page: Any, tmp_path: Path) -> None:
    """The table of the timeline is closed at first, and opens by a click on its summary."""
    _visit(page, tmp_path, "failing")
    table = page.locator("#finding-1 .calls table")
    assert not table.is_visible()
    page.locator("#finding-1 .calls summary").click()
    assert table.is_visible()
    assert table.locator("tbody tr").count() == 23


def test_keyboard_reaches_everything(page: Any, tmp_path: Path) -> None:
    """Tab visits the skip link first and then every link, summary and scrolling region, visibly."""
    _visit(page, tmp_path, "failing")
    wanted = page.locator("a[href], summary, .scroll").evaluate_all(
        "all => all.filter(e => e.checkVisibility()).length"
    )
    visited = set()
    for step in range(wanted + 3):
        page.keyboard.press("Tab")
        reached = page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)")
        if step == 0:
            assert page.evaluate("document.activeElement.className") == "skip"
        if page.evaluate("document.activeElement.matches('a[href], summary, .scroll')"):
            visited.add(reached)
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert len(visited) == wanted


def test_keyboard_opens_details(page: Any, tmp_path: Path) -> None:
    """Enter on a summary opens it."""
    _visit(page, tmp_path, "failing")
    page.locator("#finding-1 .calls summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("#finding-1 .calls table").is_visible()


def test_hostile_markup_created_no_element(page: Any, tmp_path: Path) -> None:
    """The browser agrees that markup of the store is text: no script, image or handler exists."""
    _visit(page, tmp_path, "hostile")
    assert page.locator("script, img, iframe, object, embed, form, input, link, base").count() == 0
    assert page.evaluate(
        "[...document.querySelectorAll('*')].every(e => [...e.attributes].every("
        "a => !a.name.startsWith('on') && a.name !== 'style'))"
    )
    assert "<script>alert(1)</script>" in page.locator("h1").inner_text()


def test_policy_blocks_scripts(browser: Any, tmp_path: Path) -> None:
    """Even if a script got onto the page, it would not run."""
    file = tmp_path / "injected.html"
    injected = render_html(SAMPLES["passing"]()).replace(
        "</main>", "<script>document.title = 'ran'</script></main>"
    )
    file.write_text(injected, encoding="utf-8")
    context = browser.new_context()
    page = context.new_page()
    with page.expect_console_message() as complaint:
        page.goto(file.as_uri())
    title = page.title()
    context.close()
    assert "Content Security Policy" in complaint.value.text
    assert title != "ran"


@pytest.mark.parametrize("name", ["failing", "slower", "history-lost"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_sufficient(page: Any, tmp_path: Path, scheme: str, name: str) -> None:
    """Every text has the contrast of WCAG level AA, in light and in dark."""
    page.emulate_media(color_scheme=scheme)
    _visit(page, tmp_path, name)
    ratio, where = page.evaluate(LOWEST_CONTRAST)
    assert ratio >= CONTRAST_AA, where


def test_pictures_have_names(page: Any, tmp_path: Path) -> None:
    """A screen reader gets a name for each picture that is shown, and one main landmark."""
    _visit(page, tmp_path, "failing")
    assert page.get_by_role("img", name="Timeline of finding 1").count() == 1
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("navigation", name="Contents").count() == 1
    assert page.get_by_role("table", name="What was promised, and what became of it").count() == 1


def test_print_shows_what_matters(page: Any, tmp_path: Path) -> None:
    """On paper the navigation is gone and the stories are there."""
    page.emulate_media(media="print")
    _visit(page, tmp_path, "failing")
    assert not page.locator("nav").is_visible()
    assert page.locator("#finding-1 .program").is_visible()


@pytest.mark.parametrize("width", [375, 400, 1280])
def test_evidence_is_read_without_scrolling_sideways(page: Any, tmp_path: Path, width: int) -> None:
    """On a narrow page each piece of evidence stands below the one before, and every number has its name beside it."""
    _visit(page, tmp_path, "failing")
    page.set_viewport_size({"width": width, "height": 900})
    cells = "[...document.querySelectorAll('.evidence tbody th, .evidence tbody td')]"
    ends = page.evaluate(f"Math.max(...{cells}.map(cell => cell.getBoundingClientRect().right))")
    named = page.evaluate(f"{cells}.filter(cell => getComputedStyle(cell, '::before').content.length > 6).length")
    rows = page.evaluate("document.querySelectorAll('.evidence tbody tr').length")

    assert ends <= width
    assert named == (10 * rows if width < 760 else 0)
