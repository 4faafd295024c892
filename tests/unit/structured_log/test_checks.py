"""The sound log passes every check; each planted defect fails the one that is there for it."""

from __future__ import annotations

from contextvars import copy_context
from pathlib import Path

import pytest

from tests.unit.structured_log.checks import CHECKS
from tests.unit.structured_log.defects import DEFECTS
from tests.unit.structured_log.kit import Kit


@pytest.mark.parametrize("check", CHECKS)
def test_the_sound_log_passes(check: str, tmp_path: Path) -> None:
    """All of them."""
    copy_context().run(CHECKS[check], Kit(), tmp_path)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found(defect: str, tmp_path: Path) -> None:
    """By an assertion, and not because something else went wrong."""
    kit, check = DEFECTS[defect]
    with pytest.raises(AssertionError):
        copy_context().run(CHECKS[check], kit, tmp_path)
