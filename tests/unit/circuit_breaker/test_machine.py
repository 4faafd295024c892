"""The sound breaker keeps all rules on programs that Hypothesis makes up; each planted defect breaks one."""

from __future__ import annotations

import pytest

from tests.unit.circuit_breaker.defects import DEFECTS
from tests.unit.circuit_breaker.machine import SOMETIMES, Factory, check, sound


def test_the_sound_breaker_keeps_every_rule() -> None:
    """And everything that is worth a look has happened, so that the silence means something."""
    reached = check(sound)
    if any(not reached[name] for name in SOMETIMES):
        reached += check(sound, examples=400)
    assert [name for name in SOMETIMES if not reached[name]] == []


@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS.keys())
def test_a_planted_defect_is_found(defect: Factory) -> None:
    """By the same machine."""
    with pytest.raises(AssertionError):
        check(defect, examples=500)  # ends at the first that shows it
