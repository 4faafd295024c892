"""Locks that protect nothing: two processes stop one after the other, and a third one passes."""

from harness.core.scenario import Scenario

SCENARIOS = (
    Scenario(
        name="writers-two-stops",
        claim="writers",
        tries="stop a process that holds a lock, then the one that waited for it, and let a third one work meanwhile",
        faults=("two stopped processes",),
        family="crowds",
        minimum_operations=3,
        engine="writers-two-stops",
        thorough=True,
    ),
)
