"""What grows for ever, and what settles."""

from __future__ import annotations

import pytest

from harness.judge.growth import creeps, grows, settled


@pytest.mark.parametrize(
    ("samples", "least", "expected"),
    [
        (list(range(0, 256, 8)), 8, True),
        (list(range(0, 256, 8)), 9, False),
        ([min(number, 12) for number in range(32)], 1, False),  # a cache that was filled
        ([number % 4 for number in range(32)], 1, False),  # comes and goes
        ([0] * 31 + [500], 1, False),  # once
        ([number // 3 for number in range(33)], 1, False),  # slower than asked for
        ([5], 1, False),
        ([], 1, False),
    ],
)
def test_growth(samples: list[int], least: int, expected: bool) -> None:
    assert grows(samples, least=least) is expected


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([8 * number // 40 for number in range(125)], True),  # one in 40 of a thousand cycles, counted after every 8
        ([min(8 * number, 512) for number in range(125)], False),  # a cache of 512 that was filled
        ([number % 4 for number in range(125)], False),  # comes and goes
        ([8 * number % 400 for number in range(125)], False),  # is cleaned up now and then
        ([0] * 100 + [1] * 25, False),  # once
        ([7] * 125, False),
        ([number // 3 for number in range(79)], False),  # too few to tell
        ([], False),
    ],
)
def test_what_comes_seldom_but_goes_on(samples: list[int], expected: bool) -> None:
    assert creeps(samples) is expected


def test_settled_needs_some_calm() -> None:
    assert settled([0, 9, *[9] * 6], least=1)
    assert not settled([9, 9, 9], least=1)
    assert not settled([9] * 5 + [10], least=1)
    assert settled([100, 150, 140, 180, 120, 130, 160], least=256)  # the noise of an allocator
