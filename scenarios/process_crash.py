"""The process dies at any instruction; the kernel lives on."""

from harness.core.scenario import Scenario

_FAULTS = ("kill between calls", "kill inside a write")

SCENARIOS = (
    Scenario(
        name="process-crash",
        claim="process_crash",
        tries="kill the process at every call of all short workloads",
        faults=_FAULTS,
        family="short",
    ),
    Scenario(
        name="process-crash-long",
        claim="process_crash",
        tries="kill the process at every call of long workloads with nasty values",
        faults=_FAULTS,
        family="long",
        minimum_operations=5,
    ),
    Scenario(
        name="process-crash-large",
        claim="process_crash",
        tries="kill the process inside writes of values beyond 64 KiB",
        faults=_FAULTS,
        family="large",
        minimum_operations=3,
    ),
    Scenario(
        name="process-crash-many",
        claim="process_crash",
        tries="kill the process after hundreds of small operations, where something is new or a counter may turn, and "
        "after keys that are easily taken for each other",
        faults=_FAULTS,
        family="many",
        minimum_operations=5,
    ),
    Scenario(
        name="process-crash-recovery",
        claim="process_crash",
        tries="kill the process again while it recovers from a kill",
        faults=_FAULTS,
        family="short",
        during_recovery=True,
    ),
)
