"""The scenarios that this version has."""

from __future__ import annotations

from harness.core.errors import UsageError
from harness.core.scenario import Scenario
from harness.inject.nemesis import Schedule
from scenarios import (
    clocks,
    damage,
    failing_calls,
    kills,
    limits,
    locks,
    machine,
    nemesis,
    power_loss,
    process_crash,
    resources,
    writers,
)

SCENARIOS: tuple[Scenario, ...] = (
    *process_crash.SCENARIOS,
    *power_loss.SCENARIOS,
    *kills.SCENARIOS,
    *nemesis.SCENARIOS,
    *damage.SCENARIOS,
    *failing_calls.SCENARIOS,
    *clocks.SCENARIOS,
    *resources.SCENARIOS,
    *writers.SCENARIOS,
    *locks.SCENARIOS,
    *machine.SCENARIOS,
    *limits.SCENARIOS,
)


def scenario_names() -> list[str]:
    return [scenario.name for scenario in SCENARIOS]


def selected(names: tuple[str, ...], schedules: tuple[Schedule, ...] = ()) -> tuple[Scenario, ...]:
    """The scenarios of these names, all if there is none. Raises `UsageError` for an unknown one.

    With `schedules` those that run them, besides any that are named; of those that run schedules no other.
    """
    known = scenario_names()
    for name in names:
        if name not in known:
            raise UsageError(f"there is no scenario {name!r}: say one of {', '.join(known)}.")
    if not schedules:
        return tuple(scenario for scenario in SCENARIOS if not names or scenario.name in names)
    claims = {schedule.claim for schedule in schedules}
    return tuple(
        scenario
        for scenario in SCENARIOS
        if (scenario.claim in claims if scenario in nemesis.SCENARIOS else scenario.name in names)
    )
