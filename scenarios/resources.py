"""A machine runs out of something, or a store lets go of nothing."""

from harness.core.scenario import Scenario

SCENARIOS = (
    Scenario(
        name="resources",
        claim="io_error",
        tries="take away descriptors, memory, threads, the right to write and the directory, and give them back",
        faults=("limits of descriptors, memory and threads", "read-only directories", "long paths"),
        family="short",
        minimum_operations=2,
        engine="resources",
    ),
    Scenario(
        name="leaks",
        claim="io_error",
        instead=("process_crash", "power_loss", "corruption", "rollback"),
        tries="open, read and close the store hundreds of times, or a thousand, and count what is left behind",
        faults=("reopenings", "values written again"),
        family="short",
        engine="leaks",
        most_workloads=1,
    ),
)
