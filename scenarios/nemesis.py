"""Faults on a schedule, several at once and one after another, while the client goes on."""

from harness.core.scenario import Scenario

SCENARIOS = (
    Scenario(
        name="nemesis",
        claim="process_crash",
        tries="kill and stop one process after another on a schedule, set the clock meanwhile, and go on each time",
        faults=("kill", "kill inside a write", "stalled writer", "wall clock forward", "wall clock back"),
        family="short",
        engine="nemesis",
    ),
    Scenario(
        name="nemesis-errors",
        claim="io_error",
        tries="let calls fail and come short on a schedule, and kill and stop the process between and meanwhile",
        faults=(
            *("EIO", "ENOSPC", "short write", "full disk", "EMFILE", "failed fsync"),
            *("kill", "kill inside a write", "stalled writer", "wall clock forward", "wall clock back"),
        ),
        family="short",
        engine="nemesis",
    ),
    Scenario(
        name="nemesis-damage",
        claim="corruption",
        tries="kill and stop one process after another on a schedule, and damage a file before the next one opens it",
        faults=(
            "damaged file",
            *("kill", "kill inside a write", "stalled writer", "wall clock forward", "wall clock back"),
        ),
        family="short",
        engine="nemesis",
    ),
)
