"""Clocks that people, networks and seasons set: no promise may depend on them."""

from harness.core.scenario import Scenario

SCENARIOS = (
    # A clean close under a strange clock asks for less than a crash does, so whoever promises to survive a crash
    # promises this; where only a loss of power is survived, it is a matter of that promise.
    Scenario(
        name="clocks",
        claim="process_crash",
        instead=("power_loss",),
        tries="set the wall clock back and forward, let it stand, run fast or slow, while the store works or is closed",
        faults=("clock steps", "changes of summer time", "standing clocks", "fast and slow clocks", "restarts"),
        family="long",
        minimum_operations=2,
        engine="clocks",
    ),
)
