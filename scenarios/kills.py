"""Real processes are killed: at every call, inside writes, while they recover, at any moment; or stand still."""

from harness.core.scenario import Scenario

SCENARIOS = (
    Scenario(
        name="kills",
        claim="process_crash",
        tries="kill the writing process at every I/O call, inside writes and while it recovers; stop it for a while",
        faults=("kill between calls", "kill inside a write", "kill during recovery", "stalled writer"),
        family="short",
        engine="kills",
    ),
    Scenario(
        name="kills-at-random",
        claim="process_crash",
        tries="kill the writing process at moments that a clock decides",
        faults=("kill at any moment",),
        family="short",
        engine="random-kills",
    ),
)
