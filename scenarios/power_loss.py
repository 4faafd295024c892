"""The machine loses power at any moment; what was not synced may be lost, torn or reordered."""

from harness.core.scenario import Scenario

_FAULTS = (
    "everything unsynced lost",
    "writes reordered",
    "torn writes",
    "directory entries lost",
    "NUL tails",
    "garbage tails",
)

SCENARIOS = (
    Scenario(
        name="power-loss",
        claim="power_loss",
        tries="cut the power at every call of all short workloads and try the legal contents of the disk",
        faults=_FAULTS,
        family="short",
    ),
    Scenario(
        name="power-loss-long",
        claim="power_loss",
        tries="cut the power at every call of long workloads with nasty values",
        faults=_FAULTS,
        family="long",
        minimum_operations=5,
    ),
    Scenario(
        name="power-loss-large",
        claim="power_loss",
        tries="cut the power while values beyond 64 KiB are written",
        faults=_FAULTS,
        family="large",
        minimum_operations=3,
    ),
    Scenario(
        name="power-loss-many",
        claim="power_loss",
        tries="cut the power after hundreds of small operations, where something is new or a counter may turn, and "
        "after keys that are easily taken for each other",
        faults=_FAULTS,
        family="many",
        minimum_operations=5,
    ),
    Scenario(
        name="power-loss-recovery",
        claim="power_loss",
        tries="cut the power again while the store recovers from a power loss",
        faults=_FAULTS,
        family="short",
        during_recovery=True,
    ),
    Scenario(
        name="power-loss-threads",
        claim="power_loss",
        tries="let threads that share one handle take turns, and cut the power at every call of each schedule",
        faults=("switch of threads", *_FAULTS),
        family="pairs",
        minimum_operations=3,
        engine="power-loss-threads",
    ),
)
