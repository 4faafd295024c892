"""The page of a history: what it shows, whatever text and however many operations the history has."""

from __future__ import annotations

import re

import pytest

from harness.core.history import Called, Disturbance, History, Outcome, history_of
from harness.core.models import KEY_VALUE
from harness.core.operations import Get, Put
from harness.history.checking import check
from harness.history.values import Budget
from harness.report.console import plain
from harness.report.histories import history_lines, render_history
from tests.golden.sample import HOSTILE
from tests.golden.test_comparison import Page

OK = Outcome.OK


def lost() -> History:
    """An update that is gone, one that was refused, one without an answer, and a fault."""
    return history_of(
        [
            Called(0, 1, Put("k", "a"), 0, 1_000, OK),
            Called(1, 2, Put("k", "b"), 2_000, 3_000, OK),
            Called(2, 3, Get("k"), 4_000, 5_000, OK, "a"),
            Called(3, 1, Put("k", "c"), 3_500, 4_100, Outcome.FAIL, error="TimeoutError"),
            Called(4, 4, Put("k", "d"), 1_500),
        ],
        disturbances=(Disturbance("disk full", 2_200, 3_900),),
    )


def long(operations: int = 600, clients: int = 40) -> History:
    """More operations than a page shows, and more clients than it has lanes for."""
    return history_of(Called(n, n % clients, Put("k", f"v{n}"), 10 * n, 10 * n + 5, OK) for n in range(operations))


def hostile() -> History:
    called = Called(0, 1, Put(HOSTILE, HOSTILE), 0, 1, OK)
    read = Called(1, 2, Get(HOSTILE), 2, 3, OK, f"{HOSTILE}!")
    refused = Called(2, 3, Get("x"), 2, 3, Outcome.FAIL, error=HOSTILE)
    return history_of([called, read, refused], disturbances=(Disturbance(HOSTILE, 0, 3),))


def page_of(history: History) -> str:
    return render_history(history, check(history, KEY_VALUE), "runs/h.jsonl", "KEY_VALUE")


SAMPLES = {"lost": lost, "long": long, "hostile": hostile, "empty": lambda: History(())}


@pytest.mark.parametrize("name", SAMPLES)
def test_pages_are_well_formed_and_run_nothing(name: str) -> None:
    text = page_of(SAMPLES[name]())
    page = Page(re.sub(r"<(rect|circle|line|path|stop)\b([^>]*)/>", r"<\1\2></\1>", text))
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img", "iframe", "link", "object", "form"}
    assert not any(key.startswith("on") or key == "style" for _, attributes in page.elements for key in attributes)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    links = {str(attributes["href"])[1:] for tag, attributes in page.elements if tag == "a"}
    assert len(ids) == len(set(ids)) and links <= set(ids)
    labels = " ".join(str(attributes.get("aria-labelledby", "")) for _, attributes in page.elements).split()
    assert set(labels) <= set(ids)


def test_a_contradiction_is_drawn_listed_and_numbered() -> None:
    """Its operations have the same numbers in the list, at their bars and in the table."""
    text = page_of(lost())
    assert "An update was lost" in text
    assert "<li>Get(&#39;k&#39;) by client 3, from 4 µs to 5 µs returned &#39;a&#39;</li>" in text
    for number in (1, 2, 3):
        assert len(re.findall(rf'<text class="mark"[^>]*>{number}</text>', text)) == 1
        assert text.count(f'<th scope="row">{number}. <code>') == 1
    assert text.count('class="bar ok against"') == 4  # three of them, and the key
    assert "disk full: 2.2 µs to 3.9 µs" in text and '<td class="num">none fits</td>' in text
    assert '<td>refused</td><td><code>TimeoutError</code></td>' in text and "<td>never</td><td>no answer</td>" in text


def test_a_bar_without_an_answer_goes_to_the_right_edge() -> None:
    text = page_of(lost())
    places = re.findall(r'class="bar info" x="([\d.]+)%"[^>]* width="([\d.]+)%"', text)
    assert [round(float(x) + float(width), 3) for x, width in places] == [100.0]


def test_an_order_is_drawn_as_dots() -> None:
    text = page_of(long(20, 4))
    assert text.count('<circle class="point"') == 20 and "takes effect in the order that was found" in text
    assert "Not shown" not in text


def test_what_is_too_much_is_left_out_and_said() -> None:
    """Around a contradiction what is near, and its operations always."""
    left_out = "400 more operations before and after these and 8 more clients in the table alone"
    assert f"Not shown: {left_out}." in page_of(long())
    old = Called(600, 50, Get("k"), 9_000, 9_001, OK, "v3")
    text = page_of(history_of([*long(), old]))
    assert '1. <code>Put(&#39;k&#39;, &#39;v3&#39;)</code>' in text and "Not shown: 401 more operations" in text


def test_the_console_says_the_same() -> None:
    """Hostile text does no harm there either."""
    known = ((lost(), "an update was lost"), (hostile(), "not linearizable"), (long(9, 3), "linearizable"))
    for history, words in known:
        told = plain(history_lines(history, check(history, KEY_VALUE), "h", "KEY_VALUE"))
        assert f"h: {words}\n" in told and "\x1b" not in told and "\0" not in told


def test_an_undecided_history_says_what_ran_out() -> None:
    rows = [Called(n, n, Put("k", f"v{n % 3}"), 0, 99, OK) for n in range(6)]
    rows += [Called(n, n, Get("k"), n, n + 1, OK, f"v{n % 2}") for n in range(10, 20, 3)]
    history = history_of(rows)
    text = render_history(history, check(history, KEY_VALUE, Budget(steps=1)), "h", "KEY_VALUE")
    assert "Undecided" in text and "did not end within 1 step" in text and "To decide it: let fewer clients" in text
