"""The chaos suite: every scenario is declared completely, and the crash claims are attacked from all sides."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
from collections import Counter

import pytest

import scenarios
from harness import Contract
from harness.core.scenario import SPARSE_FAMILY, Scenario

CRASH_CLAIMS = ("process_crash", "power_loss")
MODULES = [found.name for found in pkgutil.iter_modules(scenarios.__path__, "scenarios.")]
SCENARIOS: list[Scenario] = [scenario for name in MODULES for scenario in importlib.import_module(name).SCENARIOS]


def test_no_two_scenarios_share_a_name() -> None:
    """A name selects one experiment, on the command line and on a certificate."""
    assert [name for name, count in Counter(s.name for s in SCENARIOS).items() if count > 1] == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: str(scenario.name))
def test_a_scenario_says_what_it_tries(scenario: Scenario) -> None:
    """A name that can be typed, a clause for `harness list`, at least one fault, a minimum that means something."""
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", scenario.name)
    assert scenario.tries and scenario.tries[0].islower() and not scenario.tries.endswith(".")
    assert scenario.faults and all(scenario.faults)
    assert scenario.minimum_operations >= 1


@pytest.mark.parametrize("name", MODULES)
def test_a_family_says_what_happens(name: str) -> None:
    """One module for each family, with a sentence about it."""
    module = importlib.import_module(name)
    assert module.__doc__
    assert module.SCENARIOS


@pytest.mark.parametrize("claim", CRASH_CLAIMS)
def test_a_crash_claim_is_attacked_from_all_sides(claim: str) -> None:
    """Short, long, large and very many operations, and a second crash while recovering from the first."""
    assert claim in {field.name for field in dataclasses.fields(Contract)}
    found = [scenario for scenario in SCENARIOS if scenario.claim == claim]
    assert {scenario.family for scenario in found} >= {"short", "long", "large", SPARSE_FAMILY}
    assert {scenario.during_recovery for scenario in found} == {True, False}
