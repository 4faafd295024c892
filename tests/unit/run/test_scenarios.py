"""The scenarios by name."""

from __future__ import annotations

import pytest

from harness import UsageError
from harness.core.limits import LIMITS_CLAIM
from harness.core.scenario import CRASH_ENGINE, MEASURE_ENGINE, SHARED_FAMILIES, SPARSE_FAMILY
from harness.run.live.engines import ENGINES
from harness.run.scenarios import SCENARIOS, scenario_names, selected
from harness.run.weighing import CLAIMS


def test_an_unknown_name_is_refused() -> None:
    """With the names that there are."""
    with pytest.raises(UsageError, match="there is no scenario 'power': say one of process-crash, "):
        selected(("process-crash", "power"))


def test_no_name_means_all() -> None:
    """And a name means that one, whatever the order and however often it is said."""
    assert selected(()) == SCENARIOS
    assert [item.name for item in selected(("power-loss", "process-crash", "power-loss"))] == [
        "process-crash",
        "power-loss",
    ]


def test_every_scenario_has_a_name_of_its_own_and_says_what_it_does() -> None:
    """A claim, faults, a sentence."""
    assert len(set(scenario_names())) == len(SCENARIOS)
    for scenario in SCENARIOS:
        assert scenario.claim in (*CLAIMS, LIMITS_CLAIM) and scenario.tries and scenario.faults
        assert scenario.engine in (CRASH_ENGINE, MEASURE_ENGINE, *ENGINES)
        assert (scenario.claim == LIMITS_CLAIM) == (scenario.engine == MEASURE_ENGINE)
        assert scenario.family in ("short", "long", "large", SPARSE_FAMILY, *SHARED_FAMILIES)
