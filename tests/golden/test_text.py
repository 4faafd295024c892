"""Text of strangers made visible."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.report.text import (
    content_lines,
    count,
    duration,
    listed,
    pieces,
    shorten,
    visible,
    wrap,
)

ANY_TEXT = st.text(st.characters())


@given(ANY_TEXT)
def test_visible_text_is_printable(text: str) -> None:
    """Whatever comes in, only printable characters come out."""
    assert visible(text).isprintable()


@given(st.text(st.characters(exclude_categories=("C", "Z"))))
def test_printable_text_stays_as_it_is(text: str) -> None:
    """Letters, marks and signs of any script are not touched."""
    assert visible(text) == text


def test_invisible_characters_have_names() -> None:
    """Control characters are named, others shown by code point."""
    assert visible("\0\x1b\x7f\u202e\ud800\u00a0") == "[NUL][ESC][DEL][U+202E][U+D800][U+00A0]"


@given(ANY_TEXT, st.integers(1, 40), st.integers(1, 4))
def test_wrapped_lines_keep_their_limits(text: str, columns: int, lines_max: int) -> None:
    """No line is longer, and there are no more of them, than allowed."""
    lines = wrap(text, columns, lines_max)
    assert len(lines) <= lines_max
    assert all(len(line) <= columns for line in lines)


def test_wrapping_prefers_breaks_that_read_well() -> None:
    """Lines break after separators; an ellipsis says that something is missing."""
    assert wrap("write(segment-000001.log, 128 bytes)", 26, 3) == ("write(segment-000001.log,", "128 bytes)")
    assert wrap("a" * 30, 10, 2) == ("a" * 10, "a" * 9 + "\u2026")


def test_long_runs_are_counted() -> None:
    """A page of zeros is shown as one NUL with its count; letters are never counted."""
    assert [piece.text for piece in pieces("ab" + "\0" * 300 + "c" * 20)] == [
        "ab",
        "[NUL]\u00d7300",
        "c" * 20,
    ]
    assert content_lines("a\n\0\0b", 10) == ("a", "[NUL][NUL]b")


def test_words_for_numbers() -> None:
    """Counts, lists and durations read as a person would write them."""
    assert (count(1, "call"), count(2_000, "call"), count(2, "entry", "entries")) == (
        "1 call",
        "2,000 calls",
        "2 entries",
    )
    assert (listed([]), listed(["a"]), listed(["a", "b", "c"])) == ("none", "a", "a, b and c")
    assert (duration(0.34), duration(4.2), duration(723)) == ("340 ms", "4.2 s", "12 min 3 s")
    assert shorten("abcdef", 2) == "ab\u2026 (4 more characters)"
