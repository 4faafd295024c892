"""Keys that are sums tell contents apart even where the same parts stand in other places."""

from __future__ import annotations

import random

from harness.core.persistence import PAGE_BYTES
from harness.crash.pending import page_keys, summand

PAIRS = 300


def test_swapped_contents_of_two_files_have_another_sum() -> None:
    """Two files that exchange their contents are another state, whatever the contents are."""
    source = random.Random(1)
    for number in range(PAIRS):
        first, second = source.getrandbits(61), source.getrandbits(61)
        as_is = summand(f"{first} table") + summand(f"{second} table.{number}")
        swapped = summand(f"{second} table") + summand(f"{first} table.{number}")
        assert as_is != swapped


def test_swapped_pages_of_a_file_have_another_sum() -> None:
    """Two pages that exchange their places are another content."""
    source = random.Random(2)
    for _ in range(PAIRS):
        first, second = source.randbytes(PAGE_BYTES), source.randbytes(PAGE_BYTES)
        assert sum(page_keys(first + second, 0)) != sum(page_keys(second + first, 0))


def test_equal_contents_have_equal_sums() -> None:
    """The order in which parts are added makes no difference."""
    pages = page_keys(b"a" * PAGE_BYTES + b"b" * PAGE_BYTES, 3)
    assert sum(pages) == sum(reversed(page_keys(b"a" * PAGE_BYTES + b"b" * PAGE_BYTES, 3)))
