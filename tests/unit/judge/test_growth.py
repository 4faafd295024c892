"""What grows for ever, and what settles."""

from __future__ import annotations

import pytest

from harness.judge.growth import grows, settled


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


def test_settled_needs_some_calm() -> None:
    assert settled([0, 9, *[9] * 6], least=1)
    assert not settled([9, 9, 9], least=1)
    assert not settled([9] * 5 + [10], least=1)
    assert settled([100, 150, 140, 180, 120, 130, 160], least=256)  # the noise of an allocator
